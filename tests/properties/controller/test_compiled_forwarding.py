"""Properties of compiled tables over random graphs, found by evaluating them."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from controller.compiler.compile import compile_topology
from controller.compiler.forwarding import TURNED
from controller.flow.tables import ToGroup
from controller.simulate.network import Fabric, Lookup, Outcome, wire
from tests.unit.controller.made_chains import mirrors
from tests.unit.controller.made_frames import ipv4, ipv6
from tests.unit.controller.made_labs import lab, leaf_spine
from tests.unit.strategies import edges, places, some_of
from topologies.model.attachment import AtPorts
from topologies.model.topology import Host, Topology
from wire.mac import mac_number


@st.composite
def labs(draw: st.DrawFn, networks: int = 2, dense: bool = False) -> Topology:
    """Any graph: parallel links, several components, switches without hosts. ``dense``: few
    switches with many links and a host each, where a frame would find ways to circle."""
    count = draw(st.integers(4, 5) if dense else st.integers(1, 7))
    links = draw(edges(count, 6 if dense else 0, 14))
    hosts = range(count) if dense else [switch for switch, _ in draw(places(count, 1, 2, 5))]
    return lab(count, links, hosts, draw(st.integers(1, networks)))


def graph(topology: Topology, without: frozenset[str] = frozenset()) -> nx.MultiGraph:
    multigraph = nx.MultiGraph()
    multigraph.add_nodes_from(switch.name for switch in topology.switches)
    multigraph.add_edges_from(
        (e.a.switch, e.b.switch, e.name) for e in topology.links if e.name not in without
    )
    if topology.underlay is not None:  # for a network that crosses, it joins all
        multigraph.add_edges_from((switch.name, "underlay") for switch in topology.switches)
    return multigraph


def pairs(topology: Topology) -> list[tuple[Host, Host]]:
    return [(a, b) for a in topology.attached for b in topology.attached if a is not b]


def arrived(outcomes: frozenset[Outcome], frame: dict[str, int], target: Host) -> bool:
    """Whether, whatever is chosen, exactly this frame comes out at ``target``, once."""
    return all(
        not outcome.loop
        and not outcome.punted
        and [(e.at, e.fields) for e in outcome.delivered] == [(target.port, wire(frame))]
        for outcome in outcomes
    )


def lost(outcomes: frozenset[Outcome]) -> bool:
    return all(not outcome.delivered and not outcome.loop and not outcome.punted for outcome in outcomes)


def check_all_pairs(topology: Topology, fabric: Fabric, paths: nx.MultiGraph) -> None:
    for source, target in pairs(topology):
        if source.ipv4 and target.ipv4:
            frame = ipv4(source, target)
        elif source.ipv6 and target.ipv6:
            frame = ipv6(source, target)
        else:
            continue
        outcomes = fabric.outcomes(frame, source.port)
        reachable = nx.has_path(paths, source.port.switch, target.port.switch)
        if source.network == target.network and reachable:
            assert arrived(outcomes, frame, target), (source.name, target.name, outcomes)
        elif topology.underlay is None:
            assert lost(outcomes), (source.name, target.name, outcomes)
        else:  # a network that crosses looks for an unknown address among its own members
            ports = {arrival.at for outcome in outcomes for arrival in outcome.delivered}
            assert target.port not in ports, (source.name, target.name, outcomes)


@given(labs())
def test_every_pair_of_a_network_is_delivered_exactly_once_and_no_other(topology: Topology) -> None:
    check_all_pairs(topology, Fabric(topology, compile_topology(topology)), graph(topology))


@given(labs(), st.data())
def test_recompiled_without_some_links_every_path_left_is_used(
    topology: Topology, data: st.DataObject
) -> None:
    names = [link.name for link in topology.links]
    down = data.draw(some_of(*names, most=3))
    tables = compile_topology(topology, down_links=down)
    check_all_pairs(topology, Fabric(topology, tables, down), graph(topology, down))


@settings(max_examples=200)
@given(labs(networks=1), st.data())
def test_a_dead_link_alone_is_repaired_wherever_a_group_was_compiled(
    topology: Topology, data: st.DataObject
) -> None:
    if not topology.links:
        return
    dead = data.draw(st.sampled_from(topology.links)).name
    fabric = Fabric(topology, compile_topology(topology), frozenset((dead,)))
    for source, target in pairs(topology):
        frame = ipv4(source, target)
        for outcome in fabric.outcomes(frame, source.port):
            assert not outcome.loop
            if arrived(frozenset((outcome,)), frame, target):
                continue
            # lost: only where the last switch had just one way, and no group to choose another
            assert not outcome.delivered and not outcome.punted
            actions = outcome.steps[-1].flows[-1].actions
            assert not any(isinstance(action, ToGroup) for action in actions), outcome.steps


@settings(max_examples=200)
@given(labs(networks=1, dense=True), st.data())
def test_whatever_switches_and_links_die_at_once_no_frame_circles(
    topology: Topology, data: st.DataObject
) -> None:
    gone = data.draw(some_of(*(switch.name for switch in topology.switches), most=2))
    dead = frozenset(e.name for e in topology.links if {e.a.switch, e.b.switch} & gone)
    names = [link.name for link in topology.links]
    dead |= data.draw(some_of(*names, most=2))
    fabric = Fabric(topology, compile_topology(topology), dead)
    for source, target in pairs(topology):
        for outcome in fabric.outcomes(ipv4(source, target), source.port):
            assert not outcome.loop
            assert len(outcome.delivered) <= 1
            assert all(one.at == target.port for one in outcome.delivered)


def test_a_dead_switch_makes_no_frame_circle_among_its_neighbours() -> None:
    # s1..s3 form a triangle, each linked to s4: all three links die with s4
    topology = lab(4, [(0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3)], [0, 1, 2, 3])
    dead = frozenset(link.name for link in topology.links if "s4" in (link.a.switch, link.b.switch))
    fabric = Fabric(topology, compile_topology(topology), dead)
    for source in topology.hosts[:3]:
        assert lost(fabric.outcomes(ipv4(source, topology.hosts[3]), source.port))


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (4, 3)])
def test_leaf_spine_survives_any_single_link_without_the_controller(shape: tuple[int, int]) -> None:
    topology = leaf_spine(*shape, hosts_per_leaf=1)
    tables = {name: Lookup(held) for name, held in compile_topology(topology).items()}
    for link in topology.links:
        fabric = Fabric(topology, tables, frozenset((link.name,)))
        for source, target in pairs(topology):
            frame = ipv6(source, target)
            assert arrived(fabric.outcomes(frame, source.port), frame, target), link.name


SHIPPED = sorted(Path(topologies.__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize(
    "path",
    [path for path in SHIPPED if path.stem != "two-sites"],  # its firewall of flows is in a chain
    ids=lambda path: path.stem,
)
def test_a_shipped_lab_delivers_all_pairs(path: Path) -> None:
    topology = topologies.load(path)
    # but for what a firewall at the hosts' ports forbids (test_compiled_firewall), and for taps' copies,
    # which arrive beside (test_compiled_chains)
    functions = tuple(
        function
        for function in topology.functions
        if not isinstance(function.attachment, AtPorts) and not mirrors(function)
    )
    topology = topology.model_copy(update={"functions": functions})
    check_all_pairs(topology, Fabric(topology, compile_topology(topology)), graph(topology))


@pytest.mark.parametrize("name", ["campus", "leaf-spine"])
def test_a_redundant_shipped_lab_survives_any_single_link_without_the_controller(name: str) -> None:
    topology = topologies.load(next(path for path in SHIPPED if path.stem == name))
    tables = {name: Lookup(held) for name, held in compile_topology(topology).items()}
    by_switch = {host.port.switch: host for host in topology.hosts}
    few = [
        (a, b) for a in by_switch.values() for b in by_switch.values() if a.network == b.network and a != b
    ][::3]
    for link in topology.links:
        fabric = Fabric(topology, tables, frozenset((link.name,)))
        for source, target in few:
            frame = ipv4(source, target)
            assert arrived(fabric.outcomes(frame, source.port), frame, target), (link.name, source, target)


def test_equal_paths_are_all_used() -> None:
    topology = leaf_spine(2, 3, hosts_per_leaf=1)
    source, target = topology.hosts
    tables = compile_topology(topology)
    to_s2 = tables["s1"].groups[0]
    assert {bucket.watch_port for bucket in to_s2.buckets} == {
        link.a.number for link in topology.links if link.a.switch == "s1"
    }
    assert arrived(
        Fabric(topology, tables).outcomes(ipv4(source, target), source.port), ipv4(source, target), target
    )


@given(labs(networks=1), st.data())
def test_a_switch_to_be_avoided_is_crossed_only_when_nothing_else_leads_on(
    topology: Topology, data: st.DataObject
) -> None:
    names = [switch.name for switch in topology.switches]
    avoid = frozenset(data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=2)))
    fabric = Fabric(topology, compile_topology(topology, avoid=avoid))
    whole = graph(topology)
    check_all_pairs(topology, fabric, whole)
    for source, target in pairs(topology):
        ends = {source.port.switch, target.port.switch}
        around = whole.copy()
        around.remove_nodes_from(avoid - ends)
        if nx.has_path(around, *(source.port.switch, target.port.switch)):
            for outcome in fabric.outcomes(ipv4(source, target), source.port):
                assert {step.switch for step in outcome.steps} & avoid <= ends


def test_a_changed_path_changes_groups_and_keeps_their_numbers() -> None:
    topology = leaf_spine(4, 3)
    before = compile_topology(topology)["s1"]
    after = compile_topology(topology, down_links=frozenset(("s1-s5",)))["s1"]
    # flows may change only where a neighbour's frames are turned back, and where a broadcast's tree changes
    plain = [
        [
            flow
            for flow in compiled.flows
            if flow.priority != TURNED and "broadcast or multicast" not in flow.origin.text
        ]
        for compiled in (before, after)
    ]
    assert plain[0] == plain[1]
    assert before.groups != after.groups
    assert next(len(group.buckets) for group in before.groups if group.kind == "select") == 3


def test_unknown_destination_and_forged_source_are_dropped() -> None:
    topology = leaf_spine()
    host = topology.hosts[0]
    fabric = Fabric(topology, compile_topology(topology))
    assert lost(fabric.outcomes({**ipv4(host, host), "eth_dst": 0x02FFFFFFFFFF}, host.port))
    forged = {**ipv4(host, topology.hosts[2]), "eth_src": mac_number(host.mac) | 1 << 40}
    assert lost(fabric.outcomes(forged, host.port))
