"""The commands of hosts: whether they start again, what they write, and who keeps them running."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lab.commands.command as kept_module
from lab.commands import policy
from lab.commands.keeper import HostCommands
from lab.commands.output import KEPT, LONGEST, MOST_LINES, HostLog, Lines
from lab.commands.policy import KEEPS_ENDING, STEADY, TOLD, Verdict, how, verdict
from lab.events.log import EventLog
from lab.failure import NotThere
from lab.functions.backoff import BACKOFF
from lab.supervisor.logs import logs, more_of
from tests.waiting import until
from topologies import loads
from topologies.model.hosts import Command

# Policy


@pytest.mark.parametrize(
    ("restart", "code", "again"),
    [
        ("never", 0, False),
        ("never", 1, False),
        ("on-failure", 0, False),
        ("on-failure", 1, True),
        ("on-failure", 137, True),
        ("always", 0, True),
        ("always", 1, True),
    ],
)
def test_a_command_starts_again_by_its_policy(restart: Any, code: int, again: bool) -> None:
    assert (verdict(restart, code, 1.0, 0).delay is not None) is again


def test_one_that_keeps_ending_starts_ever_later_and_is_told_some_times_only() -> None:
    row, delays, told = 0, [], 0
    for _ in range(1000):
        again = verdict("always", 1, 0.1, row)
        assert again.delay is not None
        row, told = again.in_a_row, told + again.told
        delays.append(again.delay)
    assert delays[: len(BACKOFF)] == list(BACKOFF) and set(delays[len(BACKOFF) :]) == {BACKOFF[-1]}
    assert told == TOLD and row == 1000
    assert verdict("always", 1, STEADY, row) == Verdict(BACKOFF[0], 1, True)


def test_an_exit_code_in_words() -> None:
    assert (how(3), how(128 + 9), how(127), how(255)) == (
        *("exit code 3", "signal 9", "exit code 127", "exit code 255"),
    )


# Output


@given(st.lists(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\xff"])).map(b"".join), max_size=6))
def test_lines_are_the_same_however_they_come(pieces: list[bytes]) -> None:
    lines, at_once = Lines(), Lines()
    got = [line for piece in pieces for line in lines.take(piece)] + lines.rest()
    whole = at_once.take(b"".join(pieces)) + at_once.rest()
    assert got == whole


def test_lines_are_whole_and_long_ones_broken() -> None:
    lines = Lines()
    assert lines.take(b"a\r\nb") == ["a"] and lines.take(b"c\n\n") == ["bc", ""] and lines.rest() == []
    assert lines.take(b"x" * (LONGEST + 2)) == ["x" * LONGEST] and lines.rest() == ["xx"]
    assert lines.take(b"\xff\n") == ["\ufffd"]


def test_a_log_is_bounded_and_can_be_followed() -> None:
    log = HostLog()
    log.add(["first"], 0.25)
    assert log.text().endswith(".250 first\n") and log.since(10**9) == ("", log.since(0)[1])
    seen, after = log.since(0)
    for number in range(20_000):
        log.add([f"line {number}"], 1.0, "web")
        if number % 100 == 0:
            more, after = log.since(after)
            seen += more
    assert KEPT <= len(log.text()) <= 2 * KEPT + 100 and log.text().endswith(" web: line 19999\n")
    more, after = log.since(after)
    seen += more
    assert [line.split(" ", 1)[1] for line in seen.splitlines()] == [
        "first",
        *(f"web: line {number}" for number in range(20_000)),
    ]


def test_of_very_many_lines_at_once_the_last_are_kept() -> None:
    log = HostLog()
    log.add([""] * (MOST_LINES + 7), 0.0)
    assert "(7 lines are left out)" in log.text().splitlines()[0]


def test_a_host_has_a_log_beside_those_of_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "domain-d1").mkdir()
    (tmp_path / "domain-d1" / "ovs.log").write_text("ovs\n", encoding="utf-8")
    monkeypatch.setattr("lab.supervisor.logs.RUN", tmp_path)
    log = HostLog()
    log.add(["hello"], 0.0)
    with (tmp_path / "own").open("w+") as own:
        own.write("supervisor's\n")
        own.flush()
        hosts = {"h1": log, "supervisor": HostLog()}
        known = logs(own.fileno(), hosts)
        assert set(known) == {"supervisor", "domain-d1/ovs", "h1", "host/supervisor"}
        assert known["supervisor"] == "supervisor's\n" and known["h1"].endswith("hello\n")
        assert logs(own.fileno(), hosts, "h1") == {"h1": known["h1"]}
        with pytest.raises(NotThere):
            logs(own.fileno(), hosts, "h2")
        end = more_of(own.fileno(), hosts, "domain-d1/ovs", -1)
        assert end == {"text": "ovs\n", "end": 4}
        with (tmp_path / "domain-d1" / "ovs.log").open("a") as more:
            more.write("more\n")
        assert more_of(own.fileno(), hosts, "domain-d1/ovs", 4) == {"text": "more\n", "end": 9}
        assert more_of(own.fileno(), hosts, "h1", -1)["text"] == known["h1"]


# The keeper, with commands of this machine


class Machine:
    """Starts commands here; ``started`` has the host and name of each start."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, host: str, command: Command, output: int) -> subprocess.Popen[bytes]:
        self.started.append((host, command.name))
        if command.words == ("nothing-here",):
            raise FileNotFoundError("nothing-here: no such file")
        null = subprocess.DEVNULL
        process = subprocess.Popen(
            command.words, stdin=null, stdout=output, stderr=output, start_new_session=True
        )
        self.processes.append(process)
        return process


