"""Changing chains: whichever switch is how far, packets are treated in the old way or in the new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compiler.compile import compile_topology
from controller.flow.tables import SwitchTables, Table
from controller.simulate.network import Fabric, Lookup, Outcome, wire
from controller.update.consistent_update import teaches
from controller.update.difference import stages
from controller.update.joining import joining
from tests.unit.controller.made_chains import (
    Asked,
    Frame,
    chain,
    chain_labs,
    expected,
    flow_hops_that_pass_everything,
    joined,
    mirrors,
    packet,
    routed,
    tap_ports,
    way,
    with_functions,
)
from tests.unit.controller.made_labs import lab
from tests.unit.strategies import one_of, some_of
from topologies.model.functions import Chain
from topologies.model.kinds import Bridge
from topologies.model.topology import Host, Topology

__all__ = ["flow_hops_that_pass_everything"]


compiled = lru_cache(maxsize=200)(compile_topology)
"""Examples often compile the same again."""
EDITS = ("keep", "reorder", "functions", "functions", "remove", "encapsulation", "classifier")


def changed(draw: st.DrawFn, topology: Topology, chain: Chain, path: int) -> Chain | None:
    """The chain after an edit of the file, or None: taken out. Another list of functions has another path."""
    names = [function.name for function in topology.functions if not mirrors(function)]
    edit = draw(one_of(*EDITS))
    if edit == "remove":
        return None
    if edit == "reorder":
        return chain.model_copy(update={"functions": tuple(reversed(chain.functions)), "path": path})
    if edit == "functions":
        return chain.model_copy(update={"functions": tuple(draw(way(*names))), "path": path})
    if edit == "encapsulation":
        return chain.model_copy(update={"encapsulation": draw(one_of("nsh", "vlan"))})
    if edit == "classifier":
        protocol = draw(one_of(None, "tcp", "udp"))
        return chain.model_copy(update={"protocol": protocol, "destination_ports": ()})
    return chain


def renumbered(before: Sequence[Chain], after: Sequence[Chain]) -> Iterator[Chain]:
    """The chains after an edit, as ``controller.update.consistent_update`` asks for: where chains share
    functions and one takes other traffic than before, or is gone, they all get new paths."""
    left = {chain.name: (chain.protocol, chain.destination_ports) for chain in after}
    moved = any(left.get(chain.name) != (chain.protocol, chain.destination_ports) for chain in before)
    for number, remaining in enumerate(after):
        others = {name for one in (*before, *after) if one.name != remaining.name for name in one.functions}
        shares = moved and others & set(remaining.functions)
        yield remaining.model_copy(update={"path": 70 + number}) if shares else remaining


@st.composite
def edits(draw: st.DrawFn) -> tuple[Topology, Topology]:
    """A lab before and after its chains were edited; and the other way round."""
    topology = draw(chain_labs(instances=2, modes=("inline", "inline", "inline", "tap", "flows")))
    after = [
        new
        for number, chain in enumerate(topology.chains)
        if (new := changed(draw, topology, chain, 50 + number)) is not None
    ]
    edited = topology.model_copy(update={"chains": tuple(renumbered(topology.chains, after))})
    return (topology, edited) if draw(st.booleans()) else (edited, topology)


def union(old: Topology, new: Topology) -> Topology:
    """A lab with the ports of both: they are made before and taken away after."""
    chains = {(chain.path, chain.name): chain for chain in (*old.chains, *new.chains)}
    return new.model_copy(update={"chains": tuple(chains.values())})


def is_one_of(outcome: Outcome, ways: list[tuple[Topology, Host, Host, Frame]]) -> bool:
    return any(_is(outcome, *way) for way in ways)


def _is(outcome: Outcome, topology: Topology, a: Host, b: Host, frame: Frame) -> bool:
    wanted = expected(topology, a, b, frame)
    if len(outcome.visited) != len(wanted.ways):
        return False
    if not all(port in ways for port, ways in zip(outcome.visited, wanted.ways, strict=True)):
        return False
    taps = tap_ports(topology)
    arrived = [(arrival.at, arrival.fields) for arrival in outcome.delivered if arrival.at not in taps]
    copies = [arrival for arrival in outcome.delivered if arrival.at in taps]
    whole = all(copy.fields == wire(frame) for copy in copies) and len(copies) == len(wanted.taps)
    return whole and arrived == ([(b.port, wire(routed(frame, b)))] if wanted.arrives else [])


def lookups(tables: Mapping[str, SwitchTables]) -> dict[str, Lookup]:
    return {name: Lookup(held) for name, held in tables.items()}


def check_moment(
    old: Topology, new: Topology, tables: Mapping[str, Lookup], frames: list[tuple[Host, Host, Frame]]
) -> None:
    fabric = Fabric(union(old, new), tables)
    for a, b, frame in frames:
        for outcome in fabric.outcomes(frame, a.port):
            assert not outcome.loop and not outcome.punted
            assert is_one_of(outcome, [(old, a, b, frame), (new, a, b, frame)]), outcome.visited


PACKETS = st.sampled_from(
    [*product(("udp", "tcp"), ((40000, 80), (80, 40000), (1, 1500)), (False, True))],
)
"""Protocol, ports and whether it is IPv6."""


@settings(max_examples=50)
@given(edits(), st.data())
def test_at_every_moment_each_packet_is_treated_wholly_in_the_old_way_or_the_new(
    edit: tuple[Topology, Topology], data: st.DataObject
) -> None:
    old, new = edit
    before, after = compiled(old), compiled(new)
    steps = [before, *stages(before, after)]
    assert steps[-1] == after
    pairs = [(a, b) for a in old.hosts for b in old.hosts if a is not b and joined(old, a, b)]
    frames = []
    for a, b in pairs[:6]:
        frames.append((a, b, packet(a, b, *data.draw(PACKETS))))
    names = list(after)
    for one, two in pairwise(map(lookups, steps)):
        for _ in range(2):
            first = data.draw(some_of(*names))
            check_moment(old, new, {name: (two if name in first else one)[name] for name in names}, frames)
        check_moment(old, new, two, frames)


def check_lessons(
    old: Topology,
    new: Topology,
    tables: Mapping[str, Lookup],
    frames: list[tuple[Host, Host, Frame]],
    everywhere: bool,
) -> None:
    """Nothing is lost, and nothing comes twice; where all switches have the same stage, to functions, too."""
    fabric = Fabric(union(old, new), tables)
    taps = tap_ports(old) | tap_ports(new)
    for a, b, frame in frames:
        for outcome in fabric.outcomes(frame, a.port):
            assert not outcome.loop and not outcome.punted
            arrived = [
                (arrival.at, arrival.fields) for arrival in outcome.delivered if arrival.at not in taps
            ]
            ways = [expected(one, a, b, frame).arrives for one in (old, new)]
            assert arrived == [(b.port, wire(routed(frame, b)))] or not all(ways)
            given = [*outcome.visited, *(arrival.at for arrival in outcome.delivered if arrival.at in taps)]
            assert not everywhere or len(set(given)) == len(given), given


@settings(max_examples=25)
@given(edits(), st.data())
def test_what_joins_is_given_what_it_will_have_in_its_way_and_nobody_anything_twice(
    edit: tuple[Topology, Topology], data: st.DataObject
) -> None:
    old, new = edit
    before, after = compiled(old), compiled(new)
    with pytest.MonkeyPatch.context() as patch:  # the made functions are bridges
        patch.setattr(Bridge, "remembers", True)
        steps = [before, *stages(before, after, joining(old, new))]
    assert steps[-1] == after
    pairs = [(a, b) for a in old.hosts for b in old.hosts if a is not b and joined(old, a, b)]
    frames = [(a, b, packet(a, b, "tcp", (40000, 80), False)) for a, b in pairs[:6]]
    names = list(after)
    for one, two in pairwise(map(lookups, steps)):
        first = data.draw(some_of(*names))
        mixed = {name: (two if name in first else one)[name] for name in names}
        check_lessons(old, new, mixed, frames, everywhere=False)
        check_lessons(old, new, two, frames, everywhere=True)
    lessons = [step for step in steps if teaches(step)]
    in_use = {function for chain in old.chains for function in chain.functions}
    fresh = [i for f in new.functions if f.name not in in_use for i in f.instances]
    ports = {port for instance in fresh for port in instance.ports}
    for a, b, frame in frames:
        # a function that others of its frames have passed is given none, and who comes after it has none
        ways = [way for way in expected(new, a, b, frame).ways if way <= ports]
        had = expected(old, a, b, frame).ways
        if not all(way in had or way <= ports for way in expected(new, a, b, frame).ways):
            continue
        assert not ways or lessons
        for step in lessons:
            for outcome in Fabric(union(old, new), step).outcomes(frame, a.port):
                assert all(way & set(outcome.visited) for way in ways), outcome.visited


def one_switch(*names: str) -> Topology:
    base = with_functions(lab(2, [(0, 1)], [0, 1]), [Asked("inline", 0), Asked("inline", 1)])
    h1, h2 = base.hosts
    return chain(base, h1, h2, names, path=1 if names == ("f1", "f2") else 2) if names else base


def test_a_reordered_chain_marks_its_packets_until_the_old_hops_are_gone() -> None:
    before, after = compiled(one_switch("f1", "f2")), compiled(one_switch("f2", "f1"))
    steps = stages(before, after)
    assert len(steps) == 6 and steps[-1] == after
    sizes = [[len(step[name].flows) for name in ("s1", "s2")] for step in steps]
    # added, switched over, only removed, what comes back, unmarked, only removed
    held = [{name: {flow.cookie for flow in step[name].flows} for name in step} for step in steps]
    for fewer, more in ((held[2], held[1]), (held[5], held[4])):
        assert all(fewer[name] < more[name] for name in ("s1", "s2")), sizes
    marked = [any("marked" in flow.why for flow in step["s1"].flows) for step in steps]
    assert marked == [True, True, True, True, True, False]


def test_a_chain_that_comes_or_goes_needs_no_marks() -> None:
    none, some = compiled(one_switch()), compiled(one_switch("f1", "f2"))
    for before, after in ((none, some), (some, none)):
        steps = stages(before, after)
        assert not any("marked" in flow.why for flow in steps[-1]["s1"].flows)
        assert steps[-1] == after

    # classifiers are the last to come and the first to go
    def classified(step: Mapping[str, SwitchTables]) -> bool:
        return any(flow.table is Table.CHAIN and flow.match for flow in step["s1"].flows)

    assert not classified(stages(none, some)[0])


def test_what_changes_no_chain_is_one_stage() -> None:
    topology = one_switch("f1", "f2")
    before = compiled(topology)
    for after in (
        compiled(topology, failed=frozenset({"f1.1"})),
        compiled(topology, down_links=frozenset({"s1-s2"})),
        before,
    ):
        assert stages(before, after) == [after]
    assert stages({}, before) == [before]
