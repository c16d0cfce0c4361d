"""What all functions that track connections in the tables share: states, zones, and the way on.

A zone is a connection table of its own (ovs-actions(7), ct).  All switches of a domain are one Open vSwitch
and share them, so a zone's number is unique in the lab: it is chosen by a hash of what the zone is for, so
that it stays the same, with its connections, when other functions and hosts come and go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from controller.flows import DATAGRAM, HOP, NETWORK
from controller.tables import Action, CtClear, Field, Resubmit, SetField, Table
from topologies.model import Port, Topology
from topologies.service import OUT, Hop

IPV4, IPV6 = 0x0800, 0x86DD
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
NUMBERS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "icmpv6": ICMPV6}

NEW, ESTABLISHED, RELATED, REPLY, INVALID, TRACKED = 1, 2, 4, 8, 16, 32
"""Bits of ct_state (ovs-fields(7))."""
_LETTERS = {"new": NEW, "est": ESTABLISHED, "rel": RELATED, "rpl": REPLY, "inv": INVALID, "trk": TRACKED}

FUNCTION_ZONES = range(1, 4096)
PLACE_ZONES = range(4096, 16384)
"""Of places that gather fragments (``controller.fragments``, which also has the two above all others)."""
PORT_ZONES = range(16384, 65534)


def state(text: str) -> Field:
    """A match of connection states: ``+trk-inv``: that bit set, this one not."""
    value = mask = 0
    for part in text.replace("+", " +").replace("-", " -").split():
        bit = _LETTERS[part[1:]]
        mask |= bit
        value |= bit if part[0] == "+" else 0
    return Field("ct_state", value, mask)


UNTRACKED = state("-trk")
INVALID_STATE = state("+trk+inv")
VALID = state("+trk-inv")
LATER_FRAGMENT = Field("ip_frag", 3, 3)
"""A fragment other than the first (ovs-fields(7), ip_frag)."""


def function_zones(topology: Topology) -> dict[str, int]:
    """The zone of every function that the switches themselves do."""
    return numbered([each.name for each in topology.functions if each.mode == "flows"], FUNCTION_ZONES)


def port_zones(ports: Iterable[Port]) -> dict[Port, int]:
    """The zone of each of these host ports."""
    some = {str(port): port for port in ports}
    return {some[text]: number for text, number in numbered(some, PORT_ZONES).items()}


def numbered(names: Iterable[str], among: range) -> dict[str, int]:
    """A number for each name, all different: that of its hash, or the next that is free."""
    taken: set[int] = set()
    found = {}
    for name in sorted(names):
        if len(taken) == len(among):
            raise ValueError(f"more than {len(among)} functions or ports track connections: use fewer")
        number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") % len(among)
        while number in taken:
            number = (number + 1) % len(among)
        taken.add(number)
        found[name] = among[number]
    return found


def onward(hop: Hop, numbers: Mapping[str, int]) -> tuple[tuple[Action, ...], Table | None]:
    """How a frame goes on from a hop that the switch itself is: actions, and the table after them."""
    leave: tuple[Action, ...] = (CtClear(), SetField(HOP, hop.next))
    if hop.leaves != hop.network:
        leave += (SetField(NETWORK, numbers[hop.leaves]),)
    if hop.next == OUT:
        return leave, Table.RESOLVE
    # each fragment came out of tracking by itself: it leads no others any more
    return (*leave, SetField(DATAGRAM, 0), Resubmit(Table.STEER)), None
