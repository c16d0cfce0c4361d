"""The wires of a lab, and what they do to traffic, in the API's form. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dataplane.plan.lab import Plan
from dataplane.plan.wiring import wire_name
from lab.messages.wires import WayState, WireState
from topologies.model.host_wires import host_wires
from topologies.model.topology import Topology
from topologies.model.wires import Shaping
from topologies.saving import quantities


def wires(topology: Topology, plan: Plan, up: Mapping[str, bool]) -> Iterator[WireState]:
    """Every link and host's wire, and links of the underlay. ``up``: name -> whether it is up."""
    kinds = {link.name: link.kind for link in plan.links}
    for link in topology.links:
        a, b = str(link.a), str(link.b)
        yield {
            "name": link.name,
            "a": a,
            "b": b,
            "up": up.get(link.name, True),
            "mtu": link.mtu,
            "kind": "patch" if kinds.get(link.name) == "patch" else "devices",
            "ways": _ways(link.shaping, a, b),
        }
    for wire in host_wires(topology):
        a, b = (f"{end.node}:{end.interface}" for end in (wire.a, wire.b))
        yield {
            "name": wire.name,
            "a": a,
            "b": b,
            "up": up.get(wire.name, True),
            "mtu": wire.a.mtu,
            "kind": "devices",
            "ways": _ways(wire.shaping, a, b),
        }
    for host in topology.attached:
        name, port = wire_name(host.name, host.at.switch), str(host.at)
        yield {
            "name": name,
            "a": host.name,
            "b": port,
            "up": up.get(name, True),
            "mtu": host.mtu,
            "kind": "devices",
            "ways": _ways(host.shaping, host.name, port),
        }
    for cable in topology.underlay.links if topology.underlay is not None else ():
        assert topology.underlay is not None
        yield {
            "name": cable.name,
            "a": cable.a.node,
            "b": cable.b.node,
            "up": up.get(cable.name, True),
            "mtu": topology.underlay.mtu,
            "kind": "devices",
            "ways": _ways(cable.shaping, cable.a.node, cable.b.node),
        }


def _ways(shaping: Shaping, a: str, b: str) -> list[WayState]:
    forth, back = (quantities.effects(way) for way in shaping.ways)
    return [{"source": a, "target": b, "does": forth}, {"source": b, "target": a, "does": back}]
