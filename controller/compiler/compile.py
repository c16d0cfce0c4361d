"""Intent to flow tables: one pure function from a topology to what every switch holds."""

from __future__ import annotations

from controller.compiler.arp_nd import EGRESS, announcement, answer4, answers, resolve
from controller.compiler.chain_classifier import TO_CONTROLLER, chain_table
from controller.compiler.forwarding import forward, sorted_groups
from controller.compiler.fragments import fragment_table
from controller.compiler.functions.firewall import admitting, guarded, sending
from controller.compiler.ingress import claims, classify
from controller.compiler.link_local import heard
from controller.compiler.mirror import mirror_table
from controller.compiler.paths import Graph
from controller.compiler.route import gateway_answers, gateways, route, routes
from controller.compiler.sff.forwarder import GUARDS, arrival_ports, steer, steering, transport_ports
from controller.compiler.source_guard import secure
from controller.compiler.stations import Learned, Station, access_ports, network_numbers, owners, stations
from controller.compiler.tunnels import Carried, Crossing, carried, crossing, edge, tunnel_switch
from controller.flow.meters import TOLD_ERRORS
from controller.flow.tables import Flow, SwitchTables, Table
from topologies.model.endpoints import endpoints
from topologies.model.endpoints import stations as endpoints_at_ports
from topologies.model.overlay import islands, overlay, reach
from topologies.model.topology import Topology
from topologies.model.zones import function_zones
from wire.mac import mac_number

__all__ = ["Learned", "compile_topology"]


def compile_topology(
    topology: Topology,
    down_links: frozenset[str] = frozenset(),
    avoid: frozenset[str] = frozenset(),
    learned: tuple[Learned, ...] = (),
    failed: frozenset[str] = frozenset(),
) -> dict[str, SwitchTables]:
    """The tables of every switch, by name, in the order of ``topology.switches``.

    ``down_links``: names of links to route around. ``avoid``: switches that nothing is sent
    through unless there is no other way; they stay destinations. ``learned``: stations that the file does
    not know. ``failed``: instances (``fw.1``) and backends (``lb/web1``) that don't work. The same arguments
    always give the same tables, and equal flows of several switches are the same object.
    """
    known, further = stations(topology, learned)
    by_switch: dict[str, list[Station]] = {}
    by_network: dict[int, list[Station]] = {}
    for station in known:
        by_switch.setdefault(station.switch, []).append(station)
        by_network.setdefault(station.network, []).append(station)
    numbers = network_numbers(topology)
    access, free = _access(topology, numbers)
    trunks: dict[str, dict[int, str]] = {}
    for link in topology.links:
        trunks.setdefault(link.a.switch, {})[link.a.number] = link.name
        trunks.setdefault(link.b.switch, {})[link.b.number] = link.name

    laid = overlay(topology)
    over = crossing(topology, laid, numbers)
    chains = steering(topology, numbers, failed)
    transports = carried(topology, laid, chains.tags)
    names = [switch.name for switch in topology.switches]
    networks_at = _networks_at(topology, numbers)
    firewalled = guarded(topology, numbers)
    made = forward(
        Graph(topology, down_links, avoid),
        by_switch,
        networks_at,
        len({endpoint.network for endpoint, _ in endpoints_at_ports(topology)}) > 1,
        islands(topology),
        {switch: {n: each.near.number for n, each in some.items()} for switch, some in over.uplinks.items()},
        {name: chains.travelling(name) for name in names} if chains.service.hops else None,
        {name: transport_ports(laid, name) for name in names},
        firewalled,
    )
    shared = answers((*known, *further))
    claimants = {host.name for host in topology.hosts if host.allow_spoofing}
    by_file = {each.name for each in owners(topology)}
    for station in (*known, *further):
        if station.ipv4 is not None and station.name not in by_file:
            said = announcement(station.network, station.ipv4, station.name)
            shared[station.network] = (*shared[station.network], said)
    known_gateways = gateways(topology, numbers)
    for number, gateway in known_gateways.items():
        shared[number] = (*gateway_answers(gateway), *shared.get(number, ()))
    for each in endpoints(topology):
        if each.kind == "address translator" and (ipv4 := each.ipv4) is not None:
            number = numbers[each.network]
            answer = answer4(number, int(ipv4.ip), mac_number(each.mac), each.name)
            shared[number] = (*shared.get(number, ()), answer)
    behind: dict[int, list[Station]] = {}
    for station in (*known, *further):
        behind.setdefault(station.network, []).append(station)
    routed = routes(known_gateways, behind)
    beyond = _TunnelSwitches(topology, over, by_network, numbers, transports)
    tracked = function_zones(topology)
    translators = {
        number: tracked[hop.function]
        for number, hop in chains.service.hops.items()
        if (function := chains.functions[hop.function]).mode == "flows"
        and function.kind in ("nat", "load-balancer")
    }

    tables = {}
    for index, switch in enumerate(topology.switches):
        if switch.role == "vtep":
            tables[switch.name] = beyond.tables(switch.name, switch.dpid)
            continue
        here = by_switch.get(switch.name, [])
        ports = access.get(switch.name, {})
        at = frozenset(number for _, number in ports.values())
        any_source = free.get(switch.name, frozenset())
        members = {number: [p for p, (_, n) in ports.items() if n == number] for number in at}
        before, flooding, groups = edge(over.uplinks.get(switch.name, {}), members)
        classified = at | chains.balanced(switch.name)
        chain = chain_table(
            classified, chains.service.entries, numbers, known_gateways, translators, chains.zones
        )
        entry = Table.CHAIN if chain else Table.RESOLVE
        mirror = mirror_table(at, chains.service.copies, numbers, known, switch.name, known_gateways, entry)
        inside = Table.MIRROR if mirror else entry
        links = trunks.get(switch.name, {})
        entrances = {*links, *arrival_ports(laid, switch.name)}
        arriving, steered, hop_groups, meters = steer(chains, switch.name, entrances, known)
        guards = GUARDS if chains.service.hops else ()
        walls = firewalled.get(switch.name, {})
        sent, sent_meters = sending(topology, walls, inside) if walls else ([], [])
        received, received_meters = admitting(topology, walls)
        inside = Table.FIREWALL if walls else inside
        flows: list[Flow] = [*before, *arriving]
        flows += classify(links, ports, here, any_source, inside, guards)
        flows += claims((each for each in here if each.name in claimants), ports, inside)
        if ports:
            more = (each for each in further if each.switch == switch.name and each.name in by_file)
            mine = [*here, *more]
            flows += secure((station for station in mine if station.port not in any_source), inside)
        flows += [*sent, *mirror, *chain, *steered]
        passing = at | chains.leaving(switch.name)
        if passing:
            flows += resolve(here, shared, passing)
            flows += route(passing, routed)
        crossing_here = over.uplinks.get(switch.name, {})
        flows += heard(port for port in any_source if ports[port][1] not in crossing_here)
        flows += flooding
        flows += [*made.flows(index), *received]
        flows += fragment_table(flows)
        if passing:
            flows += EGRESS
        groups += [*made.groups[index], *hop_groups]
        errors = [TOLD_ERRORS] if any(each.actions == TO_CONTROLLER for each in flows) else []
        metered = {each.id: each for each in (*meters, *sent_meters, *received_meters, *errors)}
        tables[switch.name] = SwitchTables(
            switch.name, switch.dpid, tuple(flows), sorted_groups(groups), tuple(metered.values())
        )
    return tables


