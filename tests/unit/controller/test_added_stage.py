"""Stages, tables and watchers that are added from outside."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from controller import messages
from controller.compiler import pipeline
from controller.compiler.compile import compile_topology
from controller.compiler.pipeline import Part, add_stage
from controller.compiler.view import SwitchView
from controller.flow import tables
from controller.flow.builders import miss
from controller.flow.tables import Table, add_table, table_of
from controller.messages import AllProgrammed, Connected, Event, following
from topologies import loads


@pytest.fixture(autouse=True)
def as_it_was() -> Iterable[None]:
    """What a test adds is gone after it."""
    stages, added, watchers = list(pipeline.PIPELINE), dict(tables.ADDED), list(messages.WATCHERS)
    yield
    pipeline.PIPELINE[:], messages.WATCHERS[:] = stages, watchers
    tables.ADDED.clear()
    tables.ADDED.update(added)


def test_an_added_table_is_like_any_other() -> None:
    added = add_table("ADDED", Table.MIRROR, Table.CHAIN)
    assert Table.MIRROR < added < Table.CHAIN
    assert (added.name, Table(int(added)), table_of(int(added))) == ("ADDED", added, added)
    assert table_of(int(added) + 1) is None and table_of(0xFF) is None
    with pytest.raises(ValueError, match="a table is called ADDED already"):
        add_table("ADDED", Table.CHAIN, Table.STEER)
    with pytest.raises(ValueError, match="a table is called CHAIN already"):
        add_table("CHAIN", Table.CHAIN, Table.STEER)


def test_numbers_come_to_an_end() -> None:
    with pytest.raises(ValueError, match="no number is left between the tables"):
        for number in range(20):
            add_stage(f"T{number}", lambda here, after: Part(), before=Table.CHAIN)


def test_frames_pass_an_added_stage_on_their_way() -> None:
    def compile_added(here: SwitchView, after: Table) -> Part:
        return Part([miss(added, after, "added")] if here.name == "s1" else ())

    added = add_stage("ADDED", compile_added, before=Table.CHAIN)
    tables = compile_topology(loads("switches: [s1, s2]\nhosts: {a: s1, b: s2}\nlinks: [s1 -- s2]"))

    def entered(switch: str, table: Table) -> set[Table]:
        return {flow.table for flow in tables[switch].flows if flow.goto == table}

    assert entered("s1", added) == {Table.SECURITY}
    assert added in entered("s1", Table.RESOLVE)
    assert not entered("s2", added), "a stage without flows is passed by"


@pytest.mark.parametrize("before", [Table.CLASSIFY, Table.SECURITY, Table.FORWARD, Table.FRAGMENT])
def test_where_no_stage_fits(before: Table) -> None:
    with pytest.raises(ValueError, match=r"before|stands after"):
        add_stage("ADDED", lambda here, after: Part(), before=before)
    assert table_of(int(before) - 5) is None


def test_watchers_are_given_events_and_their_errors_are_told() -> None:
    @messages.watch
    def counts(said: Event) -> Iterable[Event]:
        return [Connected("again")] if isinstance(said, Connected) else []

    assert following(Connected("s1")) == [Connected("again")]
    assert following(AllProgrammed(0.1)) == []

    @messages.watch
    def wrong(said: Event) -> Iterable[Event]:
        raise KeyError("s9")

    assert "wrong fails at all-programmed: KeyError: 's9'" in following(AllProgrammed(0.1))[0].text(
        messages.Nameless()
    )
