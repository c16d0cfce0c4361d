"""What hosts behind an address translator send to its own address (RFC 4787, REQ-9; RFC 5508, REQ-7).

It is masqueraded, then turned round in the translator: it comes to a port forward as if from outside, with
an outside source, and so do answers and errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from controller.compiler.fragments import FRAGMENT, LEADING, RELEASE, WAITING
from controller.compiler.tracking import state
from controller.flow.builders import DATAGRAM, HOP, NETWORK, VERDICT, flow
from controller.flow.tables import NO_PORT, Action, Ct, CtClear, Field, Flow, Resubmit, SetField, Table
from topologies.model.functions import Nat
from topologies.model.places import part
from topologies.model.service_paths import Hop, opposite
from topologies.model.topology import Topology
from wire.ethertype import IPV4
from wire.protocol import ICMP, NUMBERS, UDP

HAIRPIN, IN_FRAGMENTS, TO_FORWARD = 62000, 60300, 60200
ASKED = SetField(VERDICT, 2, 2)
"""Marks what is sent to be masqueraded, until it has been."""
_ASKED = Field(VERDICT, 2, 2)
_ANYWHERE = SetField("in_port", NO_PORT)
"""What was turned round may go back where it came in.  Not said of fragments before they have been gathered:
Open vSwitch takes what has another in_port than it came with for another recirculation at the next one."""
_KIND = Field("eth_type", IPV4)
_KNOWN, _NEW, _ERROR = state("+trk-inv"), state("+trk-inv+new"), state("+trk-inv+rel")


def turned_round(
    topology: Topology,
    nat: Nat,
    hop: Hop,
    numbers: Mapping[str, int],
    zone: int,
    ports: tuple[int, int],
    what: str,
) -> Iterator[Flow]:
    """Of a hop that masquerades. ``ports``: those that masqueraded connections get."""
    back = opposite(topology, hop)
    if back is None:
        return
    here, address = Field(HOP, hop.number), int(nat.ipv4.ip)
    to_us, from_us = Field("ip_dst", address), Field("ip_src", address)
    turn = (SetField(NETWORK, numbers[back.network]), SetField(HOP, back.number))
    forwarded: dict[str, list[int]] = {}
    for forward in nat.forwards:
        forwarded.setdefault(forward.protocol, []).append(forward.port)
    for protocol, taken in sorted(forwarded.items()):
        number = NUMBERS[protocol]
        # from a port that is forwarded it would be its own answer
        masquerade = Ct(zone, Table.STEER, True, "src", address, 4, widest_gap(taken, ports))
        for port in taken:
            match = (here, _KIND, _NEW, Field("ct_nw_proto", number), to_us, Field("ct_tp_dst", port))
            why = f"{what}: from inside to port {port}, which is forwarded: masqueraded first"
            entity = part("forward", hop.function, (protocol, port))
            yield flow(Table.STEER, TO_FORWARD, match, (ASKED, masquerade), why=why, entity=entity)
        if number == UDP:
            match = (here, _KIND, FRAGMENT, to_us, Field("ip_proto", UDP), _NEW)
            at_once = (ASKED, SetField(DATAGRAM, 0), *turn, masquerade._replace(table=Table.FRAGMENT))
            why = f"{what}: fragments from inside to its own address: masqueraded, turned round, and gathered"
            yield flow(Table.STEER, IN_FRAGMENTS, match, at_once, why=why)
            for port in taken:
                # the classifier has gathered them: a look-up more would be one too many
                gathered = (*match[:-1], Field("udp_dst", port), LEADING)
                entity = part("forward", hop.function, (protocol, port))
                again = (Ct(WAITING), *at_once)
                yield flow(Table.STEER, RELEASE + 1, gathered, again, why=why, entity=entity)
    around = (SetField(VERDICT, 0), CtClear(), *turn, _ANYWHERE, Resubmit(Table.STEER))
    why = f"{what}: to its own address: turned round here"
    for protocol in sorted(forwarded):
        match = (here, _KIND, _KNOWN, from_us, to_us, Field("ip_proto", NUMBERS[protocol]))
        yield flow(Table.STEER, HAIRPIN, match, around, why=why)
    if forwarded:
        match = (here, _KIND, _ERROR, from_us, to_us, Field("ip_proto", ICMP))
        yield flow(Table.STEER, HAIRPIN, match, around, why=f"{why}, an ICMP error")


def first_datagrams(hop: Hop, nat: Nat, forward: Mapping[int, Ct], what: str) -> Iterator[Flow]:
    """Of a translator's hop back: all of a datagram's fragments begin a connection together, or go the way of
    theirs. ``forward``: port -> the translation of what comes to it.

    What comes out of zone WAITING beside them is held once more in the translator's zone.  Of what was turned
    round, only a masqueraded first fragment that is to a forwarded port takes the others along.
    """
    here, to_us = Field(HOP, hop.number), Field("ip_dst", int(nat.ipv4.ip))
    first = (here, _KIND, FRAGMENT, to_us, Field("ip_proto", UDP), LEADING)
    for port, commit in forward.items():
        match, said = (*first, Field("udp_dst", port)), f"{what}: in fragments to port {port}"
        actions: tuple[Action, ...] = (Ct(WAITING), SetField(DATAGRAM, 0), SetField(VERDICT, 0), commit)
        entity = part("forward", hop.function, ("udp", port))
        yield flow(Table.STEER, RELEASE + 1, match, actions, why=said, entity=entity)
        masqueraded = (*match, _ASKED, Field("ip_src", int(nat.ipv4.ip)))
        inside = (_ANYWHERE, *actions)
        said = f"{said}, from inside"
        yield flow(Table.STEER, RELEASE + 3, masqueraded, inside, why=said, entity=entity)
    if forward:
        why = f"{what}: from inside to its own address, where no port forward is: dropped"
        yield flow(Table.STEER, RELEASE + 2, (*first, _ASKED), why=why)


def widest_gap(taken: Iterable[int], within: tuple[int, int]) -> tuple[int, int]:
    """The longest range of ports, inclusive, that has none of ``taken``; all of ``within`` when it has none
    left.

    A connection from the translator's address to itself must not have a forwarded port at both ends: it
    would be its own answer.
    """
    first, last = within
    edges = sorted({port for port in taken if first <= port <= last} | {first - 1, last + 1})
    gaps = [(low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1]
    return max(gaps, key=lambda gap: gap[1] - gap[0], default=within)