def _access(
    topology: Topology, numbers: dict[str, int]
) -> tuple[dict[str, dict[int, tuple[str, int]]], dict[str, frozenset[int]]]:
    """Per switch: its access ports with their network's name and number; those that take any source."""
    access = {
        switch: {port: (network, numbers[network]) for port, network in ports.items()}
        for switch, ports in access_ports(topology).items()
    }
    free: dict[str, frozenset[int]] = {}
    for host in topology.hosts:
        if host.allow_spoofing:
            switch = host.port.switch
            free[switch] = free.get(switch, frozenset()) | {host.port.number}
    return access, free


def _networks_at(topology: Topology, numbers: dict[str, int]) -> list[frozenset[int]]:
    """Per switch: the networks that frames of its hosts can be in, also after they were routed."""
    at: dict[str, set[int]] = {switch.name: set() for switch in topology.switches}
    for network, switches in reach(topology).items():
        for switch in switches:
            at[switch].add(numbers[network])
    return [frozenset(at[switch.name]) for switch in topology.switches]


class _TunnelSwitches:
    """What all tunnel switches' tables are made of."""

    def __init__(
        self,
        topology: Topology,
        over: Crossing,
        by_network: dict[int, list[Station]],
        numbers: dict[str, int],
        transports: tuple[Carried, ...],
    ) -> None:
        self.over, self.by_network, self.transports = over, by_network, transports
        populated: dict[int, set[str]] = {}
        for endpoint, port in endpoints_at_ports(topology):
            populated.setdefault(numbers[endpoint.network], set()).add(port.switch)
        self.populated = {number: frozenset(switches) for number, switches in populated.items()}

    def tables(self, name: str, dpid: int) -> SwitchTables:
        flows, groups = tunnel_switch(name, self.over, self.by_network, self.populated, self.transports)
        return SwitchTables(name, dpid, tuple(flows), sorted_groups(groups))
