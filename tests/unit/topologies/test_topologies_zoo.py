"""Real operators' networks (the Internet Topology Zoo), where a copy is at hand.

The collection is not part of the project: SDNLAB_TOPOLOGY_ZOO names a directory of .graphml files, else
``../shared/topology-zoo`` beside the project is taken.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import topologies
from tests.unit.topologies.topology_invariants import assert_sound

ZOO = Path(
    os.environ.get("SDNLAB_TOPOLOGY_ZOO") or Path(__file__).parents[3] / ".." / "shared" / "topology-zoo"
)
FILES = sorted(ZOO.glob("*.graphml"))
SPACE = "{http://graphml.graphdrawing.org/xmlns}"

pytestmark = pytest.mark.skipif(not FILES, reason=f"no topology zoo at {ZOO} (set SDNLAB_TOPOLOGY_ZOO)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_node_is_a_switch_with_a_host_and_every_edge_a_wire(path: Path) -> None:
    graph = ElementTree.parse(path).getroot()
    nodes = [node.get("id") for node in graph.iter(f"{SPACE}node")]
    edges = [(edge.get("source"), edge.get("target")) for edge in graph.iter(f"{SPACE}edge")]
    loops = sum(source == target for source, target in edges)

    topology = topologies.load(path)
    assert_sound(topology)
    assert len(topology.switches) == len(nodes)
    assert sorted(host.port.switch for host in topology.hosts) == sorted(s.name for s in topology.switches)
    assert len(topology.links) == len(edges) - loops
    assert ("left out" in topology.description) == bool(loops)
    for switch in topology.switches:
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,23}", switch.name)
    assert all(host.name == f"h-{host.port.switch}" for host in topology.hosts)
    assert not any(link.shaping for link in topology.links)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_wires_join_what_networkx_says_the_edges_join(path: Path) -> None:
    """The same graph, up to names, as the reader of networkx gives: an independent second opinion."""
    networkx = pytest.importorskip("networkx")
    theirs = networkx.MultiGraph(networkx.read_graphml(path, force_multigraph=True))
    theirs.remove_edges_from(list(networkx.selfloop_edges(theirs, keys=True)))
    topology = topologies.load(path)
    ours = networkx.MultiGraph()
    ours.add_nodes_from(switch.name for switch in topology.switches)
    ours.add_edges_from((link.a.switch, link.b.switch) for link in topology.links)
    assert networkx.faster_could_be_isomorphic(ours, theirs)
    assert sorted(dict(ours.degree).values()) == sorted(dict(theirs.degree).values())
    parts = [sorted(map(len, networkx.connected_components(graph))) for graph in (ours, theirs)]
    assert parts[0] == parts[1]
