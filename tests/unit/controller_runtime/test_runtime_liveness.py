"""Probing instances: when they count as failed, when as working, and what fools nobody."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from controller.runtime.commands import Send
from controller.runtime.liveness import Changed, Liveness, is_probe, reference_port
from controller.testing import PretendedSwitches
from tests.unit.controller_runtime.small_lab import serviced
from topologies.model.topology import Port

INTERVAL = 0.05
FW1 = (Port(switch="s1", number=40001), Port(switch="s1", number=40002))


class Bench:
    """Liveness with a clock, and instances that pass what they are told to."""

    def __init__(self, instances: int = 1) -> None:
        self.now = 0.0
        self.liveness = Liveness(b"secretly")
        self.topology = serviced(instances)
        self.liveness.replace(self.topology, self.now)
        self.dead: set[str] = set()
        self.one_way: set[str] = set()
        self.ports_down: set[Port] = set()
        self.absent: set[str] = set()
        self.changes: list[tuple[float, Changed]] = []
        self.probes: list[Send] = []
        self.waiting: list[Send] = []
        self.delay = False

    def up(self, port: Port) -> bool | None:
        return None if port.switch in self.absent else port not in self.ports_down

    def pass_on(self, send: Send) -> None:
        if send.port == reference_port(send.port.switch):
            self.liveness.seen(send.port, send.frame, self.now)
            return
        for function in self.topology.functions:
            for instance in function.instances:
                ends = instance.ports
                if send.port not in ends or instance.name in self.dead:
                    continue
                if instance.name in self.one_way and send.port == ends[1]:
                    continue
                out = ends[1 - ends.index(send.port)]
                self.liveness.seen(out, send.frame, self.now + 0.001)

    def step(self, seconds: float = INTERVAL) -> None:
        self.now += seconds
        sent, changes = self.liveness.tick(self.now, self.up)
        self.probes = [send for send in sent if send.port != reference_port(send.port.switch)]
        self.changes += [(self.now, change) for change in changes]
        for send in sent:
            if self.delay:
                self.waiting.append(send)
            else:
                self.pass_on(send)

    def steps(self, number: int) -> None:
        for _ in range(number):
            self.step()

    def states(self) -> list[tuple[str, str]]:
        return [(change.instance, change.state) for _, change in self.changes]


def proven(instances: int = 1) -> Bench:
    bench = Bench(instances)
    bench.steps(3)
    assert all(state == "live" for _, state in bench.states())
    bench.changes.clear()
    return bench


def test_every_inline_instance_is_probed_both_ways_with_frames_of_its_own() -> None:
    bench = Bench(2)
    bench.step()
    assert {send.port.number for send in bench.probes if send.port.switch == "s1"} == {
        40001,
        40002,
        40003,
        40004,
    }
    assert len({send.frame for send in bench.probes}) == len(bench.probes) == 6
    assert all(is_probe(send.frame) and 60 <= len(send.frame) <= 128 for send in bench.probes)


def test_an_instance_is_seen_alive_with_its_first_probes_and_timed() -> None:
    bench = Bench()
    bench.steps(2)
    assert bench.states() == [("fw.1", "live"), ("limit.1", "live")]
    facts = bench.liveness.facts("fw.1")
    assert facts is not None
    assert facts.rtt is not None
    assert abs(facts.rtt - 0.001) < 1e-9


def test_a_dead_instance_is_out_within_300_milliseconds_wherever_in_the_interval_it_dies() -> None:
    for into in (0.0, 0.01, 0.049):
        bench = proven()
        died = bench.now + into
        bench.dead.add("fw.1")
        bench.steps(8)
        ((when, change),) = bench.changes
        assert (change.instance, change.state) == ("fw.1", "failed")
        assert "4 probes in a row" in change.reason
        assert when - died < 0.27, "what is left is for compiling and programming"
        assert bench.liveness.failed() == {"fw.1"}


def test_one_direction_that_does_not_pass_is_enough() -> None:
    bench = proven()
    bench.one_way.add("fw.1")
    bench.steps(6)
    assert bench.states() == [("fw.1", "failed")]
    assert "from port s1:40002 to s1:40001" in bench.changes[0][1].reason


def test_it_is_back_after_three_in_a_row_and_not_before() -> None:
    bench = proven()
    bench.dead.add("fw.1")
    bench.steps(6)
    bench.dead.clear()
    bench.steps(2)
    assert bench.states() == [("fw.1", "failed")]
    bench.dead.add("fw.1")
    bench.steps(1)
    bench.dead.clear()
    bench.steps(3)
    assert bench.liveness.failed() == {"fw.1"}, "the row was broken"
    bench.steps(1)
    assert bench.states() == [("fw.1", "failed"), ("fw.1", "live")]


def test_one_that_comes_and_goes_has_to_wait_ever_longer_until_it_was_steady() -> None:
    bench = proven()
    waited = []
    for _ in range(6):
        bench.dead.add("fw.1")
        while bench.liveness.failed() == frozenset():
            bench.step()
        bench.dead.clear()
        began = bench.now
        while bench.liveness.failed():
            bench.step()
        waited.append(round((bench.now - began) / INTERVAL))
    assert waited == [4, 7, 13, 25, 49, 49]
    bench.steps(120)
    bench.dead.add("fw.1")
    bench.steps(6)
    bench.dead.clear()
    bench.steps(4)
    assert bench.liveness.failed() == frozenset()


def test_three_missed_are_forgiven() -> None:
    bench = proven()
    for _ in range(5):
        bench.dead.add("fw.1")
        bench.steps(3)
        bench.dead.clear()
        bench.steps(2)
    assert bench.changes == []


def test_late_answers_are_life() -> None:
    bench = proven()
    bench.delay = True
    bench.steps(3)
    for _ in range(20):  # from here each answer is 150 ms late
        for send in [bench.waiting.pop(0) for _ in range(len(bench.probes) + 1)]:
            bench.pass_on(send)
        bench.step()
    assert bench.changes == []


def test_a_switch_that_is_held_up_makes_nobody_look_dead() -> None:
    bench = proven(2)
    bench.delay = True  # neither probes nor references come back
    bench.steps(40)
    assert bench.changes == []
    bench.delay = False
    for send in bench.waiting:
        bench.pass_on(send)
    bench.steps(6)
    assert bench.changes == []


def test_one_that_dies_behind_a_slow_switch_is_found_when_the_switch_has_answered() -> None:
    bench = proven(2)
    bench.dead.add("fw.2")
    bench.delay = True
    bench.steps(10)
    assert bench.changes == []
    waiting, bench.waiting, bench.delay = bench.waiting, [], False
    for send in waiting:
        bench.pass_on(send)
    bench.step()
    assert bench.states() == [("fw.2", "failed")]


def test_the_delay_of_a_switch_that_always_answers_late_is_all_that_a_failure_waits_for() -> None:
    bench = proven(2)
    bench.delay = True
    late: list[list[Send]] = []
    for step in range(20):
        if step == 6:
            bench.dead.add("fw.2")
        bench.step()
        late.append(bench.waiting)
        bench.waiting = []
        for send in late.pop(0) if len(late) > 3 else ():
            bench.pass_on(send)
    assert bench.states() == [("fw.2", "failed")]
    assert bench.changes[0][0] - 0.15 < (6 + 3 + 6 + 3) * INTERVAL


def test_a_controller_that_was_held_up_blames_nobody() -> None:
    bench = proven()
    bench.dead.add("fw.1")
    for _ in range(6):
        bench.step(2.5 * INTERVAL)
    assert bench.changes == []
    bench.steps(6)
    assert bench.states() == [("fw.1", "failed")]


def test_an_absent_switch_says_nothing_about_its_instances() -> None:
    bench = proven()
    bench.absent.add("s1")
    bench.steps(20)
    assert all(send.port.switch != "s1" for send in bench.probes)
    bench.absent.clear()
    bench.steps(5)
    assert bench.changes == []


def test_a_port_that_is_gone_fails_at_once_and_comes_back_by_probes() -> None:
    bench = proven()
    bench.ports_down.add(FW1[1])
    (change,) = bench.liveness.down(FW1[1], bench.now)
    assert (change.instance, change.state, change.reason) == ("fw.1", "failed", "port s1:40002 is down")
    bench.steps(10)
    assert bench.changes == []
    bench.ports_down.clear()
    bench.steps(4)
    assert bench.states() == [("fw.1", "live")]
    assert bench.liveness.down(Port(switch="s1", number=3), bench.now) == []


class TestForged:
    def test_frames_that_were_not_sent_or_come_from_elsewhere_are_nothing(self) -> None:
        bench = proven()
        bench.delay = True
        bench.step()
        sent = {send.port: send.frame for send in bench.waiting}
        frame = sent[FW1[0]]
        bench.dead.add("fw.1")
        for port, data in [
            (FW1[0], frame),  # came back where it went in
            (FW1[1], sent[FW1[1]]),
            (FW1[1], frame[:30]),
            (FW1[1], frame[:40] + b"\0" + frame[41:]),
            (FW1[1], frame[:20] + b"guessed!" + frame[28:]),
            (FW1[1], frame[:29] + b"\xff\xff\xff\xff" + frame[33:]),
            (Port(switch="s1", number=3), frame),
            (Port(switch="s3", number=40002), frame),
        ]:
            bench.liveness.seen(port, data, bench.now)
        bench.waiting.clear()
        bench.delay = False
        bench.steps(6)
        assert bench.states() == [("fw.1", "failed")]

    def test_a_probe_counts_once(self) -> None:
        bench = proven()
        old = [send for send in bench.probes if send.port in FW1]
        bench.dead.add("fw.1")
        for _ in range(6):
            for send in old:
                bench.liveness.seen(FW1[1 - FW1.index(send.port)], send.frame, bench.now)
            bench.step()
        assert bench.states() == [("fw.1", "failed")]

    def test_one_of_another_controller_is_none_of_ours(self) -> None:
        bench, other = proven(), Liveness(b"another!")
        other.replace(bench.topology, 0.0)
        bench.dead.add("fw.1")
        for _ in range(6):
            probes, _ = other.tick(bench.now, bench.up)
            for send in probes:
                if send.port in FW1:
                    bench.liveness.seen(FW1[1 - FW1.index(send.port)], send.frame, bench.now)
            bench.step()
        assert bench.states() == [("fw.1", "failed")]

    @given(st.binary(max_size=200))
    @settings(max_examples=200)
    def test_whatever_comes_raises_nothing(self, data: bytes) -> None:
        bench = Bench()
        bench.step()
        head = bench.probes[0].frame
        for frame in (data, head[:14] + data, head[: len(data)] + data):
            bench.liveness.seen(FW1[1], frame, bench.now)


class TestNewcomers:
    def test_at_the_first_intent_all_count_as_working_until_proven_otherwise(self) -> None:
        bench = Bench(2)
        bench.dead |= {"fw.1", "fw.2"}
        bench.steps(20)
        assert bench.liveness.failed() == frozenset()
        bench.steps(100)
        assert bench.liveness.failed() == {"fw.1", "fw.2"}
        assert {change.reason for _, change in bench.changes if change.state == "failed"} == {
            "no probe has passed both ways for 5 s"
        }

    def test_the_first_to_be_seen_does_not_make_the_others_fail(self) -> None:
        bench = Bench(2)
        bench.dead.add("fw.2")
        bench.steps(3)
        assert bench.liveness.failed() == frozenset()

    def test_one_that_joins_gets_traffic_when_it_was_seen(self) -> None:
        bench = proven(1)
        bench.dead.add("fw.3")
        bench.topology = serviced(3)
        bench.liveness.replace(bench.topology, bench.now)
        assert bench.liveness.failed() == {"fw.2", "fw.3"}
        bench.steps(2)
        assert bench.liveness.failed() == {"fw.3"}
        assert bench.states() == [("fw.2", "live")]

    def test_when_nobody_else_works_those_that_joined_are_tried(self) -> None:
        bench = proven(1)
        bench.topology = serviced(2)
        bench.dead |= {"fw.1", "fw.2"}
        bench.liveness.replace(bench.topology, bench.now)
        bench.steps(6)
        assert bench.liveness.failed() == {"fw.1"}

    def test_one_that_goes_is_forgotten_and_others_stay_what_they_are(self) -> None:
        bench = proven(3)
        bench.dead.add("fw.1")
        bench.steps(6)
        bench.topology = serviced(1)
        bench.liveness.replace(bench.topology, bench.now)
        assert bench.liveness.failed() == {"fw.1"}
        assert bench.liveness.facts("fw.2") is None

    def test_what_an_earlier_controller_knew(self) -> None:
        bench = Bench(2)
        bench.liveness.restore(frozenset({"fw.2", "lb/h3"}), 0.0)
        assert bench.liveness.failed() == {"fw.2"}
        bench.steps(4)
        assert bench.liveness.failed() == frozenset()


class TestInTheCore:
    def lab(self) -> PretendedSwitches:
        lab = PretendedSwitches(serviced(2))
        for number in range(1, 5):
            lab.connect(f"s{number}")
        lab.run(1)
        assert lab.core.converged
        lab.events.clear()
        return lab

    def test_a_failure_is_told_and_compiled_within_300_milliseconds(self) -> None:
        lab = self.lab()
        lab.dead.add("fw.2")
        lab.run(0.3)
        (told,) = lab.named("instance")
        assert (told["function"], told["instance"], told["state"]) == ("fw", "fw.2", "failed")
        (again,) = lab.named("recompiled")
        assert again["why"] == "fw.2 has failed"
        assert lab.core.health.failed == {"fw.2"}
        lab.dead.clear()
        lab.run(1)
        assert lab.core.health.failed == frozenset()
        assert lab.named("recompiled")[-1]["why"] == "fw.2 works"
        assert lab.core.converged

    def test_a_port_that_goes_down_is_a_failure_at_once(self) -> None:
        lab = self.lab()
        lab.take(lab.core.port(1, 40001, None, lab.now))
        lab.run(0.01)
        assert lab.core.health.failed == {"fw.1"}
        assert len(lab.named("recompiled")) == 1

    def test_reports_of_the_lab(self) -> None:
        lab = self.lab()
        lab.take(lab.core.reported({"lb/h3": "no answer", "fw.1": "exited", "nobody/x": "?"}, lab.now))
        lab.run(0.1)
        assert lab.core.health.failed == {"lb/h3", "fw.1"}
        assert lab.named("backend") == [
            {"function": "lb", "backend": "h3", "up": False, "reason": "no answer"}
        ]
        assert [event["reason"] for event in lab.named("instance")] == ["exited"]
        assert len(lab.named("recompiled")) == 1
        lab.take(lab.core.report("lb/h3", True, "", lab.now))
        lab.run(0.1)
        assert lab.core.health.failed == {"fw.1"}
        lab.take(lab.core.reported({}, lab.now))
        lab.run(1)
        assert lab.core.health.failed == frozenset()
        assert lab.core.converged

    def test_the_same_report_again_does_nothing(self) -> None:
        lab = self.lab()
        for _ in range(3):
            lab.take(lab.core.reported({"lb/h3": "no answer"}, lab.now))
            lab.run(0.1)
        assert len(lab.named("recompiled")) == len(lab.named("backend")) == 1

    def test_a_successor_with_its_memory_sends_nothing(self) -> None:
        lab = self.lab()
        lab.dead.add("fw.2")
        lab.take(lab.core.reported({"lb/h3": "no answer"}, lab.now))
        lab.run(1)
        again = PretendedSwitches(
            serviced(2), cookies=lab.cookies, groups=lab.groups, meters=lab.meters, dead=lab.dead
        )
        again.core.health.restore(lab.core.health.failed, again.now)
        for number in range(1, 5):
            again.connect(f"s{number}")
        again.run(3)
        assert again.programs == []
        assert again.core.health.failed == {"fw.2", "lb/h3"}
        assert again.named("recompiled") == []
        again.take(again.core.reported({}, again.now))
        again.run(0.1)
        assert again.core.health.failed == {"fw.2"}
