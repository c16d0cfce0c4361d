"""Explained ways: the same as evaluated ones, with reasons, and with the frames that hosts send."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.compiler.compile import compile_topology
from controller.flow.tables import Flow, Output, SwitchTables, Table
from controller.simulate.hashes import symmetric
from controller.simulate.network import Fabric, Lookup
from controller.simulate.switch import wire
from controller.simulate.tracking import Connections
from controller.trace.path import explain
from controller.trace.questions import CannotAsk, Traffic, answer, question, words
from topologies import load, loads, shipped
from topologies.model.endpoints import endpoints
from topologies.model.topology import Topology

SHIPPED = ("quickstart", "firewall", "nat", "service-chain", "leaf-spine", "two-domains", "campus")
QUICK = load(shipped.path("quickstart"))
FIREWALL = load(shipped.path("firewall"))


def sent_by_hosts(topology: Topology) -> list[tuple[str, str, Traffic]]:
    names = [host.name for host in topology.hosts][:5]
    kinds = (Traffic(), Traffic("tcp", 80), Traffic("udp", 53), Traffic("icmp", 0, 6))
    return [(a, b, kind) for a in names for b in names if a != b for kind in kinds]


@pytest.mark.parametrize("name", SHIPPED)
def test_an_explained_way_is_one_that_is_evaluated(name: str) -> None:
    topology = load(shipped.path(name))
    tables = {switch: Lookup(held) for switch, held in compile_topology(topology).items()}
    asked = 0
    for source, destination, traffic in sent_by_hosts(topology):
        try:
            sent = question(topology, source, destination, traffic)
        except CannotAsk:
            continue
        asked += 1
        trace = explain(topology, tables, sent.frame, sent.at)
        ends = sorted(
            (copy.port, wire(copy.frame)) for copy in trace.ends() if copy.passage.kind in ("host", "tap")
        )
        # without connections of its own each select group has all its ways
        ways = Fabric(topology, tables, chooser=symmetric).outcomes(sent.frame, sent.at)
        known = Fabric(topology, tables, chooser=symmetric, connections=Connections()).outcomes(
            sent.frame, sent.at
        )
        evaluated = [
            sorted((arrival.at, arrival.fields) for arrival in way.delivered) for way in ways | known
        ]
        assert ends in evaluated, (source, destination, traffic)
    assert asked > 5


def changed(topology: Topology, switch: str, **what: object) -> dict[str, SwitchTables]:
    tables = compile_topology(topology)
    return {**tables, switch: replace(tables[switch], **what)}  # type: ignore[arg-type]


def test_the_reason_of_a_drop_is_the_rule_with_its_entry_in_the_file() -> None:
    sent = question(FIREWALL, "db", "app")
    (stop,) = explain(FIREWALL, compile_topology(FIREWALL), sent.frame, sent.at).stops()
    assert (stop.switch, stop.why) == ("s2", "the controller gets it: firewall guard, default: reject")
    assert stop.entity is not None
    place = FIREWALL.places.of(stop.entity)
    assert (
        place is not None and "default: reject" in Path(place.file).read_text().splitlines()[place.line - 1]
    )


def test_a_table_without_a_flow_is_named() -> None:
    sent = question(QUICK, "h1", "h2")
    flows = tuple(flow for flow in compile_topology(QUICK)["s1"].flows if flow.table is not Table.FORWARD)
    trace = explain(QUICK, changed(QUICK, "s1", flows=flows), sent.frame, sent.at)
    assert [stop.why for stop in trace.stops()] == ["no flow of table FORWARD matches"]
    assert trace.delivered() == ()


def test_a_dead_link_is_named() -> None:
    sent = question(FIREWALL, "app", "db", Traffic("tcp", 5432))
    trace = explain(FIREWALL, compile_topology(FIREWALL), sent.frame, sent.at, frozenset(("s1-s2",)))
    assert [stop.why for stop in trace.stops()] == ["the link is down"]


def test_a_failed_instance_is_named() -> None:
    sent = question(FIREWALL, "h1", "h2")
    tables = compile_topology(FIREWALL)
    trace = explain(FIREWALL, tables, sent.frame, sent.at, failed=frozenset(("edge.1",)))
    assert [(stop.switch, stop.why) for stop in trace.stops()] == [("s2", "edge.1 does not work")]


def test_a_loop_ends() -> None:
    topology = FIREWALL
    (link,) = topology.links
    sent = question(topology, "app", "db", Traffic("tcp", 5432))
    across = {end.switch: end.number for end in (link.a, link.b)}
    # both ends send all frames back to each other, from a port that is not theirs
    tables = {
        name: SwitchTables(name, 1, (Flow(Table.CLASSIFY, 1, (), (Output(0xFFFFFFF8),)),), ())
        for name in across
    }
    tables["s1"] = replace(
        tables["s1"],
        flows=(*tables["s1"].flows, Flow(Table.CLASSIFY, 2, (), (Output(0xFFFFFFF8), Output(across["s1"])))),
    )
    stops = explain(topology, tables, sent.frame, sent.at).stops()
    assert "it has been here already: it goes round in a loop" in [stop.why for stop in stops]


def test_functions_tags_and_translation_are_seen_on_the_way() -> None:
    sent = question(FIREWALL, "h1", "h2")
    hops = list(explain(FIREWALL, compile_topology(FIREWALL), sent.frame, sent.at).hops())
    assert [(hop.at.switch, hop.came.kind, hop.came.name) for hop in hops] == [
        ("s1", "host", "h1"), ("s2", "link", "s1-s2"), ("s2", "function", "edge.1"),
    ]  # fmt: skip
    assert "vlan_vid" in hops[1].frame and "vlan_vid" not in hops[2].frame
    nat = load(shipped.path("nat"))
    sent = question(nat, "pc", "server")
    (copy,) = explain(nat, compile_topology(nat), sent.frame, sent.at).delivered()
    assert words(copy.frame) == "ICMP echo request 203.0.113.1 -> 203.0.113.80"


def test_a_tunnel_has_its_vni_and_ends() -> None:
    topology = load(shipped.path("two-domains"))
    here, there = (
        topology.hosts[0],
        next(h for h in topology.hosts if h.port.switch != topology.hosts[0].port.switch),
    )
    sent = question(topology, here.name, there.name)
    trace = explain(topology, compile_topology(topology), sent.frame, sent.at)
    (tunnel,) = (copy.passage for hop in trace.hops() for copy in hop.copies if copy.passage.kind == "tunnel")
    network = next(network for network in topology.networks if network.name == here.network)
    assert tunnel.vni == network.vni and topology.underlay is not None
    assert set(tunnel.vteps or ()) == {str(vtep.address) for vtep in topology.underlay.vteps}
    assert [copy.passage.name for copy in trace.delivered()] == [there.name]


def test_an_answer_comes_back_through_the_translator() -> None:
    nat = load(shipped.path("nat"))
    tables, connections = compile_topology(nat), Connections()
    sent = question(nat, "pc", "server", Traffic("tcp", 80))
    (copy,) = explain(nat, tables, sent.frame, sent.at, connections=connections).delivered()
    receiver = next(endpoint for endpoint in endpoints(nat) if endpoint.port == copy.port)
    reply = answer(nat, receiver, copy.frame)
    assert reply is not None and reply.words == "TCP SYN+ACK 203.0.113.80:80 -> 203.0.113.1:49152"
    (back,) = explain(nat, tables, reply.frame, reply.at, connections=connections).delivered()
    assert (back.passage.name, words(back.frame)) == (
        "pc",
        "TCP SYN+ACK 203.0.113.80:80 -> 192.168.1.2:49152",
    )
    # without what the switches know of the connection, the answer gets nowhere
    assert explain(nat, tables, reply.frame, reply.at).delivered() == ()


@pytest.mark.parametrize(
    ("source", "destination", "traffic", "what"),
    [
        ("h9", "h2", Traffic(), "no host named 'h9'"),
        ("h1", "h9", Traffic(), "nothing named 'h9' has addresses"),
        ("h1", "db", Traffic(), "h1 has no route to"),
        ("h1", "10.0.0.77", Traffic(), "nobody in network office has 10.0.0.77"),
        ("h1", "10.0.0.2", Traffic("icmp", 0, 6), "10.0.0.2 is no IPv6 address"),
        ("h1", "224.0.0.1", Traffic(), "224.0.0.1 is no address of one host"),
    ],
)
def test_what_no_host_sends_is_said(source: str, destination: str, traffic: Traffic, what: str) -> None:
    with pytest.raises(CannotAsk) as error:
        question(FIREWALL, source, destination, traffic)
    assert error.value.what.startswith(what) and error.value.remedy


def test_hosts_answer_what_is_for_them_only() -> None:
    topology = loads(b"name: x\nswitches: [s1]\nhosts: {h1: s1, h2: s1}\n", "x.yaml")
    receiver = next(endpoint for endpoint in endpoints(topology) if endpoint.name == "h2")
    ping = question(topology, "h1", "h2").frame
    assert answer(topology, receiver, ping) is not None
    for other in ({"eth_dst": 1}, {"ip_dst": 1}, {"icmp_type": 0}, {"vlan_vid": 0x1001}):
        assert answer(topology, receiver, {**ping, **other}) is None
    reset = {**question(topology, "h1", "h2", Traffic("tcp", 80)).frame, "tcp_flags": 4}
    assert answer(topology, receiver, reset) is None


def test_each_turn_takes_another_bucket() -> None:
    topology = load(shipped.path("service-chain"))
    tables = {name: Lookup(held) for name, held in compile_topology(topology).items()}
    sent = question(topology, "client", "lb", Traffic("tcp", 80))
    reached = set()
    for turn in range(4):
        (copy,) = explain(topology, tables, sent.frame, sent.at, turn=turn).delivered()
        reached.add(copy.passage.name)
    assert reached == {"web1", "web2", "web3"}
