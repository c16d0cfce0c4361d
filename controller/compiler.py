"""Intent to flow tables: one pure function from a topology to what every switch holds."""

from __future__ import annotations

from controller.classify import classify
from controller.forwarding import forward, sorted_groups
from controller.paths import Graph
from controller.resolve import EGRESS, answers, resolve
from controller.stations import Learned, Station, network_numbers, stations
from controller.tables import Flow, SwitchTables
from topologies.model import Topology

__all__ = ["Learned", "compile_topology"]


def compile_topology(
    topology: Topology,
    down_links: frozenset[str] = frozenset(),
    avoid: frozenset[str] = frozenset(),
    learned: tuple[Learned, ...] = (),
) -> dict[str, SwitchTables]:
    """The tables of every switch, by name, in the order of ``topology.switches``.

    ``down_links``: names of links to route around. ``avoid``: switches that nothing is sent
    through unless there is no other way; they stay destinations. ``learned``: stations that the file does
    not know. The same arguments always give the same tables, and equal flows of several switches are
    the same object.
    """
    known = stations(topology, learned)
    by_switch: dict[str, list[Station]] = {}
    for station in known:
        by_switch.setdefault(station.switch, []).append(station)
    numbers = network_numbers(topology)
    access: dict[str, dict[int, tuple[str, int]]] = {}
    for host in topology.hosts:
        access.setdefault(host.port.switch, {})[host.port.number] = (host.network, numbers[host.network])
    trunks: dict[str, dict[int, str]] = {}
    for link in topology.links:
        trunks.setdefault(link.a.switch, {})[link.a.number] = link.name
        trunks.setdefault(link.b.switch, {})[link.b.number] = link.name

    networks_at = [
        frozenset(number for _, number in access.get(switch.name, {}).values())
        for switch in topology.switches
    ]
    isolate = len({host.network for host in topology.hosts}) > 1
    made = forward(Graph(topology, down_links, avoid), by_switch, networks_at, isolate)
    shared = answers(known)

    tables = {}
    for index, switch in enumerate(topology.switches):
        here = by_switch.get(switch.name, [])
        ports = access.get(switch.name, {})
        flows: list[Flow] = classify(trunks.get(switch.name, {}), ports, here)
        if ports:
            flows += resolve(here, shared, networks_at[index])
        flows += made.flows(index)
        if ports:
            flows += EGRESS
        tables[switch.name] = SwitchTables(
            switch.name, switch.dpid, tuple(flows), sorted_groups(made.groups[index])
        )
    return tables
