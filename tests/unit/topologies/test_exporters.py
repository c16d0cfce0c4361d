"""A topology as the file of another tool: nothing is lost silently, and what can be read back is the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import networkx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import topologies
from topologies import generate, shipped
from topologies.exporters import registry
from topologies.exporters.losses import hosts_of, interfaces_of
from topologies.exporters.registry import EXPORTERS
from topologies.model.topology import Topology
from topologies.model.wires import Shaping

FORMATS = {exporter.name: exporter for exporter in EXPORTERS}
BACK = {"graphml": "x.graphml", "containerlab": "x.clab.yml"}
"""The formats that sdnlab reads, too."""


def wiring(topology: Topology, shaped: bool) -> dict[str, Any]:
    """What must be the same: nodes, links and addresses; of what wires do, what GraphML has."""

    def kept(shaping: Shaping) -> object:
        return (shaping.bandwidth, shaping.delay, shaping.loss) if shaped else None

    links = [(link.a.switch, link.b.switch, kept(link.shaping)) for link in topology.links]
    return {
        "switches": {(switch.name, switch.dpid) for switch in topology.switches if switch.role == "switch"},
        "hosts": {
            (host.name, host.port.switch, host.mac, host.ipv4, host.ipv6, kept(host.shaping))
            for host in interfaces_of(topology)
        },
        "links": sorted((tuple(sorted((a, b))), str(shaping)) for a, b, shaping in links),
        "networks": {
            frozenset(host.name for host in interfaces_of(topology) if host.network == network.name)
            for network in topology.networks
        }
        - {frozenset()},
    }


def comes_back(topology: Topology, form: str) -> Topology:
    again = topologies.loads(FORMATS[form].write(topology).text, BACK[form])
    assert wiring(again, form == "graphml") == wiring(topology, form == "graphml")
    assert again.name == topology.name
    assert not [note for note in again.notes if not note.what.startswith("kinds.linux.image")]
    return again


ROUTED = ("routing", "ospf", "bgp", "router-ring")
PLAIN = [name for name in shipped.names() if name not in ("hosts", "interfaces", "vlans", *ROUTED)]


@pytest.mark.parametrize("form", BACK)
@pytest.mark.parametrize("name", PLAIN)
def test_a_shipped_topology_comes_back(name: str, form: str) -> None:
    comes_back(topologies.load(shipped.path(name)), form)


@st.composite
def labs(draw: st.DrawFn) -> Topology:
    """Any switches, hosts, links and networks."""
    switches = [f"s{n}" for n in range(1, draw(st.integers(1, 5)) + 1)]
    networks = draw(st.lists(st.sampled_from(["web", "db", "x.y"]), unique=True, min_size=1))
    lines = [
        "networks:",
        *(f"  {name}: {{}}" for name in networks),
        f"switches: [{', '.join(switches)}]",
        "hosts:",
    ]
    used = draw(st.lists(st.sampled_from(networks), min_size=1, max_size=6))
    for number, network in enumerate(used):
        switch = draw(st.sampled_from(switches))
        shape = draw(st.sampled_from(["", ", bandwidth: 10mbit", ", delay: 1500us, loss: 0.5%"]))
        lines.append(f"  h{number}: {{switch: {switch}, network: {network}{shape}}}")
    pairs = [(a, b) for a in switches for b in switches if a < b]
    some = draw(st.lists(st.sampled_from(pairs), max_size=6)) if pairs else []
    lines.append("links:" if some else "")
    lines += [f"  - {{ends: [{a}, {b}], delay: {n}ms}}" for n, (a, b) in enumerate(some)]
    return topologies.loads("\n".join(lines), "lab.yaml")


@given(labs(), st.sampled_from(sorted(BACK)))
def test_any_lab_comes_back(lab: Topology, form: str) -> None:
    comes_back(lab, form)


@pytest.mark.parametrize("form", FORMATS)
def test_what_a_format_cannot_say_is_listed_with_its_line(form: str) -> None:
    file = shipped.path("service-chain")
    losses = FORMATS[form].write(topologies.load(file)).losses
    line = file.read_text().split("\n").index("chains:") + 2
    assert f"{file}:{line}: chain web: a service chain: left out" in losses
    assert any("function fw" in loss for loss in losses) == (form != "mermaid")


@pytest.mark.parametrize("name", shipped.names())
def test_networkx_reads_the_graphml(name: str) -> None:
    topology = topologies.load(shipped.path(name))
    graph = networkx.parse_graphml(FORMATS["graphml"].write(topology).text, force_multigraph=True)
    kinds = networkx.get_node_attributes(graph, "kind")
    assert {name for name in kinds if kinds[name] == "host"} == {host.name for host in hosts_of(topology)}
    assert graph.number_of_edges() == len(topology.links) + len(hosts_of(topology))


@pytest.mark.parametrize("name", shipped.names())
def test_the_script_for_mininet_builds_the_same_graph(name: str) -> None:
    """Mininet's own Topo takes it; tests/system/test_formats.py runs one."""
    pytest.importorskip("mininet")
    topology = topologies.load(shipped.path(name))
    text = FORMATS["mininet"].write(topology).text
    ast.parse(text)
    space: dict[str, Any] = {"__name__": "custom"}
    exec(compile(text, f"{name}.py", "exec"), space)
    topo = space["topos"][topology.name]()
    assert len(topo.hosts()) == len(hosts_of(topology))
    assert len(topo.links()) == len(topology.links) + len(hosts_of(topology))
    assert all(len(node) <= 10 for node in topo.nodes())


