"""Intent to flow tables: one pure function from a topology to what every switch holds."""

from __future__ import annotations

from controller.compiler.forwarding import sorted_groups
from controller.compiler.pipeline import compiled
from controller.compiler.stations import Learned
from controller.compiler.tunnels import tunnel_switch
from controller.compiler.view import LabView, SwitchView
from controller.flow.tables import SwitchTables
from topologies.model.topology import Switch, Topology

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
    lab = LabView.of(topology, down_links, avoid, learned, failed)
    return {switch.name: tables_of(lab, index, switch) for index, switch in enumerate(topology.switches)}


def tables_of(lab: LabView, index: int, switch: Switch) -> SwitchTables:
    """The tables of one switch, the ``index``-th of the topology."""
    if switch.role == "vtep":
        flows, groups = tunnel_switch(
            switch.name, lab.crossing, lab.by_network, lab.populated, lab.transports
        )
        return SwitchTables(switch.name, switch.dpid, tuple(flows), sorted_groups(groups))
    part = compiled(SwitchView(lab, index, switch.name))
    return SwitchTables(
        switch.name, switch.dpid, tuple(part.flows), sorted_groups(part.groups), tuple(part.meters)
    )
