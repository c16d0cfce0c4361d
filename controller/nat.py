"""An address translator that the flow tables are (RFC 3022, NAPT), for IPv4; IPv6 passes untouched.

In a chain's direction, hosts behind it are masqueraded: a new connection gets the translator's address and a
port of its own.  Against it, what belongs to such a connection, or is an ICMP error about one, gets its
host's address back, and with it the host's MAC address and network; port forwards begin connections; all
else is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from controller.flows import HOP, NETWORK, Priority, flow
from controller.stations import mac_number
from controller.tables import NO_PORT, Ct, CtClear, Field, Flow, Resubmit, SetField, Table
from controller.tracking import IPV4, NUMBERS, UNTRACKED, function_zones, onward, state
from topologies.functions import Function, Nat
from topologies.model import Topology
from topologies.service import Hop, opposite

HAIRPIN, TRANSLATED, TO_FORWARD, OWN, CONNECTION, REST = 62000, 61000, 60200, 60100, 60000, 50000
PORTS = (1024, 65535)
"""Ports that masqueraded connections get: the unprivileged ones (RFC 4787, 4.2.1: never a well-known one)."""
_KIND = Field("eth_type", IPV4)
_KNOWN, _NEW, _ANY = state("+trk-inv"), state("+trk-inv+new"), state("+trk")


def nat_hop(topology: Topology, function: Function, hop: Hop, numbers: Mapping[str, int]) -> list[Flow]:
    """All of an address translator's hop in STEER."""
    nat = function.nat
    assert nat is not None
    zone = function_zones(topology)[function.name]
    here, what = Field(HOP, hop.number), f"chain {hop.chain}, nat {function.name}"
    actions, goto = onward(hop, numbers)
    flows = [
        flow(
            Table.STEER, Priority.NOISE, (here, UNTRACKED), actions, goto, why=f"{what}: not IPv4, untouched"
        ),
        flow(Table.STEER, REST, (here, _KIND, _ANY), why=f"{what}: of no connection that it knows: dropped"),
    ]
    look_up = (Ct(zone, Table.STEER, nat=""),)
    if hop.forward:
        flows += _hairpin(topology, nat, hop, numbers, what)
        return flows + _masquerade(nat, hop, numbers, zone, look_up, what)
    to_us = Field("ip_dst", int(nat.ipv4.ip))
    flows += [
        flow(Table.STEER, Priority.KNOWN, (here, _KIND, UNTRACKED, to_us), look_up,
             why=f"{what}: is it of a known connection?"),
        flow(Table.STEER, Priority.UNKNOWN, (here, _KIND, UNTRACKED),
             why=f"{what}: not to its address: dropped"),
    ]  # fmt: skip
    for each in nat.forwards:
        match = (here, _KIND, _NEW, Field("ct_nw_proto", NUMBERS[each.protocol]), to_us)
        commit = Ct(zone, Table.STEER, True, "dst", int(each.ipv4.ip), 4, (each.to_port, each.to_port))
        flows.append(
            flow(Table.STEER, CONNECTION, (*match, Field("ct_tp_dst", each.port)), (commit,),
                 why=f"{what}: port {each.port} is forwarded to {each.host}"),
        )  # fmt: skip
    return flows + _inside(topology, nat, hop, numbers, what)


def _masquerade(
    nat: Nat, hop: Hop, numbers: Mapping[str, int], zone: int, look_up: tuple[Ct, ...], what: str
) -> list[Flow]:
    here = Field(HOP, hop.number)
    actions, goto = onward(hop, numbers)
    address = int(nat.ipv4.ip)
    flows = [
        flow(Table.STEER, Priority.KNOWN, (here, _KIND, UNTRACKED), look_up,
             why=f"{what}: is it of a known connection?"),
        flow(Table.STEER, CONNECTION, (here, _KIND, _NEW),
             (Ct(zone, Table.STEER, True, "src", address, 4, PORTS),),
             why=f"{what}: a new connection is masqueraded"),
        flow(Table.STEER, OWN, (here, _KIND, _NEW, Field("ip_dst", address)),
             why=f"{what}: to its own address, where no port forward is: dropped"),
        flow(Table.STEER, TRANSLATED, (here, _KIND, _KNOWN, Field("ip_src", address)),
             (SetField("eth_src", mac_number(nat.mac)), *actions), goto,
             why=f"{what}: masqueraded"),
    ]  # fmt: skip
    for each in nat.forwards:
        match = (here, _KIND, _NEW, Field("ct_nw_proto", NUMBERS[each.protocol]), Field("ip_dst", address))
        taken = [other.port for other in nat.forwards if other.protocol == each.protocol]
        commit = Ct(zone, Table.STEER, True, "src", address, 4, widest_gap(taken, PORTS))
        flows.append(
            flow(Table.STEER, TO_FORWARD, (*match, Field("ct_tp_dst", each.port)), (commit,),
                 why=f"{what}: from inside to port {each.port}, which is forwarded: masqueraded first"),
        )  # fmt: skip
    return flows


def widest_gap(taken: Iterable[int], within: tuple[int, int]) -> tuple[int, int]:
    """The longest range of ports, inclusive, that has none of ``taken``; all of ``within`` when it has none
    left.

    A connection from the translator's address to itself must not have a forwarded port at both ends: it
    would be its own answer.
    """
    first, last = within
    edges = sorted({each for each in taken if first <= each <= last} | {first - 1, last + 1})
    gaps = [(low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1]
    return max(gaps, key=lambda gap: gap[1] - gap[0], default=within)


def _hairpin(topology: Topology, nat: Nat, hop: Hop, numbers: Mapping[str, int], what: str) -> list[Flow]:
    """What is masqueraded, and to the translator's own address, is turned round there: it comes to a port
    forward as if from outside, with an outside source (RFC 4787, REQ-9)."""
    back = opposite(topology, hop)
    if back is None:
        return []
    address = int(nat.ipv4.ip)
    own = (Field("ip_src", address), Field("ip_dst", address))
    turned = (
        CtClear(),
        SetField(NETWORK, numbers[back.network]),
        SetField(HOP, back.number),
        SetField("in_port", NO_PORT),
        Resubmit(Table.STEER),
    )
    why = f"{what}: to its own address: turned round here"
    return [
        flow(Table.STEER, HAIRPIN, (Field(HOP, hop.number), _KIND, _KNOWN, *own, protocol), turned, why=why)
        for protocol in sorted({Field("ip_proto", NUMBERS[each.protocol]) for each in nat.forwards})
    ]


def _inside(topology: Topology, nat: Nat, hop: Hop, numbers: Mapping[str, int], what: str) -> list[Flow]:
    """What has its host's address back goes to that host, in its network."""
    here = Field(HOP, hop.number)
    actions, goto = onward(hop, numbers)
    gateways = {name: router.mac for router in topology.routers for name in router.networks}
    sender = mac_number(gateways.get(hop.leaves, nat.mac))
    found = []
    for host in topology.hosts:
        if host.network != hop.leaves or host.ipv4 is None:
            continue
        given = (SetField("eth_src", sender), SetField("eth_dst", mac_number(host.mac)))
        match = (here, _KIND, _KNOWN, Field("ip_dst", int(host.ipv4.ip)))
        found.append(
            flow(Table.STEER, TRANSLATED, match, given + actions, goto, why=f"{what}: back to {host.name}")
        )
    return found