def test_rings_have_spanning_tree_in_mininet() -> None:
    assert "stp=True" in FORMATS["mininet"].write(generate.KINDS["ring"](3)).text
    assert "stp=True" not in FORMATS["mininet"].write(generate.KINDS["linear"](3)).text


NODE = re.compile(r'\s+(n_\w+)(\["[^"]*"\]|\(\["[^"]*"\]\)|\{\{"[^"]*"\}\}|\(\("[^"]*"\)\))(:::\w+)?')
EDGE = re.compile(r'\s+(n_\w+) ---(?:\|"[^"]*"\|)? (n_\w+)')
OTHER = re.compile(r'flowchart TB|---|title: .*|\s+subgraph d\d+\["[^"]*"\]|\s+end|\s+classDef .*')


@pytest.mark.parametrize("name", shipped.names())
def test_every_line_for_mermaid_has_a_form_of_its_language(name: str) -> None:
    lines = FORMATS["mermaid"].write(topologies.load(shipped.path(name))).text.splitlines()
    nodes = {match[1] for line in lines if (match := NODE.fullmatch(line))}
    ends = {end for line in lines if (match := EDGE.fullmatch(line)) for end in match.groups()}
    assert ends <= nodes
    assert all(form.fullmatch(line) for line in lines for form in [_form(line)])


def _form(line: str) -> re.Pattern[str]:
    return NODE if NODE.fullmatch(line) else EDGE if EDGE.fullmatch(line) else OTHER


def test_names_that_mermaid_takes_for_words_are_no_identifiers() -> None:
    lab = topologies.loads("switches: [end, s-1, s.1]\nhosts: {graph: end, click: s-1}", "x.yaml")
    text = FORMATS["mermaid"].write(lab).text
    assert 'n_end["end"]' in text and 'n_s_2d_1["s-1"]' in text and 'n_s_2e_1["s.1"]' in text


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.clab.yml", "containerlab"),
        ("A.MMD", "mermaid"),
        ("x.py", "mininet"),
        ("x.yaml", None),
        ("x", None),
    ],
)
def test_the_name_of_a_file_says_its_format(file: str, name: str | None) -> None:
    exporter = registry.exporter_of(file)
    assert (exporter.name if exporter else None) == name


def test_long_names_are_short_in_mininet(tmp_path: Path) -> None:
    lab = topologies.loads("switches: [a-very-long-switch, s1]\nhosts: {another-long-host: s1}", "x.yaml")
    written = FORMATS["mininet"].write(lab)
    assert 'addSwitch("s2"' in written.text and 'addHost("h1"' in written.text
    assert len(written.losses) == 2 and "too long for Mininet" in written.losses[0]


def test_interfaces_after_the_first_are_written_or_their_loss_is_told() -> None:
    topology = topologies.load(shipped.path("interfaces"))
    clab = FORMATS["containerlab"].write(topology)
    assert not [loss for loss in clab.losses if "an interface of" in loss]
    nodes = yaml.safe_load(clab.text)["topology"]["links"]
    ends = {(link["endpoints"][0]["node"], link["endpoints"][0]["interface"]) for link in nodes[:-1]}
    assert {("server", "eth1"), ("server", "eth2"), ("nas", "eth1"), ("nas", "eth2")} <= ends
    assert "n_server --- n_s2" in FORMATS["mermaid"].write(topology).text
    for form in ("graphml", "mininet"):
        losses = FORMATS[form].write(topology).losses
        assert any(loss.endswith("host nas-eth1: an interface of nas: left out") for loss in losses)


@pytest.mark.parametrize("form", FORMATS)
def test_trunks_and_vlan_ids_are_lost(form: str) -> None:
    losses = "\n".join(FORMATS[form].write(topologies.load(shipped.path("vlans"))).losses)
    assert "network lan: its VLAN id 10: left out" in losses
    assert "host r1: that r1-eth0 is a trunk, with tags: left out" in losses
