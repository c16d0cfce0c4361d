"""An address translator that the flow tables are (RFC 3022, NAPT), for IPv4; IPv6 passes untouched.

In a chain's direction, hosts behind it are masqueraded: a new connection gets the translator's address and a
port of its own.  Against it, what belongs to such a connection, or is an ICMP error about one, gets its
host's address back, and with it the host's MAC address and network; port forwards begin connections; all
else is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.compiler.fragments import (
    FRAGMENT,
    at_hop,
    forwards_datagrams,
    gather,
    place_zones,
)
from controller.compiler.functions.echoes import READY, Priorities, collisions, coming_back, going_out
from controller.compiler.functions.nat_hairpin import ASKED, first_datagrams, turned_round
from controller.compiler.tracking import UNTRACKED, function_zones, onward, state
from controller.flow.builders import DATAGRAM, HOP, VERDICT, Priority, flow
from controller.flow.meters import NOTICES
from controller.flow.tables import (
    CONTROLLER,
    Ct,
    Field,
    Flow,
    Output,
    Resubmit,
    SetField,
    Table,
    ToMeter,
)
from topologies.model.functions import Nat
from topologies.model.kinds import AddressTranslator
from topologies.model.places import Entity, part
from topologies.model.service_paths import Hop, service
from topologies.model.topology import Topology
from wire.ethertype import IPV4
from wire.mac import mac_number
from wire.protocol import NUMBERS

TRANSLATED, EXHAUSTED, FRAGMENTS, OWN = 61000, 60900, 60300, 60100
CONNECTION, REST = 60000, 50000
ARRIVED = 61500
"""Priority of what looks up packets that come back: above that of packets that have been."""
PORTS = (1024, 65535)
"""Ports that masqueraded connections get: the unprivileged ones (RFC 4787, 4.2.1: never a well-known one)."""
_KIND = Field("eth_type", IPV4)
_KNOWN, _NEW, _ANY = state("+trk-inv"), state("+trk-inv+new"), state("+trk")
_READY, _NOT_READY = SetField(VERDICT, READY, READY), SetField(VERDICT, 0, READY)
"""Of what comes out of the translator's own zone alone: fragments of others may come out beside it."""
_ECHOES = Priorities(CONNECTION, EXHAUSTED, TRANSLATED)


def nat_hop(
    topology: Topology, function: AddressTranslator, hop: Hop, numbers: Mapping[str, int]
) -> list[Flow]:
    """All of an address translator's hop in STEER."""
    nat = function.nat
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
        flows += turned_round(topology, nat, hop, numbers, zone, PORTS, what)
        return flows + _masquerade(nat, hop, numbers, zone, look_up, what)
    to_us, arrived = Field("ip_dst", int(nat.ipv4.ip)), Field(VERDICT, 0, READY)
    flows += [
        flow(Table.STEER, ARRIVED + 1, (here, _KIND, UNTRACKED, to_us, arrived), look_up,
             why=f"{what}: is it of a known connection?"),
        flow(Table.STEER, ARRIVED, (here, _KIND, UNTRACKED, arrived),
             why=f"{what}: not to its address: dropped"),
        *coming_back(here, _ECHOES, what),
        flow(Table.STEER, TRANSLATED, (here, _KIND, _KNOWN, Field("ct_zone", zone), arrived),
             (_READY, Resubmit(Table.STEER)), why=f"{what}: it has its host's address again, if it ever had"),
    ]  # fmt: skip
    flows += _gathering(topology, function, hop, zone, what)
    datagrams: dict[int, Ct] = {}
    for forward in nat.forwards:
        match = (here, _KIND, _NEW, Field("ct_nw_proto", NUMBERS[forward.protocol]), to_us)
        commit = Ct(
            zone, Table.STEER, True, "dst", int(forward.ipv4.ip), 4, (forward.to_port, forward.to_port)
        )
        flows.append(
            flow(Table.STEER, CONNECTION, (*match, Field("ct_tp_dst", forward.port)), (_NOT_READY, commit),
                 why=f"{what}: port {forward.port} is forwarded to {forward.host}",
                 entity=part("forward", function.name, (forward.protocol, forward.port))),
        )  # fmt: skip
        if forward.protocol == "udp":
            datagrams[forward.port] = commit
    flows += first_datagrams(hop, nat, datagrams, what)
    return flows + _inside(topology, nat, hop, numbers, what)


