"""Changes in stages: who waits for whom, and that everybody gets there."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from controller.flow.tables import Flow, SwitchTables, Table
from controller.messages import AllProgrammed
from controller.runtime.rollout import Rollout
from controller.testing import PretendedSwitches, in_three_stages
from tests.unit.controller_runtime.small_lab import ring, serviced
from topologies.model.topology import Topology

NAMES = [f"s{n}" for n in range(1, 5)]


def other(topology: Topology, gone: int = 1) -> Topology:
    """The same lab without its first hosts: flows of every switch go, and some change."""
    return topology.model_copy(update={"hosts": topology.hosts[gone:]})


def running(slow: bool = False) -> PretendedSwitches:
    lab = PretendedSwitches(serviced(), stages=in_three_stages)
    for name in NAMES:
        lab.connect(name)
    lab.run()
    assert lab.core.converged
    lab.run(1)
    lab.programs.clear()
    lab.events.clear()
    lab.slow = slow
    return lab


def change(lab: PretendedSwitches, topology: Topology) -> None:
    lab.take(lab.core.intent(topology, lab.now))
    lab.run()


def test_the_first_tables_come_in_one_stage() -> None:
    lab = PretendedSwitches(serviced(), stages=in_three_stages)
    for name in NAMES:
        lab.connect(name)
    lab.run()
    assert lab.core.converged
    assert not lab.named("stage")
    assert len(lab.programs) == 4


def test_a_stage_begins_when_the_slowest_switch_has_confirmed_the_one_before() -> None:
    lab = running(slow=True)
    change(lab, other(serviced()))
    # only what goes differs: the first stage is what they hold, the second, too
    assert not lab.waiting
    lab.run(lab.core.patience.drain / 2)
    while lab.waiting:  # broadcasts have other members
        assert not any(program.difference.delete for program in lab.waiting), (
            "what is on its way is given time"
        )
        lab.commit()
        lab.run(0)
    lab.run(lab.core.patience.drain)
    assert len(lab.waiting) == 4
    for _ in range(3):
        lab.commit()
        lab.run(1)
        assert not lab.core.converged
    lab.commit()
    lab.run()
    assert lab.core.converged
    change(lab, serviced())
    assert len(lab.waiting) == 4, "what is added comes at once"
    lab.commit()
    lab.run(0.5)
    assert len(lab.waiting) == 3, "and the first to confirm waits for the others"
    while lab.waiting:
        lab.commit()
        lab.run(1)
    assert lab.core.converged
    lab.check()


def test_all_programmed_is_said_once_when_the_last_stage_is_done() -> None:
    lab = running()
    lab.take(lab.core.intent(other(serviced()), lab.now))
    lab.run(5)
    assert [entry["stage"] for entry in lab.named("stage")] == [2, 3]
    (done,) = lab.named("all-programmed")
    assert float(str(done["seconds"])) > lab.core.patience.drain - 1e-6
    assert isinstance(lab.events[-1].event, AllProgrammed)


def test_an_intent_that_says_the_same_sends_nothing_and_settles() -> None:
    lab = running()
    change(lab, serviced())
    assert lab.programs == []
    assert len(lab.named("all-programmed")) == 1


def test_a_lab_without_functions_changes_in_one_stage() -> None:
    lab = PretendedSwitches(ring(), stages=in_three_stages)
    for name in NAMES:
        lab.connect(name)
    lab.run()
    change(lab, other(ring()))
    assert lab.core.converged
    assert not lab.named("stage")


def test_a_dead_link_is_not_mended_in_stages() -> None:
    lab = running()
    lab.take(lab.core.port(1, 1, False, lab.now))
    lab.run(0.1)
    assert lab.core.converged
    assert not lab.named("stage")


def test_a_switch_that_goes_is_waited_for_no_longer_than_the_grace() -> None:
    lab = running(slow=True)
    shifted = serviced().model_copy(update={"hosts": serviced().hosts[:-1]})
    lab.slow = False
    change(lab, other(serviced()))
    lab.run(1)
    lab.slow = True
    change(lab, shifted)
    for _ in range(3):
        lab.commit()
    (left,) = lab.waiting
    lab.disconnect(left.switch)
    lab.events.clear()
    lab.run(lab.core.patience.grace * 0.9)
    assert not lab.named("stage")
    lab.slow = False
    lab.run(0.5)
    assert lab.named("stage")[-1]["stage"] == 3
    assert lab.core.converged
    lab.connect(left.switch)
    lab.run(5)
    assert lab.core.converged
    lab.check()


def test_a_switch_that_keeps_refusing_holds_up_nobody() -> None:
    lab = running()
    stubborn = "s2"
    lab.stubborn.add(stubborn)
    lab.take(lab.core.intent(other(serviced(3), 2), lab.now))
    lab.run(10)
    wanted = lab.core.programming.rollout
    assert not wanted.later
    assert all(lab.core.members[name].held is wanted.wanted[name] for name in NAMES if name != stubborn)
    lab.stubborn.clear()
    lab.run(60)
    assert lab.core.converged
    lab.check()


def test_tables_that_come_in_between_start_from_the_present_stage() -> None:
    lab = running(slow=True)
    change(lab, serviced(3))
    assert not lab.core.converged or not lab.waiting
    lab.take(lab.core.intent(other(serviced(3)), lab.now))
    lab.run()
    lab.take(lab.core.port(1, 1, False, lab.now))
    lab.run(0.1)
    while lab.waiting:
        lab.commit()
        lab.run(1)
    lab.run(5)
    assert lab.core.converged
    lab.check()


Step = tuple[str, int, int]
KINDS = [
    "connect",
    "disconnect",
    "link",
    "hosts",
    "scale",
    "order",
    "refuse",
    "wait",
    "die",
    "heal",
    "report",
]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([*KINDS, *["commit"] * 6]), st.integers(1, 4), st.integers(1, 3)),
        max_size=40,
    )
)
def test_no_switch_is_a_stage_ahead_and_all_end_up_holding_what_is_wanted(steps: list[Step]) -> None:
    """That everyone held the stage before is checked by `PretendedSwitches` whenever one begins."""
    lab = running(slow=True)
    present = serviced()
    for kind, which, much in steps:
        name = f"s{which}"
        if kind == "connect":
            lab.connect(name)
        elif kind == "disconnect":
            lab.disconnect(name)
        elif kind == "link":
            lab.take(lab.core.port(which, 1, much > 1, lab.now))
        elif kind in ("hosts", "scale", "order"):
            order = ("fw", "limit") if much == 1 else ("limit", "fw")
            present = other(serviced(which, order), much)
            lab.take(lab.core.intent(present, lab.now))
        elif kind == "refuse":
            lab.refuse = 1
        elif kind == "commit":
            lab.commit(which)
        elif kind == "die":
            lab.dead.add(f"fw.{which}")
        elif kind == "heal":
            lab.dead.discard(f"fw.{which}")
        elif kind == "report":
            lab.take(lab.core.report("lb/h3", much > 1, "no answer", lab.now))
        lab.run(0.06 * much if kind == "wait" else 0.001)
    lab.slow, lab.refuse = False, 0
    lab.dead.clear()
    while lab.waiting:
        lab.commit()
    for name in NAMES:
        if lab.core.conn(name) is None:
            lab.connect(name)
    lab.take(lab.core.reported({}, lab.now))
    lab.run(15)
    assert lab.core.converged
    assert lab.core.health.failed == frozenset()
    lab.check()
    quiet = len(lab.programs)
    lab.run(5)
    assert len(lab.programs) == quiet


def tables(*cookies: int) -> dict[str, SwitchTables]:
    flows = tuple(Flow(Table.FORWARD, 1, (), cookie=cookie) for cookie in cookies)
    return {"s1": SwitchTables("s1", 1, flows, ())}


class TestRollout:
    def test_before_what_just_removes_there_is_a_drain(self) -> None:
        old, add, turn, new = tables(1), tables(1, 2), tables(2, 3), tables(3)
        rollout = Rollout(0.2, 0.03, lambda *_: [add, turn, new])
        rollout.aim(old, False)
        rollout.aim(new, True)
        assert rollout.wanted == add
        assert not rollout.advance(True, 9.95), "caches are brought up to date"
        assert rollout.advance(True, 10.0)
        assert rollout.wanted == turn
        assert not rollout.advance(True, 10.0)
        assert rollout.next_due() == 10.2
        assert not rollout.advance(False, 10.1), "someone has lost it again"
        assert not rollout.advance(True, 10.15)
        assert not rollout.advance(True, 10.3)
        assert rollout.advance(True, 10.4)
        assert rollout.wanted == new
        assert not rollout.advance(True, 99.0)

    def test_a_new_aim_starts_from_what_is_wanted_now(self) -> None:
        seen = []

        def stages(old, new, _):  # type: ignore[no-untyped-def]
            seen.append((old, new))
            return [{"s1": SwitchTables("s1", 1, old["s1"].flows + new["s1"].flows, ())}, new]

        rollout = Rollout(0.2, 0.03, stages)
        rollout.aim(tables(1), False)
        rollout.aim(tables(2), True)
        half = rollout.wanted
        rollout.aim(tables(3), False)
        assert seen == [(tables(1), tables(2)), (half, tables(3))], "not at once: stages are in progress"
        assert rollout.later == [tables(3)]
