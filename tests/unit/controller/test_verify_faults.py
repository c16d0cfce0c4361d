"""Tables that are broken in one place each: verification finds it, and says where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.flow.tables import (
    Bucket,
    Field,
    Flow,
    Group,
    Output,
    Resubmit,
    SetField,
    SwitchTables,
    Table,
    ToGroup,
)
from controller.verify.report import (
    ADDRESSES,
    CHAINS,
    DELIVERY,
    HOLES,
    INTACT,
    ISOLATION,
    KEYS,
    LOOPS,
    OVERLAPS,
    REFUSAL,
    SHADOWED,
    WATCHED,
    Report,
)
from controller.verify.verify import Verification, verify
from topologies.model.topology import Topology

PLAIN = b"""
switches: [s1, s2, s3]
links: [s1 -- s2, s2 -- s3, s1 -- s3]
networks: {red: {}, blue: {}}
hosts:
  r1: {switch: s1, network: red}
  r2: {switch: s2, network: red}
  r3: {switch: s3, network: red}
  b1: {switch: s1, network: blue}
  b2: {switch: s2, network: blue}
"""
ROUTED = PLAIN.replace(b"hosts:", b"routers: {r: [red, blue]}\nhosts:")
CHAINED = b"""
switches: [s1, s2]
links: [s1 -- s2]
hosts: {a: s1, b: s2}
functions:
  f1: {kind: bridge, switch: s1}
  f2: {kind: bridge, switch: s2}
  fw:
    kind: firewall
    engine: openflow
    switch: s1
    default: drop
    rules:
      - {name: web, action: accept, protocol: tcp, ports: [80]}
chains:
  way: {source: a, destination: b, functions: [f1, f2]}
  web: {source: a, destination: b, protocol: tcp, ports: [80, 81], functions: [fw], priority: 1}
"""
ACROSS = b"""
domains: [d1, d2]
switches: {s1: {domain: d1}, s2: {domain: d2}}
underlay:
  links: [d1 -- d2]
  tunnels: ovs
networks: {red: {vni: 100}, blue: {vni: 200}}
hosts:
  r1: {switch: s1, network: red}
  r2: {switch: s2, network: red}
  b1: {switch: s1, network: blue}
  b2: {switch: s2, network: blue}
