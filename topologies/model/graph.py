"""A lab as a graph of networkx, for analysis and for drawing.

networkx is imported when it is first used: the import takes 0.3 s, and no lab needs it to run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from topologies.model import host_wires, overlay
from topologies.model.wires import EFFECTS

if TYPE_CHECKING:
    from networkx import MultiGraph

    from topologies.model.topology import Shaping, Topology


def graph(topology: Topology) -> MultiGraph[str]:
    """The lab as a graph. Its nodes are names, and the keys of its edges are names.

    A node's ``kind`` is ``switch``, ``vtep`` (the tunnel switch of a domain), ``router`` (of the underlay),
    ``host`` or ``function`` (an instance at a switch). An edge's ``kind`` is ``link``, ``wire`` (from a host
    or a function to its switch, or between hosts), ``uplink`` (from a switch to its domain's tunnel switch,
    one for each network) or ``underlay``. Wires that shape traffic have ``bandwidth`` (bit/s), ``delay`` and
    ``jitter`` (microseconds), ``loss``, ``reorder``, ``duplicate`` and ``corrupt`` (fractions), as they are
    from the first end on. An attribute that does not apply is left out.
    """
    import networkx

    result: MultiGraph[str] = networkx.MultiGraph(name=topology.name)
    for switch in topology.switches:
        result.add_node(switch.name, kind=switch.role, domain=switch.domain)
    for link in topology.links:
        _join(result, link.a.switch, link.b.switch, link.name, "link", _shape(link.shaping))
    for host in topology.hosts:
        addresses = {"ipv4": host.ipv4, "ipv6": host.ipv6}
        texts = {family: str(address.ip) for family, address in addresses.items() if address is not None}
        if not host.of:
            result.add_node(host.name, kind="host", network=host.network, mac=host.mac, **texts)
        if host.port is not None:
            wire = f"{host.name}-{host.port.switch}"
            _join(result, host.node, host.port.switch, wire, "wire", _shape(host.shaping))
    for between in host_wires.host_wires(topology):
        _join(result, *between.ends, between.name, "wire", _shape(between.shaping))
    for function in topology.functions:
        for instance in function.instances:
            result.add_node(instance.name, kind="function", function=function.kind)
            for port in instance.ports:
                _join(result, instance.name, port.switch, f"{instance.name}-{port}", "wire", {})
    if topology.underlay is not None:
        node = {vtep.domain: vtep.switch for vtep in topology.underlay.vteps}
        for router in topology.underlay.routers:
            result.add_node(router, kind="router")
        for uplink in overlay.overlay(topology).uplinks:
            name = f"{uplink.near}-{uplink.network}"
            _join(result, uplink.near.switch, uplink.far.switch, name, "uplink", {"network": uplink.network})
        for cable in topology.underlay.links:
            a, b = (node.get(end.node, end.node) for end in (cable.a, cable.b))
            _join(result, a, b, cable.name, "underlay", _shape(cable.shaping))
    return result


def _join(result: MultiGraph[str], a: str, b: str, name: str, kind: str, more: dict[str, Any]) -> None:
    result.add_edge(a, b, key=name, kind=kind, **more)


def _shape(shaping: Shaping) -> dict[str, int | float]:
    values = {name: getattr(shaping, name) for name in EFFECTS if name != "queue"}
    return {name: value for name, value in values.items() if value}


class Analysis(NamedTuple):
    """Which failures the wiring between switches survives.

    ``diameter``: the number of links on the longest of all shortest paths between switches of one part; 0
    without links. ``bridges``: links, of switches or of the underlay, whose failure separates switches.
    ``cut_switches``: switches and underlay routers whose failure separates other switches.
    """

    parts: int
    diameter: int
    bridges: tuple[str, ...]
    cut_switches: tuple[str, ...]


def analysis(topology: Topology) -> Analysis:
    """The parts, the diameter and the single points of failure of a lab."""
    import networkx

    whole = graph(topology)
    kinds = networkx.get_node_attributes(whole, "kind")
    switches = whole.subgraph([name for name in kinds if kinds[name] in ("switch", "vtep", "router")])
    parts = [switches.subgraph(names) for names in networkx.connected_components(switches)]
    bridges = {frozenset(pair) for pair in networkx.bridges(switches)}
    broken = [
        name
        for a, b, name in switches.edges(keys=True)
        if frozenset((a, b)) in bridges and whole.edges[a, b, name]["kind"] in ("link", "underlay")
    ]
    return Analysis(
        len(parts),
        max((networkx.diameter(part) for part in parts), default=0),
        tuple(sorted(broken)),
        tuple(sorted(networkx.articulation_points(networkx.Graph(switches)))),
    )
