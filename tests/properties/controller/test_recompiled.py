"""What is compiled anew for a cut equals what is compiled from scratch."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from controller.compiler.compile import compile_topology
from controller.compiler.recompile import Recompiler
from tests.properties.controller.test_compiled_forwarding import labs
from topologies import shipped
from topologies.model.topology import Topology


def different(topology: Topology, recompiler: Recompiler, down: frozenset[str]) -> list[str]:
    full, fewer = compile_topology(topology, down), recompiler(down)
    assert list(full) == list(fewer)
    return [name for name in full if full[name] != fewer[name]]


@settings(max_examples=60, deadline=None)
@given(labs(), st.data())
def test_any_cuts_of_a_graph(topology: Topology, data: st.DataObject) -> None:
    recompiler = Recompiler(topology)
    links = [link.name for link in topology.links]
    for _ in range(3):
        down = data.draw(st.frozensets(st.sampled_from(links), max_size=3) if links else st.just(frozenset()))
        assert not different(topology, recompiler, down), down


@pytest.mark.parametrize("name", shipped.names())
def test_single_cuts_of_what_ships(name: str) -> None:
    topology = topologies.load(shipped.path(name))
    recompiler = Recompiler(topology)
    for link in topology.links[:12]:
        assert not different(topology, recompiler, frozenset({link.name})), link.name


def test_pairs_of_cuts_keep_what_they_do_not_change() -> None:
    topology = topologies.load(shipped.path("leaf-spine"))
    recompiler = Recompiler(topology)
    for pair in list(combinations([link.name for link in topology.links], 2))[:6]:
        tables = recompiler(frozenset(pair))
        assert not different(topology, recompiler, frozenset(pair))
        assert all(tables[name] is held or tables[name] != held for name, held in recompiler.tables.items())
    assert recompiler(frozenset()) == recompiler.tables
