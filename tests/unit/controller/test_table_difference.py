"""Installed against wanted: only what differs is sent."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.compiler.compile import compile_topology
from controller.flow.tables import Meter
from controller.origin import Origin
from controller.update.difference import Difference, after_bundle, before_bundle, bundle, difference
from tests.unit.controller.made_labs import leaf_spine

WANTED = compile_topology(leaf_spine(3, 2))["s1"]
COOKIES = tuple(entry.cookie for entry in WANTED.flows)


def test_nothing_differs() -> None:
    change = difference(COOKIES, WANTED.groups, WANTED)
    assert not change and change == Difference() and (change.added, change.deleted) == (0, 0)


def test_an_empty_switch_gets_everything() -> None:
    change = difference((), (), WANTED)
    assert (change.add, change.groups_add) == (WANTED.flows, WANTED.groups)
    assert not change.delete and not change.groups_delete and not change.groups_modify
    assert bundle(change)


def test_provenance_alone_is_no_difference() -> None:
    groups = [replace(group, origin=Origin()) for group in WANTED.groups]
    meter = Meter(1, 10, 5, Origin("a rule's rate"))
    assert not difference(COOKIES, groups, replace(WANTED, meters=(meter,)), (Meter(1, 10, 5),))


def test_groups_are_compared_by_content() -> None:
    first, *others = WANTED.groups
    old = replace(first, buckets=first.buckets[:1])
    change = difference(COOKIES, [old, *others], WANTED)
    assert change == Difference(groups_modify=(first,))


@given(st.sets(st.sampled_from(COOKIES)), st.sets(st.integers(1, 1 << 64 - 1)))
def test_applying_a_difference_gives_what_was_wanted(have: set[int], foreign: set[int]) -> None:
    installed = have | (foreign - set(COOKIES))
    change = difference(installed, (), WANTED)
    after = (installed - set(change.delete)) | {entry.cookie for entry in change.add}
    assert after == set(COOKIES)
    assert not have & {entry.cookie for entry in change.add}


def test_meters_are_compared_by_content() -> None:
    wanted = replace(WANTED, meters=(Meter(1, 10, 5), Meter(2, 20, 5)))
    assert not difference(COOKIES, WANTED.groups, wanted, wanted.meters)
    change = difference(COOKIES, WANTED.groups, wanted, (Meter(2, 21, 5), Meter(3, 1, 1)))
    assert change == Difference(
        meters_add=(Meter(1, 10, 5),), meters_modify=(Meter(2, 20, 5),), meters_delete=(3,)
    )
    assert change and (change.added, change.deleted) == (2, 1)
    assert before_bundle(change) and after_bundle(change)
    assert not before_bundle(Difference()) and not after_bundle(Difference())
