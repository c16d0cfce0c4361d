"""The underlay's routes against networkx, and the plan of tunnels and moves against what they must be."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from dataplane.change.operations import MoveWire, SetPorts
from dataplane.change.steps import renamed, steps, unchangeable
from dataplane.plan.lab import plan
from dataplane.plan.routes import changes, routes
from dataplane.plan.underlay import NodeEnd, UnderlayLinkPlan, UnderlayPlan
from dataplane.plan.wiring import link_states, wiring
from topologies.edit import Impossible, move, switch_in
from topologies.generate import linear
from topologies.model.topology import Shaping


def shipped(name: str) -> topologies.Topology:
    return topologies.load(Path(topologies.__file__).parent / f"{name}.yaml")


@st.composite
def underlays(draw: st.DrawFn) -> UnderlayPlan:
    """Any graph of some domains and routers, also disconnected, with parallel links."""
    domains = [f"d{n}" for n in range(draw(st.integers(2, 4)))]
    routers = [f"r{n}" for n in range(draw(st.integers(0, 4)))]
    node = st.sampled_from([*domains, *routers])
    pairs = draw(st.lists(st.tuples(node, node).filter(lambda pair: pair[0] != pair[1]), max_size=12))
    links = []
    for number, (a, b) in enumerate(pairs):
        near, far = (IPv4Interface((0xC6138000 + 2 * number + side, 31)) for side in (0, 1))
        ends = NodeEnd(a, a, f"l{number}", near), NodeEnd(b, b, f"l{number}", far)
        links.append(UnderlayLinkPlan(f"l{number}", *ends, Shaping()))
    vteps = {name: IPv4Address(0xC6130001 + n) for n, name in enumerate(domains)}
    nodes = {name: name for name in (*domains, *routers)}
    return UnderlayPlan(1600, nodes, tuple(routers), vteps, tuple(links), ())


@settings(max_examples=150, deadline=None)
@given(underlays(), st.sets(st.integers(0, 11)))
def test_routes_are_all_shortest_paths_through_routers(plan: UnderlayPlan, cut: set[int]) -> None:
    down = frozenset(f"l{number}" for number in cut)
    routes_of = routes(plan, down)
    for source in plan.nodes:
        for domain, address in plan.vteps.items():
            # domains are ends: for this pair, only they and the routers are in the graph
            graph = nx.MultiGraph()
            graph.add_nodes_from([source, domain])
            inside = {source, domain, *plan.routers}
            graph.add_edges_from(
                (link.a.node, link.b.node)
                for link in plan.links
                if link.name not in down and {link.a.node, link.b.node} <= inside
            )
            prefix = IPv4Network((address, 32))
            wanted = set()
            if source != domain and nx.has_path(graph, source, domain):
                nexts = {path[1] for path in nx.all_shortest_paths(graph, source, domain)}
                for link in plan.links:
                    for mine, theirs in ((link.a, link.b), (link.b, link.a)):
                        if mine.node == source and theirs.node in nexts and link.name not in down:
                            wanted.add((mine.device, theirs.address.ip))
            assert set(routes_of[source].get(prefix, ())) == wanted


@settings(max_examples=60, deadline=None)
@given(underlays(), st.sets(st.integers(0, 11)))
def test_changes_lead_from_one_set_of_routes_to_the_other(plan: UnderlayPlan, cut: set[int]) -> None:
    old, new = routes(plan), routes(plan, frozenset(f"l{number}" for number in cut))
    held = {node: dict(some) for node, some in old.items()}
    for change in changes(old, new):
        if change.hops:
            held[change.node][change.to] = change.hops
        else:
            del held[change.node][change.to]
    assert held == new
    assert not changes(new, new)


def test_a_tunnel_is_planned_with_all_that_sits_behind_it() -> None:
    planned = plan(shipped("two-domains"))
    blue = next(device for device in planned.underlay.devices if device.device == "_vx100")
    assert (blue.netns, blue.vni, blue.local) == ("domain-d1", 100, IPv4Address("198.19.0.1"))
    assert blue.unicast == (("02:00:00:00:00:02", IPv4Address("198.19.0.2")),)
    assert blue.flood == (IPv4Address("198.19.0.2"),)
    vtep = next(b for d in planned.domains for b in d.bridges if b.switch == "vtep-d1")
    ports = {port.number: port for port in vtep.ports}
    assert ports[60_001].device == "_vx100" and ports[60_001].is_device
    s1 = next(b for d in planned.domains for b in d.bridges if b.switch == "s1")
    assert ports[1].peer in {port.device for port in s1.ports} and not ports[1].is_device


def test_devices_have_names_that_no_switch_or_host_can_have() -> None:
    for file in ("two-domains", "multi-domain"):
        planned = plan(shipped(file))
        for domain in planned.domains:
            names = [bridge.device for bridge in domain.bridges]
            names += [port.device for bridge in domain.bridges for port in bridge.ports]
            assert len(set(names)) == len(names)
            assert all(len(name) <= 15 for name in names)


def test_nothing_of_the_underlay_is_where_tenants_ports_are() -> None:
    for file in ("two-domains", "multi-domain", "service-chain", "ids"):
        planned = plan(shipped(file))
        ports = {end.netns for wire in planned.wires.values() for end in (wire.near, wire.far)}
        ports |= {domain.netns for domain in planned.domains}
        assert not ports & set(planned.underlay.nodes.values())
        assert not ports & {end.netns for link in planned.underlay.links for end in (link.a, link.b)}
        homes = {domain.netns: planned.underlay.nodes[domain.name] for domain in planned.domains}
        assert all(device.underlay == homes[device.netns] for device in planned.underlay.devices)
        assert len(set(planned.namespaces)) == len(list(planned.namespaces))


def test_a_lab_without_an_underlay_is_planned_as_before() -> None:
    planned = plan(linear(3))
    assert not planned.underlay.nodes and not planned.underlay.devices


def test_a_moved_host_is_made_before_it_is_broken() -> None:
    old = shipped("two-domains")
    new = move(old, "blue1", "s2")
    assert not unchangeable(old, new) and unchangeable(old, linear(2))
    before, after = plan(old), plan(new)
    none: frozenset[str] = frozenset()
    taken = steps(before, after, wiring(before, none, none), wiring(after, none, none))
    (moved,) = (operation for operation in taken.shift if isinstance(operation, MoveWire))
    assert (moved.old.far.device, moved.new.far.device) == ("s1-eth1", "s2-eth3")
    assert not taken.extend  # nothing more is needed there
    # the network's tunnels stay until the host has moved, and then go: nobody of blue is left in d1
    lost = {
        port.device for operation in taken.shift if isinstance(operation, SetPorts) for port in operation.lost
    }
    gone = {
        port.device
        for operation in taken.finish
        if isinstance(operation, SetPorts)
        for port in operation.lost
    }
    assert lost == {"s1-eth1"} and "_vx100" in gone
    assert renamed(frozenset({"blue1-s1", "d1-r1"}), before, after) == {"blue1-s2", "d1-r1"}


def test_a_cut_underlay_link_is_down_at_both_ends() -> None:
    planned = plan(shipped("multi-domain"))
    cut = frozenset({"d1-r1"})
    none: frozenset[str] = frozenset()
    down = wiring(planned, cut, none).down - wiring(planned, none, none).down
    assert down == {("underlay-d1", "d1-r1"), ("router-r1", "d1-r1")}
    assert link_states(planned, cut, none)["d1-r1"] is False


def test_what_can_not_be_moved_is_said() -> None:
    lab = shipped("two-domains")
    assert move(lab, "blue1", "s1") is lab
    assert switch_in(lab, "d2") == "s2"
    for host, switch in (("nobody", "s1"), ("blue1", "s9"), ("blue1", "vtep-d2")):
        with pytest.raises(Impossible, match="there is no"):
            move(lab, host, switch)
    with pytest.raises(Impossible, match="d9"):
        switch_in(lab, "d9")


def test_a_moved_host_gets_the_lowest_free_port() -> None:
    lab = shipped("two-domains")
    there = move(lab, "blue1", "s2")
    assert next(host.port.number for host in there.hosts if host.name == "blue1") == 3
    back = move(move(there, "red3", "s1"), "blue1", "s1")
    ports = [host.port for host in back.hosts]
    assert len(set(ports)) == len(ports)
