"""Functions' processes, pretended: kept running, listened to, changed, and what the controller is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from controller import messages
from dataplane.testing import PretendedStarter
from lab.events.host_names import Names
from lab.events.log import EventLog
from lab.functions import keepers
from lab.functions.gate import Gate
from lab.functions.keeper import MAX_LINE
from lab.functions.keepers import Functions, processes
from lab.functions.lines import Line, line_of, read
from lab.functions.messages import Backend, Counters, State
from lab.functions.state import InstanceRecord
from tests.unit.lab.pretended_functions import balancer, describe, inline, lan
from topologies.model.attachment import AtPorts, Flows, Tap, TapInstance
from topologies.model.topology import Port, Topology

PATIENCE = 30.0


class Fixture:
    def __init__(self, **more: object) -> None:
        self.starter, self.events = PretendedStarter(), EventLog()
        self.functions = Functions(describe, self.starter, self.events)
        self.happened = threading.Condition()
        self.functions.changed = self._changed

    def _changed(self) -> None:
        with self.happened:
            self.happened.notify_all()

    def until(self, holds: Callable[[], bool]) -> None:
        number = 0
        for _ in range(600):
            if holds():
                return
            for event in self.events.wait(number, 0.05):
                number = event["number"]
        raise AssertionError(f"never; events: {[e['text'] for e in self.events.since(0)]}")

    def texts(self) -> list[str]:
        return [event["text"] for event in self.events.since(0)]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fixture]:
    monkeypatch.setattr("lab.functions.backoff.BACKOFF", (0.0,))
    fixture = Fixture()
    yield fixture
    fixture.functions.retain(lan())


def test_who_has_a_process() -> None:
    copied = TapInstance(name="ids.1", inward=Port(switch="s1", number=80))
    tap = inline("ids", 1, attachment=Tap(switch="s1", instances=(copied,)))
    flows = inline("nat", 0, attachment=Flows(switch="s1"))
    topology = lan(inline("fw", 2), tap, flows, balancer("h1"))
    assert list(processes(topology)) == ["fw.1", "fw.2", "ids.1", "lb"]


def test_all_are_started_and_said_to_run(kept: Fixture) -> None:
    assert kept.functions.prepare(lan(inline("fw", 2)), PATIENCE) == []
    records = kept.functions.records()
    assert {name: record.state for name, record in records.items()} == {"fw.1": "running", "fw.2": "running"}
    assert kept.functions.failed() == {}
    assert "fw.1 is running" in kept.texts()


def test_one_that_dies_is_started_again_and_counts_as_failed_until_it_runs(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 2)), PATIENCE)
    first = kept.starter.of("fw.1")
    kept.starter.silent = True
    first.die(-9)
    kept.until(lambda: kept.starter.of("fw.1") is not first)
    kept.until(lambda: kept.functions.records()["fw.1"].state == "starting")
    assert list(kept.functions.failed()) == ["fw.1"]
    kept.starter.of("fw.1").say("state", state="running")
    kept.until(lambda: kept.functions.failed() == {})
    record = kept.functions.records()["fw.1"]
    assert (record.restarts, record.state) == (1, "running")
    assert "fw.1 died (signal 9); it is started again" in kept.texts()


def test_one_that_can_not_be_started_is_tried_again(kept: Fixture) -> None:
    kept.starter.refuses = "no such program"
    (problem,) = kept.functions.prepare(lan(inline("fw", 1)), PATIENCE)
    assert problem.startswith("fw.1 is dead: can't be started: no such program")
    assert list(kept.functions.failed()) == ["fw.1"]
    kept.starter.refuses = ""
    kept.until(lambda: kept.functions.records()["fw.1"].state == "running")


def test_changed_files_are_taken_by_the_running_process(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 1)), PATIENCE)
    process = kept.starter.of("fw.1")
    assert kept.functions.prepare(lan(inline("fw", 1, on_failure="open")), PATIENCE) == []
    assert process.heard == [{"do": "replace"}] and process.files == {"policy": b"open"}
    assert kept.starter.of("fw.1") is process
    kept.functions.prepare(lan(inline("fw", 1, on_failure="open")), PATIENCE)
    assert len(process.heard) == 1  # nothing has changed


def test_one_that_does_not_take_a_change_is_reported(kept: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "REPLACE_PATIENCE", 0.05)
    kept.functions.prepare(lan(inline("fw", 1)), PATIENCE)
    kept.starter.of("fw.1").answers = False
    (problem,) = kept.functions.prepare(lan(inline("fw", 1, on_failure="open")), PATIENCE)
    assert problem.startswith("fw.1 did not take its changed configuration")


def test_another_program_is_started_anew(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 1)), PATIENCE)
    first = kept.starter.of("fw.1")
    other = inline("fw", 1).model_copy(update={"engine": "python"})
    assert kept.functions.prepare(lan(other), PATIENCE) == []
    second = kept.starter.of("fw.1")
    assert second is not first and not first.heard
    assert kept.functions.records()["fw.1"].restarts == 0


def test_what_the_new_lab_lacks_is_ended_and_forgotten(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 2)), PATIENCE)
    kept.functions.retain(lan(inline("fw", 1)))
    assert list(kept.functions.records()) == ["fw.1"] and kept.starter.removed == ["fw.2"]
    assert len(kept.starter.started) == 2  # the one that stays was not touched


def test_stop_start_and_restart(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 2)), PATIENCE)
    kept.functions.control("stop", ["fw.2"])
    assert kept.functions.records()["fw.2"].state == "stopped" and list(kept.functions.failed()) == ["fw.2"]
    kept.functions.control("start", ["fw.2"])
    assert kept.functions.records()["fw.2"].state == "running" and kept.functions.failed() == {}
    kept.functions.control("restart", ["fw.1", "fw.2"])
    assert [name for name, _, _ in kept.starter.started].count("fw.2") == 3
    assert kept.functions.failed() == {} and kept.functions.records()["fw.1"].restarts == 0


def test_backends_that_are_down_are_told_by_name(kept: Fixture) -> None:
    kept.functions.prepare(lan(balancer("h1", "h2")), PATIENCE)
    process = kept.starter.of("lb")
    process.say("backend", backend="h1", up=False, reason="connection refused")
    process.say("backend", backend="h2", up=True)
    kept.until(lambda: list(kept.functions.failed()) == ["lb/h1"])
    assert "lb: backend h1 is down: connection refused" in kept.texts()
    process.say("backend", backend="h1", up=True)
    kept.until(lambda: kept.functions.failed() == {})
    process.say("backend", backend="h1", up=False)
    kept.until(lambda: list(kept.functions.failed()) == ["lb/h1"])
    kept.functions.retain(lan(balancer("h2")))  # a backend that is no more is not reported
    assert kept.functions.failed() == {}


def test_why_one_died_is_told_with_its_last_words(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 1)), PATIENCE)
    process = kept.starter.of("fw.1")
    process.last_words = "there is no device in"
    process.die(1)
    kept.until(lambda: "fw.1 died (exit code 1): there is no device in; it is started again" in kept.texts())


def test_who_loses_its_devices_is_halted_and_renewed_with_others_left_alone(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 1), inline("a", 1)), PATIENCE)
    old, other = kept.starter.of("fw.1"), kept.starter.of("a.1")
    new = lan(inline("fw", 1), inline("a", 1), inline("b", 1))
    late = ["fw.1", "b.1"]
    assert kept.functions.prepare(new, PATIENCE, late) == []
    assert "b.1" not in kept.functions.records()
    kept.functions.halt(late)
    assert kept.functions.records()["fw.1"].state == "stopped"
    assert kept.functions.renew(new, late, PATIENCE) == []
    assert {name: record.state for name, record in kept.functions.records().items()} == {
        "fw.1": "running",
        "a.1": "running",
        "b.1": "running",
    }
    assert kept.starter.of("fw.1") is not old and kept.starter.of("a.1") is other


def test_a_dead_health_checker_is_no_failed_instance(kept: Fixture) -> None:
    kept.functions.prepare(lan(balancer("h1")), PATIENCE)
    kept.functions.control("stop", ["lb"])
    assert kept.functions.failed() == {}


def test_counters_are_kept_and_no_events(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 1)), PATIENCE)
    kept.starter.of("fw.1").say("counters", packets=12, bytes=3400, dropped=1, text="x", flag=True)
    kept.until(lambda: bool(kept.functions.records()["fw.1"].counters))
    assert kept.functions.records()["fw.1"].counters == {"packets": 12, "bytes": 3400, "dropped": 1}
    assert not [event for event in kept.events.since(0) if event["event"] == "counters"]


def test_whatever_a_process_writes_is_survived(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 1)), PATIENCE)
    process = kept.starter.of("fw.1")
    writer = threading.Thread(
        target=lambda: (
            process.write_raw(b"not json\n[]\n{}\n\xff\n" + b"[" * 100_000 + b"\n"),
            process.write_raw(b'{"event_type": "log", "x": "' + b"x" * (MAX_LINE * 2) + b'"}\n'),
            process.say(
                "log", rule="ssh", verdict="drop", proto="TCP", src_ip="10.0.0.1", dest_ip="10.0.0.2"
            ),
        )
    )
    writer.start()
    kept.until(lambda: "fw.1: rule ssh drop TCP h1 -> h2" in kept.texts())
    writer.join(PATIENCE)
    assert len([event for event in kept.events.since(0) if event["event"] == "log"]) == 1


def test_a_flood_of_events_is_held_back_and_counted(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 1)), PATIENCE)
    process = kept.starter.of("fw.1")
    for _ in range(1000):
        process.say("log", rule="x")
    process.say("counters", packets=1)
    kept.until(lambda: any("more events came too fast" in text for text in kept.texts()))
    assert 150 <= len([e for e in kept.events.since(0) if e["event"] == "log"]) < 900


def test_the_gate_lets_a_burst_and_then_a_rate_through() -> None:
    gate = Gate(rate=10.0, most=20.0)
    assert sum(gate.passes(100.0) for _ in range(50)) == 20 and gate.told() == 30
    assert sum(gate.passes(101.0) for _ in range(50)) == 10
    assert gate.told() == 40 and gate.told() == 0


@pytest.mark.parametrize("line", [b"", b"1\n", b"[]\n", b'{"event_type": 1}\n', b"{\n", b"\xff\xfe\n"])
def test_lines_that_are_no_events(line: bytes) -> None:
    assert read(line) is None


def test_a_record_is_bounded() -> None:
    record = InstanceRecord("fw.1", "fw")
    record.take(Counters.of({str(n): n for n in range(1000)}), 0.0)
    for n in range(1000):
        record.take(Backend(str(n), False, "x" * 9999), 0.0)
    record.take(State("failed", "x" * 99999), 0.0)
    assert len(record.counters) <= 64 and len(record.backends) <= 256 and len(record.message) <= 8192


def said(fields: dict[str, object]) -> Line:
    line = line_of(fields)
    assert line is not None
    return line


def test_words_name_hosts() -> None:
    topology: Topology = lan(inline("fw", 1), balancer("h1"))
    names = Names(topology)
    assert names.of("10.0.0.99") == "lb" and names.of("192.0.2.1") == "192.0.2.1"
    flow = {"proto": "TCP", "src_ip": "10.0.0.1", "src_port": 40000, "dest_ip": "10.0.0.99", "dest_port": 80}
    alert = {"event_type": "alert", "alert": {"signature": "bad"}, **flow}
    assert said(alert).text("ids.1", "ids", names) == "ids.1: alert bad: TCP h1:40000 -> lb:80"
    wrong = {"event_type": "exception", "traceback": "Traceback ...\n  File ...\nValueError: no\n"}
    assert said(wrong).text("py.1", "py", names) == "py.1: exception: ValueError: no"
    assert said({"event_type": "odd", "a": 1}).text("x.1", "x", names) == "x.1: odd: a 1"
    long = {"event_type": "exception", "traceback": "Traceback ...\n  File ...\nValueError: a\nb\n"}
    assert said(long).text("py.1", "py", names) == "py.1: exception: ValueError: a b"
    printed = {"event_type": "log", "message": "got 64"}
    assert said(printed).text("py.1", "py", names) == "py.1: got 64"
    met = messages.RuleMet("edge", "web", "accept", "s1", **flow)
    assert met.text(names) == "edge: rule web accept TCP h1:40000 -> lb:80"


def test_networks_with_the_same_addresses_are_told_apart_by_the_function() -> None:
    first = lan()
    red = [h.model_copy(update={"name": f"r{n}", "network": "red"}) for n, h in enumerate(first.hosts, 1)]
    both = first.model_copy(
        update={
            "hosts": (*first.hosts, *red),
            "networks": (*first.networks, first.networks[0].model_copy(update={"name": "red"})),
            "functions": (inline("fw", 1, attachment=AtPorts(networks=("red",))),),
        }
    )
    names = Names(both)
    assert names.of("10.0.0.1") == "10.0.0.1" and names.of("10.0.0.1", "fw") == "r1"


def test_accounts_of_traffic_do_not_crowd_out_what_was_found_in_it(kept: Fixture) -> None:
    kept.functions.prepare(lan(inline("fw", 1)), PATIENCE)
    process = kept.starter.of("fw.1")
    for _ in range(1000):
        process.say("flow", src_ip="10.0.0.1", dest_ip="10.0.0.2")
    process.say("alert", alert={"signature": "found"})
    kept.until(lambda: any("found" in text for text in kept.texts()))


def test_the_reason_that_a_process_gave_outlives_it(kept: Fixture) -> None:
    record = InstanceRecord("ids.1", "ids")
    why = said({"event_type": "state", "state": "failed", "message": "no suricata"})
    kept.functions.said(record, why, False)
    kept.functions.dead(record, "died (exit code 1)")
    assert (record.state, record.message, record.restarts) == ("failed", "no suricata", 1)
    record.become("running", "", 0.0)
    kept.functions.dead(record, "died (signal 9)")
    assert (record.state, record.message, record.restarts) == ("dead", "died (signal 9)", 2)
