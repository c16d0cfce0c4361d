"""A firewall that the flow tables are: rules asked with connection tracking.

The same flows serve in three tables: STEER, for a firewall in a chain; FIREWALL, at the port of the host that
sends; ADMIT, at that of the host that receives.  In each a frame is first looked up in its zone. What is
invalid is dropped; a connection whose mark is the rules' generation was accepted by them and goes on; for all
others the rules are asked about the connection's original tuple, by falling priority, so the first that
matches decides.  A connection that is accepted is committed with the mark.  When the rules change, so does
the generation, and every live connection is asked about anew with its next packet.

The userspace datapath gives packets that it has put together from fragments back in pieces, and the later
ones have no ports, also none of the original tuple.  They are sent to be committed unasked: there they wait
for the first, and nothing comes of them when the rules have dropped that one.

A rule's flow does not say how an accepted frame goes on, which differs by hop and port: it sets VERDICT and
looks the frame up once more.  So the rules are there once for all hops of a function and all ports of a
switch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from controller.compiler.entry_matches import prefix_field
from controller.compiler.functions.firewall_rules import generation
from controller.compiler.functions.firewall_verdicts import (
    IP_KINDS,
    TOLD,
    PortFirewall,
    accepted,
    admission,
    at_ports,
    entity_of,
    meter_numbers,
    rule_flows,
    used_meters,
)
from controller.compiler.tracking import UNTRACKED, function_zones, onward, port_zones
from controller.flow.builders import HOP, NETWORK, OUT_PORT, RULES, Priority, flow, miss
from controller.flow.tables import (
    Action,
    Ct,
    CtClear,
    Field,
    Flow,
    Meter,
    Output,
    Resubmit,
    SetField,
    Table,
)
from topologies.model.kinds import FirewallFunction
from topologies.model.service_paths import Hop
from topologies.model.topology import Topology
from wire.ethertype import IPV4, IPV6
from wire.protocol import ICMPV6

_ND = range(133, 138)
"""Neighbour discovery's ICMPv6 types (RFC 4861): hosts could not even ask for each other without it."""


class Guarded(NamedTuple):
    """A host port with a firewall. ``number``: the port's. ``network``: its network's number. ``rules``: the
    rule set's number, in RULES. ``networks``: all whose ports have the same firewall."""

    number: int
    host: str
    network: int
    zone: int
    rules: int
    function: FirewallFunction
    networks: tuple[str, ...]


# -- in a chain ------------------------------------------------------------------------


def firewall_hop(
    topology: Topology, function: FirewallFunction, hop: Hop, numbers: Mapping[str, int]
) -> tuple[list[Flow], list[Meter]]:
    """All of a firewall's hop in STEER. The flows of the rules are the same for every hop of the function,
    and to be installed once. ``numbers``: of networks."""
    zone = function_zones(topology)[function.name]
    actions, goto = onward(hop, numbers)
    here, what = Field(HOP, hop.number), f"chain {hop.chain}, firewall {function.name}"
    mark = generation(function.firewall)
    flows = [
        flow(
            Table.STEER, Priority.KNOWN, (here, kind, UNTRACKED), (Ct(zone, Table.STEER),),
            why=f"{what}: {name} is looked up in its connections",
        )
        for kind, name in IP_KINDS
    ]  # fmt: skip
    flows.append(
        flow(
            Table.STEER,
            Priority.NOISE,
            (here, UNTRACKED),
            actions,
            goto,
            why=f"{what}: neither IPv4 nor IPv6",
        )
    )
    flows += accepted(Table.STEER, (here,), mark, zone, actions, goto, what, entity_of(function))
    meters = meter_numbers(topology)
    flows += rule_flows(function, Table.STEER, Field("ct_zone", zone), meters)
    return flows, used_meters(function, Table.STEER, meters)


# -- at hosts' ports -------------------------------------------------------------------


def guarded(topology: Topology, numbers: Mapping[str, int]) -> dict[str, dict[int, Guarded]]:
    """Per switch: its host ports that have a firewall, by number. A network's firewall is the first that
    names it."""
    of_network: dict[str, tuple[int, PortFirewall]] = {}
    for number, firewall in enumerate(at_ports(topology), 1):
        for network in firewall.networks:
            of_network.setdefault(network, (number, firewall))
    hosts = [host for host in topology.attached if host.network in of_network]
    zones = port_zones(host.at for host in hosts)
    ports: dict[str, dict[int, Guarded]] = {}
    for host in hosts:
        rules, firewall = of_network[host.network]
        ports.setdefault(host.at.switch, {})[host.at.number] = Guarded(
            host.at.number, host.name, numbers[host.network], zones[host.at], rules, *firewall
        )
    return ports


