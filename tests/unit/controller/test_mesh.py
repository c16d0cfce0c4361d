"""What the tunnels carried, added up from the counters of tunnel switches."""

from __future__ import annotations

from controller.compiler.compile import compile_topology
from controller.counters.tunnel_counters import Counted, mesh
from controller.flow.tables import Table
from tests.unit.controller.made_overlays import overlay_lab


def test_counters_add_up_by_pair_of_domains() -> None:
    topology = overlay_lab([1, 1, 1], [], [(0, 0), (1, 0), (1, 0), (2, 0)])
    tables = compile_topology(topology)
    counters = {
        flow.cookie: Counted(1, int(flow.match[-1].value & 0xFF))
        for flow in tables["vtep-d1"].flows
        if flow.table is Table.FORWARD and "behind" in flow.why
    }
    ways, flooded = mesh(topology, tables, {"vtep-d1": counters})
    carried = {(way.source, way.target): way.counted for way in ways}
    assert carried[("d1", "d2")] == (2, 2 + 3) and carried[("d1", "d3")] == (1, 4)
    assert carried[("d2", "d1")] == (0, 0) and len(carried) == 6
    assert {copies.domain: copies.counted for copies in flooded} == {d: Counted() for d in ("d1", "d2", "d3")}


def test_broadcasts_are_counted_apart() -> None:
    topology = overlay_lab([1, 1], [], [(0, 0), (1, 0)])
    tables = compile_topology(topology)
    counters = {f.cookie: Counted(1, 10) for f in tables["vtep-d1"].flows if "all members" in f.why}
    ways, flooded = mesh(topology, tables, {"vtep-d1": counters})
    assert not any(way.counted.packets for way in ways)
    assert {copies.domain: copies.counted for copies in flooded} == {"d1": (1, 10), "d2": (0, 0)}