class Kept:
    """A keeper with its events; ``become`` takes the ``run`` of h1, and of h2."""

    def __init__(self) -> None:
        self.machine, self.events = Machine(), EventLog()
        self.keeper = HostCommands(self.machine, self.events)

    def become(self, h1: str, h2: str = "[]", marks: Mapping[str, str] | None = None) -> None:
        topology = loads(
            f"switches: [s1]\nhosts: {{h1: {{switch: s1, run: {h1}}}, h2: {{switch: s1, run: {h2}}}}}\n"
        )
        self.keeper.become(topology, marks or {"h1": "h1", "h2": "h2"})

    def state(self, name: str, host: str = "h1") -> Any:
        return next(state for state in self.keeper.states()[host] if state["name"] == name)

    def text(self, host: str = "h1") -> str:
        log = self.keeper.log(host)
        return log.text() if log is not None else ""

    def told(self) -> list[str]:
        return [event["text"] for event in self.events.since(0)]


@pytest.fixture
def kept() -> Iterator[Kept]:
    kept = Kept()
    yield kept
    kept.become("[]")
    assert all(process.poll() is not None for process in kept.machine.processes)


def ended(process: subprocess.Popen[bytes]) -> Callable[[], bool]:
    """Whether a process of the machine is gone; also the one that it has left."""
    return lambda: process.poll() is not None


def test_output_of_both_kinds_has_the_time_and_the_name_where_there_are_several(kept: Kept) -> None:
    kept.become('["echo out; echo err >&2", "printf unfinished"]', '"echo alone"')
    until(lambda: kept.state("echo")["state"] == kept.state("printf")["state"] == "ended")
    until(lambda: kept.state("echo", "h2")["state"] == "ended")
    lines = [line.split(" ", 1)[1] for line in kept.text().splitlines()]
    assert {"echo: out", "echo: err", "printf: unfinished", "echo: -- ended (exit code 0)"} <= set(lines)
    assert kept.text("h2").splitlines()[0].split(" ", 1)[1] == "alone"
    assert "h2: command echo ended (exit code 0)" in kept.told()


def test_one_that_fails_is_told_by_event_state_and_trouble(kept: Kept) -> None:
    kept.become('["exit 3", [nothing-here], {name: killed, command: "kill -9 $$"}]')
    until(lambda: len(kept.keeper.troubles()) == 3)
    assert sorted(kept.keeper.troubles()) == [
        "h1: command exit failed (exit code 3); see: sdnlab logs h1",
        "h1: command killed failed (signal 9); see: sdnlab logs h1",
        "h1: command nothing-here failed (exit code 127); see: sdnlab logs h1",
    ]
    assert "h1: command nothing-here can't be started: nothing-here: no such file" in kept.told()
    assert kept.state("exit")["code"] == 3 and kept.state("exit")["restarts"] == 0


