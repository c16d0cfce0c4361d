"""Intent to flow tables: one pure function from a topology to what every switch holds."""

from __future__ import annotations

from controller.classify import classify
from controller.forwarding import forward, sorted_groups
from controller.overlay import Crossing, crossing, edge, tunnel_switch
from controller.paths import Graph
from controller.resolve import EGRESS, answers, resolve
from controller.route import gateway_answers, gateways, route, routes
from controller.security import secure
from controller.stations import Learned, Station, network_numbers, stations
from controller.tables import Flow, SwitchTables
from topologies.model import Topology
from topologies.overlay import islands, overlay, reach

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
    not know. ``failed``: instances (``fw.1``) and backends (``lb/web1``) that do not work. The same arguments
    always give the same tables, and equal flows of several switches are the same object.
    """
    known = stations(topology, learned)
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

    over = crossing(topology, overlay(topology), numbers)
    networks_at = _networks_at(topology, numbers)
    made = forward(
        Graph(topology, down_links, avoid),
        by_switch,
        networks_at,
        len({host.network for host in topology.hosts}) > 1,
        islands(topology),
        {switch: {n: each.near.number for n, each in some.items()} for switch, some in over.uplinks.items()},
    )
    shared = answers(known)
    known_gateways = gateways(topology, numbers)
    for number, gateway in known_gateways.items():
        shared[number] = (*gateway_answers(gateway), *shared.get(number, ()))
    routed = routes(known_gateways, by_network)
    beyond = _TunnelSwitches(topology, over, by_network, numbers)

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
        flows: list[Flow] = [*before, *classify(trunks.get(switch.name, {}), ports, here, any_source)]
        if ports:
            flows += secure(station for station in here if station.port not in any_source)
            flows += resolve(here, shared, at)
            flows += route(at, routed)
        flows += flooding
        flows += made.flows(index)
        if ports:
            flows += EGRESS
        groups += made.groups[index]
        tables[switch.name] = SwitchTables(switch.name, switch.dpid, tuple(flows), sorted_groups(groups))
    return tables


def _access(
    topology: Topology, numbers: dict[str, int]
) -> tuple[dict[str, dict[int, tuple[str, int]]], dict[str, frozenset[int]]]:
    """Per switch: its host ports with their network's name and number; those that take any source."""
    access: dict[str, dict[int, tuple[str, int]]] = {}
    free: dict[str, frozenset[int]] = {}
    for host in topology.hosts:
        switch, port = host.port.switch, host.port.number
        access.setdefault(switch, {})[port] = (host.network, numbers[host.network])
        if host.allow_spoofing:
            free[switch] = free.get(switch, frozenset()) | {port}
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
    ) -> None:
        self.over, self.by_network = over, by_network
        populated: dict[int, set[str]] = {}
        for host in topology.hosts:
            populated.setdefault(numbers[host.network], set()).add(host.port.switch)
        self.populated = {number: frozenset(switches) for number, switches in populated.items()}

    def tables(self, name: str, dpid: int) -> SwitchTables:
        flows, groups = tunnel_switch(name, self.over, self.by_network, self.populated)
        return SwitchTables(name, dpid, tuple(flows), sorted_groups(groups))