def sending(
    topology: Topology, ports: Mapping[int, Guarded], goto: Table = Table.MIRROR
) -> tuple[list[Flow], list[Meter]]:
    """Table FIREWALL of one switch: what its hosts send. ``ports``: ``guarded(...)[switch]``.

    Every frame of a host may come here (also from ports without a firewall), untracked, with NETWORK set;
    what may go on does so at table ``goto``, untracked, with all registers as they were (RULES is 0 or not).
    """
    flows = [miss(Table.FIREWALL, goto, "no firewall at this port, or neither IPv4 nor IPv6")]
    if ports:
        flows += _discovery(Table.FIREWALL, (), goto, next(iter(ports.values())).function)
    for port in ports.values():
        here, what = Field("in_port", port.number), f"from {port.host}, firewall {port.function.name}"
        entity = entity_of(port.function)
        for kind, name in IP_KINDS:
            look_up = (SetField(RULES, port.rules), Ct(port.zone, Table.FIREWALL))
            flows.append(
                flow(
                    Table.FIREWALL, Priority.KNOWN, (here, kind, UNTRACKED), look_up,
                    why=f"{what}: {name} is looked up in the port's connections", entity=entity,
                )
            )  # fmt: skip
        mark = _generation(port.function)
        flows += accepted(Table.FIREWALL, (here,), mark, port.zone, (CtClear(),), goto, what, entity)
    rules, meters = _shared(topology, ports, Table.FIREWALL)
    return [*flows, *rules], meters


def admitting(topology: Topology, ports: Mapping[int, Guarded]) -> tuple[list[Flow], list[Meter]]:
    """Table ADMIT of one switch: what its hosts receive. ``ports``: ``guarded(...)[switch]``.

    Frames come here untracked, ready for the host, with its port in OUT_PORT, and leave by that port.
    """
    if not ports:
        return [], []
    flows = [miss(Table.ADMIT, None, "not to a port that has a firewall: dropped")]
    told = {port.rules: _told(topology, port) for port in ports.values()}
    for port in ports.values():
        here, what = Field(OUT_PORT, port.number), f"to {port.host}, firewall {port.function.name}"
        out, entity = (Output(port.number),), entity_of(port.function)
        flows += _discovery(Table.ADMIT, (here,), None, port.function, out)
        for kind, name in IP_KINDS:
            # an answer to a refused frame comes from the receiver's network
            network, look_up = SetField(NETWORK, port.network), Ct(port.zone, Table.ADMIT)
            why = f"{what}: {name} is looked up in the port's connections"
            flows.append(
                flow(Table.ADMIT, Priority.KNOWN, (here, kind, UNTRACKED),
                     (network, SetField(RULES, port.rules), look_up), why=why, entity=entity)
            )  # fmt: skip
            flows += [
                flow(Table.ADMIT, Priority.KNOWN + 1, (here, kind, UNTRACKED, source),
                     (network, SetField(RULES, port.rules | TOLD), look_up), why=f"{why}: a second time",
                     entity=entity)
                for source in told[port.rules].get(kind.value, ())
            ]  # fmt: skip
        why = f"{what}: neither IPv4 nor IPv6"
        flows.append(flow(Table.ADMIT, Priority.NOISE, (here, UNTRACKED), out, why=why, entity=entity))
        mark = _generation(port.function)
        flows += accepted(Table.ADMIT, (here,), mark, port.zone, out, None, what, entity)
    rules, meters = _shared(topology, ports, Table.ADMIT)
    return [*flows, *rules], meters


def _told(topology: Topology, port: Guarded) -> dict[int, list[Field]]:
    """Ethernet type -> sources that the same rules have been asked about at their ports, where what is logged
    was told. None where nothing is logged."""
    if not any(rule.log for rule in port.function.firewall.rules):
        return {}
    sources: dict[int, list[Field]] = {IPV4: [], IPV6: [Field("ipv6_src", 0xFE80 << 112, 0xFFC0 << 112)]}
    for network in topology.networks:
        if network.name in port.networks:
            if network.subnet4 is not None:
                sources[IPV4] += prefix_field("ip_src", (network.subnet4,), 0)
            if network.subnet6 is not None:
                sources[IPV6] += prefix_field("ipv6_src", (network.subnet6,), 0)
    return sources


def _generation(function: FirewallFunction) -> int:
    return generation(function.firewall)


def _shared(topology: Topology, ports: Mapping[int, Guarded], table: Table) -> tuple[list[Flow], list[Meter]]:
    """The rules of all firewalls that a switch's ports have, each once."""
    flows, meters = list[Flow](), dict[int, Meter]()
    known = meter_numbers(topology)
    for rules, function in sorted({port.rules: port.function for port in ports.values()}.items()):
        guard = admission(rules) if table is Table.ADMIT else Field(RULES, rules)
        flows += rule_flows(function, table, guard, known)
        meters |= {meter.id: meter for meter in used_meters(function, table, known)}
    return flows, list(meters.values())


def _discovery(
    table: Table,
    here: tuple[Field, ...],
    goto: Table | None,
    function: FirewallFunction,
    actions: tuple[Action, ...] = (),
) -> list[Flow]:
    return [
        flow(
            table,
            Priority.SPECIAL,
            (
                *here,
                Field("eth_type", IPV6),
                Field("ip_proto", ICMPV6),
                UNTRACKED,
                Field("icmpv6_type", kind),
            ),
            actions,
            goto,
            why="neighbour discovery passes every firewall",
            entity=entity_of(function),
        )
        for kind in _ND
    ]


def answering(table: int, fields: Mapping[str, int]) -> tuple[Action, ...]:
    """The actions of the packet-out (``in_port`` CONTROLLER) that takes an answer to the sender of a refused
    packet, from the table and the fields of its packet-in.

    What was refused at its sender's port goes back there directly: that port's connections don't know of
    it. Else it goes as if a host of that network had sent it, through no chain.
    """
    if table == Table.FIREWALL:
        return (Output(fields["in_port"]),)
    return SetField(NETWORK, fields.get(NETWORK, 0)), Resubmit(Table.RESOLVE)
