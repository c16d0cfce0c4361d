"""Pictures of topologies: what they show, and that Graphviz reads them."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from lab.drawing.description import CHAIN_COLOURS, LAYERED, describe
from lab.drawing.graphviz import render
from lab.failure import Exit, Failure
from topologies import generate, shipped
from topologies.model.host_wires import host_wires
from topologies.model.topology import Topology

SVG = "{http://www.w3.org/2000/svg}"
needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


def shipped_one(name: str) -> Topology:
    return topologies.load(shipped.path(name))


def titles(svg: bytes, kind: str) -> set[str]:
    """What Graphviz calls the nodes, edges or clusters of a picture."""
    parts = ElementTree.fromstring(svg).iter(f"{SVG}g")
    return {part.findtext(f"{SVG}title") or "" for part in parts if part.get("class") == kind}


@needs_graphviz
@pytest.mark.parametrize("name", shipped.names())
def test_every_part_of_every_shipped_topology_is_in_its_picture(name: str) -> None:
    topology = shipped_one(name)
    svg = render(describe(topology), "svg")
    nodes = titles(svg, "node")
    wanted = {part.name for part in (*topology.switches, *topology.nodes)}
    wanted |= {instance.name for function in topology.functions for instance in function.instances}
    assert nodes >= wanted
    drawn = {frozenset(title.split("--")) for title in titles(svg, "edge")}
    assert drawn >= {frozenset((link.a.switch, link.b.switch)) for link in topology.links}
    assert drawn >= {frozenset((host.node, host.at.switch)) for host in topology.attached}
    assert drawn >= {frozenset(wire.ends) for wire in host_wires(topology)}
    boxes = {f"cluster {domain.name}" for domain in topology.domains} if len(topology.domains) > 1 else set()
    assert titles(svg, "cluster") == boxes


@needs_graphviz
@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=30)
def test_no_text_of_a_file_changes_what_the_picture_means(name: str, description: str) -> None:
    quiet = generate.single(2)
    topology = quiet.model_copy(update={"name": name, "description": description})
    svg = render(describe(topology), "svg")
    assert titles(svg, "node") == titles(render(describe(quiet), "svg"), "node")


def test_a_chain_goes_from_its_hosts_through_its_functions() -> None:
    lines = describe(shipped_one("service-chain")).text.splitlines()
    ways = [re.findall(r'"([^"]*)" -- "([^"]*)"', line)[0] for line in lines if CHAIN_COLOURS[0] in line]
    assert ways == [
        ("client", "fw.1"),
        ("client", "fw.2"),
        ("fw.1", "limit.1"),
        ("fw.2", "limit.1"),
        ("limit.1", "lb"),
    ]


def test_the_vlans_of_a_trunk_are_told() -> None:
    edges = [
        line for line in describe(shipped_one("vlans")).text.splitlines() if '"r1"' in line and "--" in line
    ]
    assert sorted(re.findall(r"VLAN \d+", " ".join(edges))) == ["VLAN 10", "VLAN 20"]


def test_what_is_cut_or_has_failed_is_red() -> None:
    topology = shipped_one("service-chain")
    text = describe(topology, cut={"s1-s2", "client-s1", "d1-r1"}, bad={"web1", "fw.2", "s3"}).text
    red = [line.split(" [")[0].strip() for line in text.splitlines() if '"red"' in line]
    links = ['"s1" -- "s2"', '"s1" -- "client"', '"r1" -- "vtep-d1"']
    assert sorted(red) == sorted([*links, '"web1"', '"fw.2"', '"s3"'])


def test_wide_and_long_labs_are_not_laid_out_in_layers() -> None:
    assert describe(generate.single(LAYERED // 2)).engine == "dot"
    assert describe(generate.single(LAYERED * 2)).engine == "neato"
    assert describe(generate.linear(30)).engine == "neato"
    assert describe(shipped_one("multi-domain")).engine == "dot"


@needs_graphviz
def test_no_two_nodes_of_a_large_lab_are_at_one_place() -> None:
    svg = render(describe(generate.tree(3, 5)), "svg")
    boxes = []
    for part in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if part.get("class") == "node" and (shape := part.find(f"{SVG}ellipse")) is not None:
            x, y, rx, ry = (float(shape.get(key, "0")) for key in ("cx", "cy", "rx", "ry"))
            boxes.append((x - rx, x + rx, y - ry, y + ry))
    assert len(boxes) == 125
    for one, other in combinations(boxes, 2):
        beside = one[1] <= other[0] or other[1] <= one[0]
        assert beside or one[3] <= other[2] or other[3] <= one[2]


def test_without_graphviz_a_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Failure, match="not installed") as told:
        render(describe(generate.single(2)), "svg")
    assert told.value.code == Exit.MACHINE and "graphviz" in told.value.remedy