"""

Tables = dict[str, SwitchTables]
RESUBMIT = Resubmit(Table.STEER)
Change = Callable[[Flow], "Iterable[Flow]"]


@cache
def lab(text: bytes) -> Topology:
    return topologies.loads(text, "lab.yaml")


def to(name: str, table: Table = Table.FORWARD) -> Callable[[Flow], bool]:
    return lambda flow: flow.table is table and f"{flow.why},".startswith(f"to {name},")


def says(words: str, table: Table) -> Callable[[Flow], bool]:
    return lambda flow: flow.table is table and words in flow.why


def changed(text: bytes, *faults: object) -> Report:
    """The report on the lab's tables with some flows changed. ``faults``: a switch, which flows, what
    becomes of them; and so on."""
    topology = lab(text)
    tables = compile_topology(topology)
    for switch, which, change in zip(*[iter(faults)] * 3, strict=True):
        held = tables[switch]  # type: ignore[index]
        assert any(map(which, held.flows)), [flow.why for flow in held.flows]  # type: ignore[arg-type]
        flows = [
            after
            for flow in held.flows
            for after in (change(flow) if which(flow) else (flow,))  # type: ignore[operator]
        ]
        tables[switch] = replace(held, flows=tuple(flows))  # type: ignore[index]
    return verify(topology, tables, 0)


def again(flow: Flow, **fields: object) -> Flow:
    return replace(flow, cookie=flow.cookie ^ 1, **fields)  # type: ignore[arg-type]


def drop(flow: Flow) -> Iterable[Flow]:
    return ()


def without_actions(flow: Flow) -> Iterable[Flow]:
    yield again(flow, actions=(), goto=None)


def out_of(port: int) -> Change:
    return lambda flow: (again(flow, actions=(Output(port),), goto=None),)


def twice(flow: Flow) -> Iterable[Flow]:
    yield flow
    yield again(flow, actions=(Output(4242),), goto=None)


def at_priority(priority: int) -> Change:
    return lambda flow: (again(flow, priority=priority),)


def host_port(text: bytes, name: str) -> int:
    return next(host.port.number for host in lab(text).hosts if host.name == name)


def link_port(text: bytes, switch: str, name: str) -> int:
    link = next(link for link in lab(text).links if link.name == name)
    return link.a.number if link.a.switch == switch else link.b.number


FAULTS: dict[str, tuple[Callable[[], Report], str, str]] = {
    "a flow is missing where the packet comes in": (
        lambda: changed(PLAIN, "s1", to("r2 on s2"), drop), DELIVERY, "r1 to r2",
    ),
    "a flow is missing at the receiver's switch": (
        lambda: changed(PLAIN, "s2", to("r2 on s2"), drop), DELIVERY, "s2, FORWARD",
    ),
    "a flow drops": (
        lambda: changed(PLAIN, "s2", to("r2 on s2"), without_actions), DELIVERY, "to r2 on s2",
    ),
    "a link's flow is missing": (
        lambda: changed(PLAIN, "s2", says("link s1-s2", Table.CLASSIFY), drop), DELIVERY, "s2, CLASSIFY",
    ),
    "two ports are swapped: another host of the network": (
        lambda: changed(PLAIN, "s1", to("r1 on s1"), out_of(host_port(PLAIN, "b1"))), ISOLATION, "b1",
    ),
    "a port that nothing is at": (
        lambda: changed(PLAIN, "s1", to("r1 on s1"), out_of(77)), HOLES, "port 77",
    ),
    "three switches send to one another": (
        lambda: changed(
            PLAIN, "s2", to("r2 on s2"), out_of(link_port(PLAIN, "s2", "s2-s3")),
            "s3", to("r2 on s2"), out_of(link_port(PLAIN, "s3", "s1-s3")),
        ),
        LOOPS, "go round",
    ),
    "a group that is not there": (
        lambda: changed(PLAIN, "s1", to("r2 on s2"), lambda f: (again(f, actions=(ToGroup(99),)),)),
        HOLES, "no group 99",
    ),
    "a table without its last flow": (
        lambda: changed(PLAIN, "s1", says("no such station", Table.FORWARD), drop), HOLES, "table FORWARD",
    ),
    "the wrong network where frames come in": (
        lambda: changed(
            PLAIN, "s1", says("from b1", Table.CLASSIFY),
            lambda f: (again(f, actions=(SetField("reg0", 2),)),),
        ),
        ISOLATION, "frame of b1 (network blue)",
    ),
    "two flows of one key": (
        lambda: changed(PLAIN, "s3", to("r3 on s3"), twice), KEYS, "s3, table FORWARD",
    ),
    "a flow of too low a priority": (
        lambda: changed(
            PLAIN, "s1", says("r2 answered here", Table.RESOLVE), at_priority(1)), ADDRESSES, "asks for r2",
    ),
    "an answer with the wrong address": (
        lambda: changed(
            PLAIN, "s1", says("ARP for r2 answered", Table.RESOLVE),
            lambda f: (again(f, actions=tuple(
                SetField("arp_sha", 7) if action[:1] == ("arp_sha",) else action for action in f.actions)),),
        ),
        ADDRESSES, "ARP: r1 asks for r2: the answer has another arp_sha",
    ),
    "the mark of a detour is not taken off": (
        lambda: changed(
            PLAIN, "s2", to("r2 on s2"),
            lambda f: (again(f, actions=(SetField("eth_src", 1 << 40, 1 << 40), *f.actions[1:])),),
        ),
        INTACT, "r2 gets a frame with the mark",
    ),
    "the source guard lets nothing of a host through": (
        lambda: changed(PLAIN, "s1", lambda f: f.table is Table.SECURITY and "r1" in f.why, drop),
        DELIVERY, "r1 to r2",
    ),
    "the router's way to a host is missing": (
        lambda: changed(ROUTED, "s1", says("to b2", Table.ROUTE), drop), DELIVERY, "r1 to b2",
    ),
    "the router writes another address": (
        lambda: changed(
            ROUTED, "s1", says("to b2", Table.ROUTE),
            lambda f: (again(f, actions=tuple(
                SetField("eth_src", 7) if action[:1] == ("eth_src",) else action for action in f.actions)),),
        ),
        DELIVERY, "another eth_src",
    ),
    "a chain's flow is missing": (
        lambda: changed(CHAINED, "s1", lambda f: f.table is Table.CHAIN and f.why == "chain way", drop),
        CHAINS, "it passes no function",
    ),
    "the way back of a chain is missing": (
        lambda: changed(
            CHAINED, "s2", lambda f: f.table is Table.CHAIN and f.why == "chain way, the way back", drop),
        CHAINS, "the answer: it passes no function",
    ),
    "a function is skipped": (
        lambda: changed(
            CHAINED, "s1", lambda f: "from f1.1: goes on" in f.why and f.goto is Table.STEER,
            lambda f: (again(f, actions=(SetField("reg0", 1),), goto=Table.RESOLVE),)),
        CHAINS, "it passes f1",
    ),
    "a hop's flow is missing": (
        lambda: changed(CHAINED, "s2", says("f2 (f2", Table.STEER), drop), DELIVERY, "s2",
    ),
    "a firewall's rule is missing": (
        lambda: changed(
            CHAINED, "s1", lambda f: f.table is Table.STEER and str(f.origin.entity) == "rule fw/web", drop),
        DELIVERY, "port 80",
    ),
    "a firewall accepts what it should drop": (
        lambda: changed(
            CHAINED, "s1", lambda f: f.table is Table.STEER and str(f.origin.entity) == "default fw",
            lambda f: (again(f, actions=(SetField("reg6", 1), RESUBMIT)),)),
        REFUSAL, "port 81",
    ),
    "the wrong VNI": (
        lambda: changed(
            ACROSS, vtep(ACROSS, "d1"), says("to r2 behind", Table.FORWARD),
            lambda f: (again(f, actions=(SetField("tun_id", 200), *f.actions[1:])),)),
        DELIVERY, "r1 to r2",
    ),
}  # fmt: skip


def vtep(text: bytes, domain: str) -> str:
    topology = lab(text)
    assert topology.underlay is not None
    return next(end.switch for end in topology.underlay.vteps if end.domain == domain)


@pytest.mark.parametrize("text", (PLAIN, ROUTED, CHAINED, ACROSS))
def test_what_is_compiled_is_right(text: bytes) -> None:
    report = verify(lab(text), cuts=1)
    assert report.proven, report.findings[:3]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str) -> None:
    make, property_, words = FAULTS[name]
    report = make()
    named = [finding for finding in report.findings if finding.property == property_]
    assert named, [finding.what for finding in report.findings[:5]]
    assert any(words in finding.what for finding in named), [finding.what for finding in named[:5]]
    assert not report.proven


def test_a_bucket_that_watches_the_wrong_port_is_found_when_its_link_is_cut() -> None:
    topology = lab(PLAIN)
    tables = compile_topology(topology)
    held = tables["s1"]
    broken: list[Group] = []
    for group in held.groups:
        first, *rest = group.buckets
        broken.append(replace(group, buckets=(Bucket(first.actions, None), *rest)))
    assert broken
    tables["s1"] = replace(held, groups=tuple(broken))
    report = verify(topology, tables, 1)
    named = [finding for finding in report.findings if finding.property == WATCHED]
    assert named and all("s1, group" in finding.what for finding in named)
    assert "bucket 1 sends by port" in named[0].what and "watches no port" in named[0].what
    right = verify(topology, cuts=1)
    assert sum(report.unprotected.values()) > sum(right.unprotected.values())


def test_flows_of_equal_priority_that_match_one_packet_are_told() -> None:
    topology = lab(PLAIN)
    tables = compile_topology(topology)
    held = tables["s1"]
    flow = next(flow for flow in held.flows if to("r2 on s2")(flow))
    for match, actions, is_told in (
        ((*flow.match, Field("eth_type", 0x800)), (), True),
        ((*flow.match, Field("eth_type", 0x800)), flow.actions, False),
        ((Field("eth_dst", 0x020000000099), Field("eth_type", 0x800)), (), False),
    ):
        other = replace(flow, match=match, actions=actions, cookie=1)
        tables["s1"] = replace(held, flows=(*held.flows, other))
        report = verify(topology, tables, 0)
        named = [finding.what for finding in report.findings if finding.property == OVERLAPS]
        assert bool(named) == is_told
        assert all("s1, table FORWARD: two flows of priority 200" in what for what in named)


def test_flows_that_others_take_all_common_packets_of_are_in_order() -> None:
    topology = lab(PLAIN)
    tables = compile_topology(topology)
    held = tables["s1"]
    flow = next(flow for flow in held.flows if to("r2 on s2")(flow))
    match = (*flow.match, Field("eth_type", 0x800))
    other = replace(flow, match=match, actions=(), cookie=1)
    above = replace(flow, match=match, priority=flow.priority + 1, cookie=2)
    tables["s1"] = replace(held, flows=(*held.flows, other, above))
    report = verify(topology, tables, 0)
    assert not [finding for finding in report.findings if finding.property == OVERLAPS]


def test_a_flow_that_others_hide_is_told() -> None:
    topology = lab(PLAIN)
    tables = compile_topology(topology)
    held = tables["s1"]
    flow = next(flow for flow in held.flows if to("r2 on s2")(flow))
    match = (*flow.match, Field("eth_type", 0x800))
    hidden = replace(flow, match=match, priority=flow.priority - 1, cookie=1)
    tables["s1"] = replace(held, flows=(*held.flows, hidden))
    report = verify(topology, tables, 0)
    assert [finding.property for finding in report.findings] == [SHADOWED]


def test_a_change_is_checked_by_what_it_touches() -> None:
    topology = lab(PLAIN)
    run = Verification(topology)
    assert run.everything().proven
    right = run.tables
    broken = dict(right)
    held = right["s2"]
    broken["s2"] = replace(held, flows=tuple(flow for flow in held.flows if not to("r2 on s2")(flow)))
    report = run.recheck(broken)
    assert {finding.property for finding in report.findings} >= {DELIVERY}
    assert all("r2" in finding.what for finding in report.findings)
    assert run.recheck(right).proven
