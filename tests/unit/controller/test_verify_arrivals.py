"""Bags of frames that left the fabric, against plain lists of them; and what a broadcast's tree changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from controller.compiler.broadcast import FLOOD
from controller.compiler.compile import compile_topology
from controller.compiler.recompile import Recompiler
from controller.flow.tables import Bucket, Field, Output, SetField, SwitchTables, Table, ToGroup
from controller.verify.arrivals import NOWHERE, Arrivals, Delivered, Outlets, Written
from controller.verify.destinations import Destinations, Held
from controller.verify.lab import Lab
from controller.verify.lookup import SwitchIndex
from controller.verify.names import Names
from controller.verify.states import Space
from tests.unit.controller.made_labs import lab
from topologies.model.topology import Port, Topology

PORTS = [Port(switch=f"s{n % 3}", number=1 + n // 3) for n in range(7)]
WRITTEN: list[Written] = [(), (("vlan_vid", 0),), (("eth_src", 7),)]
FRAMES = st.lists(st.tuples(st.sampled_from(PORTS), st.sampled_from(WRITTEN)), max_size=8)


def bag(outlets: Outlets, frames: list[tuple[Port, Written]]) -> Arrivals:
    arrivals = NOWHERE
    for port, written in frames:
        arrivals += outlets.one(port, written)
    return arrivals


@given(FRAMES, FRAMES)
def test_a_bag_has_each_frame_as_often_as_it_left_in_the_order_of_ports(
    one: list[tuple[Port, Written]], other: list[tuple[Port, Written]]
) -> None:
    outlets = Outlets()
    together = bag(outlets, one) + bag(outlets, other)
    assert Counter(together) == Counter(Delivered(*frame) for frame in (*one, *other))
    assert len(together) == len(one) + len(other)
    ports = [(delivered.at.switch, delivered.at.number) for delivered in together]
    assert ports == sorted(ports)


@given(FRAMES, st.randoms(use_true_random=False))
def test_bags_of_equal_frames_are_equal_and_others_are_not(
    frames: list[tuple[Port, Written]], random: Random
) -> None:
    outlets = Outlets()
    shuffled = [*frames]
    random.shuffle(shuffled)
    assert bag(outlets, frames) == bag(outlets, shuffled)
    assert hash(bag(outlets, frames)) == hash(bag(outlets, shuffled))
    assert bag(outlets, frames) != bag(outlets, [*frames, (PORTS[0], ())])


@given(FRAMES)
def test_what_is_written_later_makes_frames_equal(frames: list[tuple[Port, Written]]) -> None:
    outlets = Outlets()
    written = bag(outlets, frames).rewritten(lambda before: (("vlan_vid", 5),) if before else ())
    expected = Counter(Delivered(at, (("vlan_vid", 5),) if before else ()) for at, before in frames)
    assert Counter(written) == expected


def test_a_port_is_asked_once_also_when_it_comes_later() -> None:
    outlets = Outlets()
    asked: list[Port] = []

    def is_first(port: Port) -> bool:
        asked.append(port)
        return port.number == 1

    numbers = [outlets.number(port) for port in PORTS[:2]]
    assert outlets.those("first", is_first) == sum(1 << number for number in numbers)
    later = outlets.number(PORTS[5])
    assert not outlets.those("first", is_first) >> later & 1
    assert asked == [PORTS[0], PORTS[1], PORTS[5]]


def test_another_tree_is_nothing_to_destinations_and_is_covered() -> None:
    topology = lab(3, [(0, 1), (1, 2), (0, 2)], [0, 1, 2])
    recompiled = Recompiler(topology, same_tags=True)
    to = Destinations(Lab(topology), _space(topology, recompiled.tables).reads)
    for link in topology.links:
        cut = recompiled(frozenset((link.name,)))
        for name, now in cut.items():
            held = Held(recompiled.tables[name], to, Names())
            assert not held.other(now).whole
    (whole,) = [table for table in recompiled.tables.values() if table.switch == "s1"]
    flood = next(group for group in whole.groups if group.id >= FLOOD)
    fewer = replace(flood, buckets=flood.buckets[1:])
    groups = tuple(fewer if group is flood else group for group in whole.groups)
    change = Held(whole, to, Names()).other(replace(whole, groups=groups))
    assert not change.changed and [ToGroup(flood.id)] == [flow.actions[0] for flow in change.beside]
    assert not change.whole


def test_where_addresses_are_written_all_flows_count_for_all_destinations() -> None:
    topology = lab(2, [(0, 1)], [0, 1])
    tables = compile_topology(topology)
    to = Destinations(Lab(topology), _space(topology, tables).reads)
    held = tables["s1"]
    beside = Held(held, to, Names()).beside
    assert beside and all(any(field.name == "eth_dst" for field in flow.match) for flow in beside)
    flow = next(flow for flow in held.flows if flow.table is Table.FORWARD)
    writing = replace(flow, actions=(SetField("eth_dst", 5), *flow.actions), cookie=1)
    now = replace(held, flows=(*held.flows, writing))
    assert not Held(now, to, Names()).beside
    assert Held(held, to, Names()).other(now).whole
    flood = next(group for group in held.groups if group.id >= FLOOD)
    writer = replace(flood, buckets=(*flood.buckets, Bucket((SetField("eth_dst", 5), Output(1)))))
    groups = tuple(writer if group is flood else group for group in held.groups)
    assert Held(held, to, Names()).other(replace(held, groups=groups)).whole


def test_a_flow_of_a_tree_that_asks_for_more_is_not_covered() -> None:
    topology = lab(2, [(0, 1)], [0, 1])
    tables = compile_topology(topology)
    reads = _space(topology, tables).reads
    held = tables["s1"]
    groups = {group.id: group for group in held.groups}
    flood = next(flow for flow in held.flows if flow.actions and flow.actions[0] == ToGroup(max(groups)))
    assert reads.covers_flow(flood, groups)
    assert not reads.covers_flow(replace(flood, match=(*flood.match, Field("nw_tos", 4))), groups)
    assert not reads.covers_flow(replace(flood, goto=Table.ADMIT), groups)


def _space(topology: Topology, tables: Mapping[str, SwitchTables]) -> Space:
    indexes = {name: SwitchIndex(held) for name, held in tables.items()}
    return Space(topology, indexes)
