"""Operations are carried out in order, and what was done is known when one of them fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest

from dataplane.change.operations import AddSpace, Operation, RemoveSpace, SetEnds, SetMtu
from dataplane.change.steps import Steps
from dataplane.fabric.changing import Change
from dataplane.fabric.executor import Executor, Jobs, jobs
from dataplane.fabric.fabric import Fabric
from dataplane.plan.lab import Plan
from tests.unit.dataplane.changing_labs import lab

A, B = AddSpace("a", "host"), AddSpace("b", "host")
CUT = SetEnds(frozenset(), frozenset({("a", "eth0")}))
MTU = SetMtu(("a", "eth0"), 1500, 1400)


class Noting:
    """Notes what is carried out; fails at operations of the kind ``broken``."""

    def __init__(self, broken: type[Operation] | None = None) -> None:
        self.heard: list[list[Any]] = []
        self.broken = broken

    @property
    def jobs(self) -> Jobs:
        return {kind: self.note for kind in (AddSpace, RemoveSpace, SetEnds, SetMtu)}

    def note(self, some: Sequence[Any]) -> None:
        self.heard.append(list(some))
        if type(some[0]) is self.broken:
            raise OSError("no room")


def test_operations_of_one_kind_that_follow_each_other_are_carried_out_together() -> None:
    noting, done = Noting(), list[Operation]()
    Executor(noting.jobs).carry_out([A, B, MTU, A], done)
    assert noting.heard == [[A, B], [MTU], [A]] and done == [A, B, MTU, A]


@pytest.mark.parametrize(("broken", "done"), [(AddSpace, [MTU, A, B]), (SetMtu, []), (SetEnds, [MTU, A, B])])
def test_what_may_be_half_done_counts_as_done_and_what_comes_after_a_failure_is_left(
    broken: type[Operation], done: list[Operation]
) -> None:
    noted: list[Operation] = []
    with pytest.raises(OSError, match="no room"):
        Executor(Noting(broken).jobs).carry_out([MTU, A, B, CUT], noted)
    assert noted == done


def test_a_change_becomes_final_only_when_it_is_finished_and_is_taken_back_in_reverse() -> None:
    noting, final = Noting(), list[str]()
    planned = Plan((), (), ())
    change = Change(Executor(noting.jobs), Steps((A, B), (MTU,), ()), planned, lambda: final.append("final"))
    assert change.plan is planned
    change.extend()
    change.shift()
    assert final == []
    assert change.undo() == [] and change.undo() == []
    assert noting.heard == [[A, B], [MTU], [MTU.undone()], [B.undone()], [A.undone()]]
    change.finish()
    assert final == ["final"]


def test_there_is_a_job_for_every_kind_of_operation() -> None:
    fabric = Fabric(lab({"h1": ("s1", 1, "blue", None)}, {}, {}, {"blue": 10}), "/run/lab", controllers={})
    assert jobs(fabric.parts).keys() == set(get_args(Operation))