def test_one_that_ends_at_once_very_often_breaks_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "restart_delay", lambda in_a_row: 0.0)
    kept.become('[{name: bad, command: [sh, -c, "echo again; exit 1"], restart: on-failure}]', '"sleep 1000"')
    until(lambda: kept.state("bad")["restarts"] >= 100)
    assert kept.keeper.troubles() == ["h1: command bad keeps failing (exit code 1); see: sdnlab logs h1"]
    assert kept.state("sleep", "h2")["state"] == "running"
    assert len(kept.told()) == TOLD and kept.told()[-1].endswith("; further ends are not told")
    assert KEEPS_ENDING < 100
    kept.become("[]", '"sleep 1000"')
    starts = len(kept.machine.started)
    assert not kept.keeper.states().get("h1") and kept.state("sleep", "h2")["state"] == "running"
    kept.become("[]", '"sleep 1000"')
    assert len(kept.machine.started) == starts


def test_only_what_changed_ends_and_starts(kept: Kept) -> None:
    kept.become('["sleep 1000", {name: other, command: "sleep 1001"}]', '"sleep 1000"')
    until(lambda: len(kept.machine.processes) == 3)
    first = dict(zip(kept.machine.started, kept.machine.processes, strict=True))
    kept.become('["sleep 1000", {name: other, command: "sleep 1002"}]', '"sleep 1000"')
    until(lambda: len(kept.machine.processes) == 4)
    assert first["h1", "sleep"].poll() is None and first["h2", "sleep"].poll() is None
    assert first["h1", "other"].poll() is not None
    # a host that is made anew has another mark
    kept.become('["sleep 1000"]', '"sleep 1000"', {"h1": "h1", "h2": "h2@new"})
    until(lambda: kept.machine.started[4:] == [("h2", "sleep")])
    assert first["h1", "sleep"].poll() is None and first["h2", "sleep"].poll() is not None
    assert kept.told() == []  # what was asked for is no event


def test_one_that_ignores_sigterm_is_killed_with_all_that_it_started(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "END_PATIENCE", 0.2)
    kept.become("[{name: deaf, command: \"trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000\"}]")
    until(lambda: kept.text().count("\n") == 1)
    child = Path("/proc") / kept.text().split()[-1]
    kept.become("[]")
    assert kept.machine.processes[0].poll() is not None
    until(lambda: not child.exists() or "Z" in (child / "stat").read_text().split()[2], "its child is gone")


def test_what_has_a_session_of_its_own_ends_with_its_command(kept: Kept) -> None:
    script = "setsid -w sh -c 'echo $$; exec sleep 1000' & wait"
    kept.become(f'[{{name: runtime, command: "{script}"}}]')
    until(lambda: kept.text().count("\n") == 1)
    child = Path("/proc") / kept.text().split()[-1]
    kept.become("[]")
    until(lambda: not child.exists() or "Z" in (child / "stat").read_text().split()[2], "its child is gone")


def test_a_daemon_that_a_command_leaves_lives_on_and_its_output_is_read(kept: Kept, tmp_path: Path) -> None:
    go = tmp_path / "go"
    kept.become(f'["(until test -e {go}; do sleep 0.01; done; echo later) & echo begun"]')
    until(lambda: kept.keeper.states()["h1"][0]["state"] == "ended")
    go.touch()
    until(lambda: "later" in kept.text(), "it writes after the end of its command")


def test_what_a_command_left_is_gone_before_it_starts_again(kept: Kept) -> None:
    kept.become('[{name: leaves, command: "sleep 1000 & echo $!; exit 1", restart: always}]')
    until(lambda: kept.state("leaves")["restarts"] >= 2)
    first = Path("/proc") / kept.text().splitlines()[0].split()[-1]
    until(lambda: not first.exists() or "Z" in (first / "stat").read_text().split()[2])


def test_a_flood_is_slowed_down_and_others_are_heard(kept: Kept) -> None:
    kept.become('["yes"]', "[{name: ticks, command: 'while :; do echo tick; sleep 0.01; done'}]")
    until(lambda: "y\n" in kept.text() and kept.text("h2").count("tick") > 20)
    assert len(kept.text()) <= 2 * KEPT + kept_module.READ * 20
    kept.become("[]")