def _masquerade(
    nat: Nat, hop: Hop, numbers: Mapping[str, int], zone: int, look_up: tuple[Ct, ...], what: str
) -> list[Flow]:
    here = Field(HOP, hop.number)
    actions, goto = onward(hop, numbers)
    address = int(nat.ipv4.ip)
    masquerade = (ASKED, Ct(zone, Table.STEER, True, "src", address, 4, PORTS))
    done = (SetField(VERDICT, 0), SetField("eth_src", mac_number(nat.mac)), *actions)
    flows = [
        flow(Table.STEER, Priority.KNOWN, (here, _KIND, UNTRACKED), look_up,
             why=f"{what}: is it of a known connection?"),
        flow(Table.STEER, CONNECTION, (here, _KIND, _NEW), masquerade,
             why=f"{what}: a new connection is masqueraded"),
        flow(Table.STEER, OWN, (here, _KIND, _NEW, Field("ip_dst", address)),
             why=f"{what}: to its own address, where no port forward is: dropped"),
        flow(Table.STEER, TRANSLATED, (here, _KIND, _KNOWN, Field("ip_src", address)), done, goto,
             why=f"{what}: masqueraded"),
        _exhausted(hop, what),
        *going_out(here, look_up[0], masquerade, (done, goto), _ECHOES, what),
    ]  # fmt: skip
    return flows


def _exhausted(hop: Hop, what: str) -> Flow:
    """What should have been masqueraded and was not: no port is free. An echo's identifier that is another
    one's has flows of its own (``controller.compiler.functions.echoes``)."""
    match = (Field(HOP, hop.number), _KIND, _NEW, Field(VERDICT, ASKED.value, ASKED.mask))
    done = (ToMeter(NOTICES.id), Output(CONTROLLER))
    return flow(Table.STEER, EXHAUSTED, match, done, why=f"{what}: no port is free: the controller tells")


def exhausted(topology: Topology) -> dict[int, str]:
    """The translator whose ports or identifiers have run out, by the cookie of the flow that tells."""
    translators: dict[int, str] = {}
    for hop, nat in _hops(topology):
        if hop.forward:
            flows = (_exhausted(hop, ""), *_collisions(hop, nat))
            translators |= {entry.cookie: hop.function for entry in flows}
    return translators


def changed_identifiers(topology: Topology) -> dict[int, bool]:
    """By the cookie of the flow that a packet-in comes from: True for a query that has to get a substitute
    for its identifier, False for what comes back and has one (see
    ``controller.compiler.functions.echoes``)."""
    queries: dict[int, bool] = {}
    for hop, nat in _hops(topology):
        back = coming_back(Field(HOP, hop.number), _ECHOES)
        flows = _collisions(hop, nat) if hop.forward else back
        queries |= {entry.cookie: hop.forward for entry in flows}
    return queries


def _collisions(hop: Hop, nat: Nat) -> Iterator[Flow]:
    return collisions(Field(HOP, hop.number), Field("ip_src", int(nat.ipv4.ip)), ASKED, _ECHOES)


def _hops(topology: Topology) -> Iterator[tuple[Hop, Nat]]:
    translators = {
        function.name: function.nat
        for function in topology.functions
        if isinstance(function, AddressTranslator)
    }
    for hop in service(topology).hops.values():
        if hop.function in translators:
            yield hop, translators[hop.function]


def _gathering(topology: Topology, function: AddressTranslator, hop: Hop, zone: int, what: str) -> list[Flow]:
    """Fragments that may be the first to a port forward, gathered, since only the first has the port; none
    where nothing is forwarded by datagrams.

    They are looked up before: Open vSwitch would not meet fragments that have just come from another switch
    of the domain again, as their recirculation is another one then.
    """
    if not forwards_datagrams(function):
        return []
    here, to_us = Field(HOP, hop.number), Field("ip_dst", int(function.nat.ipv4.ip))
    match = (here, _KIND, FRAGMENT, to_us, Field("ip_proto", NUMBERS["udp"]), _NEW, Field("ct_zone", zone))
    together = gather(place_zones(topology, service(topology))[at_hop(hop.number)])
    why = f"{what}: fragments of no known connection are gathered"
    return [flow(Table.STEER, FRAGMENTS, match, (_NOT_READY, SetField(DATAGRAM, 0), *together), why=why)]


def _inside(topology: Topology, nat: Nat, hop: Hop, numbers: Mapping[str, int], what: str) -> list[Flow]:
    """What has its host's address back goes to that host, in its network."""
    here = Field(HOP, hop.number)
    actions, goto = onward(hop, numbers)
    gateways = {name: router.mac for router in topology.routers for name in router.networks}
    sender = mac_number(gateways.get(hop.leaves, nat.mac))
    flows = []
    for host in topology.attached:
        if host.network != hop.leaves or host.ipv4 is None:
            continue
        given = (
            SetField(VERDICT, 0),
            SetField("eth_src", sender),
            SetField("eth_dst", mac_number(host.mac)),
        )
        match = (here, _KIND, Field(VERDICT, READY, READY), Field("ip_dst", int(host.ipv4.ip)))
        why, entity = f"{what}: back to {host.name}", Entity("host", host.name)
        flows.append(flow(Table.STEER, TRANSLATED, match, given + actions, goto, why=why, entity=entity))
    return flows
