"""Functions that join know what is on its way: requests that went by before are answered through them."""

from __future__ import annotations

from itertools import chain, combinations, pairwise

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.flow.tables import Clone
from controller.origin import Into, Spreading
from controller.simulate.network import Fabric, wire
from controller.simulate.tracking import Connections
from controller.update.consistent_update import stages, teaches
from controller.update.joining import joining, lesson
from tests.unit.controller.made_chains import packet, routed
from topologies.edit import scale
from topologies.model.topology import Host, Topology

LAB = """
name: lab
switches: [s1, s2, s3]
links: [s1 -- s2, s2 -- s3]
networks: {{lan: {{subnet4: 10.0.0.0/24}}}}
hosts: {{h1: s1, h2: s3, h3: s1}}
functions:
  wire: {{kind: bridge, switch: s1}}
  seen: {{kind: ids, mode: tap, switch: s3}}
  first: {{kind: firewall, engine: openflow, switch: s2, rules: [{{action: accept, protocol: udp}}]}}
  edge:
    kind: firewall
    engine: openflow
    switch: s2
    rules: [{{action: accept, protocol: udp, source: h1}}]
chains:
  {name}: {{source: {source}, destination: h2, direction: both, functions: [{functions}]}}
"""


def given(functions: str, running: Topology | None = None, name: str = "all", source: str = "h1") -> Topology:
    text = LAB.format(functions=functions, name=name, source=source)
    return topologies.loads(text.encode(), "lab.yaml", running=running)


def answered(old: Topology, new: Topology) -> list[int]:
    """A request at each stage but the last, and its answer in the next one: how many answers arrive each."""
    steps = [compile_topology(old), *stages(compile_topology(old), compile_topology(new), joining(old, new))]
    hosts: dict[str, Host] = {host.name: host for host in new.hosts}
    a, b = hosts["h1"], hosts["h2"]
    connections, counts = Connections(), []
    for number, (one, two) in enumerate(pairwise(steps)):
        ports = (40000 + number, 80)
        for tables, asked in ((one, (a, b, ports)), (two, (b, a, ports[::-1]))):
            source, target, some = asked
            frame = packet(source, target, "udp", some, False)
            fabric = Fabric(new, tables, connections=connections)
            (outcome,) = fabric.outcomes(frame, source.port)
            there = [delivery for delivery in outcome.delivered if delivery.at == target.port]
            assert all(delivery.fields == wire(routed(frame, target)) for delivery in there)
        # what begins before anything is taught is on its way for longer than functions are taught
        if number and teaches(steps[number]):
            counts.append(len(there))
    return counts


WAYS = ("", "wire", "seen", "first", "wire, first, seen")


@pytest.mark.parametrize("before", WAYS[1:])
@pytest.mark.parametrize("after", ["edge", "edge, {0}", "{0}, edge"])
def test_an_answer_comes_once_through_a_firewall_that_joined_meanwhile(before: str, after: str) -> None:
    old = given(before)
    new = given(after.format(before), old)
    counts = answered(old, new)
    assert counts and set(counts) == {1}


def test_a_firewall_that_takes_more_than_before_is_taught_that() -> None:
    old = given("edge", source="h3")
    assert set(answered(old, given("edge", old, source="[h1, h3]"))) == {1}


def test_the_first_function_in_a_lab_is_taught_beside_taps_that_look_at_hosts() -> None:
    text = LAB.format(functions="edge", name="all", source="h1")
    text = text.replace("functions:\n", "functions:\n  eye: {kind: ids, switch: s1, mirrors: [h1]}\n", 1)
    old = topologies.loads(text[: text.index("chains:")].encode(), "lab.yaml")
    counts = answered(old, topologies.loads(text.encode(), "lab.yaml", running=old))
    assert counts and set(counts) == {1}


@pytest.mark.parametrize("after", ["edge", "edge, wire"])
def test_no_host_gets_a_copy_while_some_switches_have_the_next_stage(after: str) -> None:
    old = given("wire")
    new = given(after, old)
    steps = [compile_topology(old), *stages(compile_topology(old), compile_topology(new), joining(old, new))]
    assert any(map(teaches, steps))
    hosts = {host.name: host for host in new.hosts}
    switches = sorted(steps[0])
    for one, two in pairwise(steps):
        for ahead in chain.from_iterable(combinations(switches, n) for n in range(len(switches) + 1)):
            mixed = {name: (two if name in ahead else one)[name] for name in switches}
            for a, b in (("h1", "h2"), ("h2", "h1")):
                source, target = hosts[a], hosts[b]
                # the firewall lets answers out only where it knows what was asked
                connections = Connections()
                for asking in ((hosts["h1"], hosts["h2"]), (source, target)):
                    ports = (40000, 80) if asking[0] is hosts["h1"] else (80, 40000)
                    frame = packet(*asking, "udp", ports, False)
                    fabric = Fabric(new, mixed, connections=connections)
                    (outcome,) = fabric.outcomes(frame, asking[0].port)
                arrived = [where.at for where in outcome.delivered if where.at in (source.port, target.port)]
                assert arrived == [target.port], (ahead, outcome.delivered)


def test_what_has_passed_a_function_is_not_taught_it() -> None:
    old = given("wire, edge")
    for new in (given("edge, wire", old), given("edge", old), given("edge, wire", old, name="other")):
        assert not joining(old, new).hops


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 2), (2, 4)])
def test_instances_take_connections_over_when_they_have_been_taught(before: int, after: int) -> None:
    text = LAB.format(functions="walls", name="all", source="h1")
    text = text.replace(
        "  edge:", "  walls: {kind: firewall, switch: s2, rules: [{action: accept}]}\n  edge:"
    )
    old = scale(topologies.loads(text.encode(), "lab.yaml"), "walls", before)
    new = scale(old, "walls", after)
    tables = compile_topology(old)
    steps = stages(tables, compile_topology(new), joining(old, new))
    (lesson,) = (number for number, step in enumerate(steps) if teaches(step))
    for step in steps[: lesson + 1]:
        held = {(entry.table, entry.priority, entry.match): entry for entry in step["s2"].flows}
        for entry in tables["s2"].flows:
            if isinstance(entry.origin, (Into, Spreading)):
                now = held[entry.table, entry.priority, entry.match].actions
                assert [one for one in now if not isinstance(one, Clone)] == list(entry.actions)


def test_bridges_have_nothing_to_learn_unless_copies_have_to_pass_them() -> None:
    old = given("seen")
    assert not joining(old, given("wire", old)).hops
    assert (
        len(joining(old, given("wire, edge", old)).hops) == 3
    )  # the wire there, the firewall there and back


def test_a_lesson_is_as_long_as_an_answer_may_take() -> None:
    quick, text = given("edge"), LAB.format(functions="edge", name="all", source="h1")
    slow = text.replace("links: [s1 -- s2,", "links: [{ends: s1 -- s2, delay: 100ms},")
    assert lesson(quick) == 0.5
    assert lesson(topologies.loads(slow.encode(), "lab.yaml")) == pytest.approx(0.9)
    far = slow.replace("100ms", "2s")
    assert lesson(topologies.loads(far.encode(), "lab.yaml")) == 3.0
