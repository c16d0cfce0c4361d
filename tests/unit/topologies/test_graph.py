"""``Topology.graph()`` and what ``sdnlab graph`` says of it."""

from __future__ import annotations

import subprocess
import sys

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import topologies
from topologies import generate, shipped
from topologies.model import overlay, parts
from topologies.model.graph import analysis


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_topologies_are_graphs_with_everything_in_them(name: str) -> None:
    topology = topologies.load(shipped.path(name))
    graph = topology.graph()
    kinds = [kind for _, kind in graph.nodes(data="kind")]
    instances = [instance for function in topology.functions for instance in function.instances]
    underlay = topology.underlay
    assert kinds.count("switch") + kinds.count("vtep") == len(topology.switches)
    assert kinds.count("host") == len(topology.nodes)
    assert kinds.count("function") == len(instances)
    assert kinds.count("router") == (len(underlay.routers) if underlay else 0)
    edges = [kind for *_, kind in graph.edges(data="kind")]
    assert edges.count("link") == len(topology.links)
    assert edges.count("underlay") == (len(underlay.links) if underlay else 0)
    assert edges.count("uplink") == len(overlay.overlay(topology).uplinks)
    assert "<node id=" in "\n".join(networkx.generate_graphml(graph))


def test_attributes_of_a_wire() -> None:
    text = "switches: [a, b]\nlinks: [{ends: [a, b], bandwidth: 10mbit, delay: 2ms}, a -- b]\n"
    graph = topologies.loads(text, "x.yaml").graph()
    assert graph.edges["a", "b", "a-b"] == {"kind": "link", "bandwidth": 10_000_000, "delay": 2000}
    assert graph.edges["a", "b", "a-b#2"] == {"kind": "link"}


@given(st.integers(1, 12), st.integers(0, 10), st.integers(0, 5), st.booleans())
def test_the_analysis_agrees_with_what_cutting_does(n: int, extra: int, seed: int, connected: bool) -> None:
    """A bridge is a link without which there are more parts; a cut switch is one, too."""
    topology = generate.random(n, 1, extra, seed, connected)
    result = analysis(topology)
    assert result.parts == len(parts.parts(topology))
    names = [switch.name for switch in topology.switches]
    ends = {link.name: (link.a.switch, link.b.switch) for link in topology.links}

    def count(left_out: str) -> int:
        joined = [pair for link, pair in ends.items() if left_out not in (link, *pair)]
        return len(
            set(overlay.connected_components([name for name in names if name != left_out], joined).values())
        )

    assert set(result.bridges) == {link for link in ends if count(link) > result.parts}
    alone = {name for name in names if all(name not in pair for pair in ends.values())}
    cutting = {name for name in names if count(name) > result.parts - (name in alone)}
    assert set(result.cut_switches) == cutting


def test_diameter() -> None:
    assert analysis(generate.linear(7)).diameter == 6
    assert analysis(generate.leaf_spine(4, 2, 1)).diameter == 2
    assert analysis(generate.single(3)) == (1, 0, (), ())


def test_networkx_is_not_imported_before_a_graph_is_wanted() -> None:
    program = (
        "import sys, topologies; from topologies import shipped;"
        "topologies.load(shipped.path('multi-domain')); import controller.compiler.compile, lab.cli.files;"
        "assert 'networkx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
