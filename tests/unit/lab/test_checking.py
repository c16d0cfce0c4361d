"""The supervisor's side of checks: which ones, when, and what its answer says."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

import topologies
from lab.events.log import EventLog
from lab.failure import Failure, NotThere
from lab.messages.checks import CheckLine
from lab.supervisor import checking
from lab.supervisor.checking import Checking, chosen
from topologies.model.checks_of_ways import Survives

TEXT = "switches: [s1]\nhosts: {h1: s1, h2: s1}\nchecks:\n"
TWO = "- {name: one, command: {host: h1, run: 'true'}}\n- {name: two, command: {host: h1, run: 'false'}}\n"


class Place:
    kind = "namespace"


def lab_of(text: str) -> Any:
    """A lab without a network: its hosts can't be entered."""

    def place(host: str) -> Place:
        raise KeyError(host)

    return SimpleNamespace(
        topology=topologies.loads(TEXT + text, "lab.yaml"),
        file="lab.yaml",
        net=SimpleNamespace(place=place),
        events=EventLog(),
        lock=threading.Lock(),
        checking=threading.Lock(),
    )


def all_lines(run: Checking) -> list[CheckLine]:
    lines = []
    while (line := run.line()) is not None:
        lines.append(line)
    return lines


def test_which_checks_run() -> None:
    topology = lab_of(TWO).topology
    assert [c.number for c in chosen(topology, None, "x")] == [1, 2]
    assert [c.number for c in chosen(topology, ["two"], "x")] == [2]
    with pytest.raises(NotThere, match="no check named 'tow'") as caught:
        chosen(topology, ["one", "tow"], "x")
    assert "did you mean 'two'?" in caught.value.remedy
    with pytest.raises(Failure, match="has no checks"):
        chosen(topologies.loads("switches: [s1]\n"), None, "x")


def test_each_check_can_be_given_more_time() -> None:
    text = """\
- {name: one, reachable: {from: h1, to: h2}, within: 50s}
- {name: two, survives: {down: s1, check: {reachable: {from: h1, to: h2}}}}
"""
    topology = lab_of(text).topology
    one, two = (some.check for some in chosen(topology, None, "x", 40.0))
    assert isinstance(two, Survives)
    assert (one.within, two.within, two.check.within) == (50.0, 40.0, 40.0)
    assert [some.check for some in chosen(topology, None, "x")] == list(topology.checks)


def test_a_run_ends_with_its_end_and_is_an_event() -> None:
    lab = lab_of(TWO)
    kinds = [line["kind"] for line in all_lines(Checking(lab)) if line["kind"] != "progress"]
    assert kinds == ["begin", "result", "result", "end"]
    assert [event["text"] for event in lab.events.since(0)] == ["0 of 2 checks passed"]
    assert not lab.lock.locked() and not lab.checking.locked()


def test_a_lab_that_changes_meanwhile_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(TWO)
    with lab.checking:
        run = Checking(lab)
        run.line()
        changed = topologies.loads((TEXT + TWO).replace("h2: s1", "h3: s1"))
        to = SimpleNamespace(all=lambda _: setattr(lab, "topology", changed))
        monkeypatch.setattr(checking, "Run", lambda *_: to)
    last = all_lines(run)[-1]
    assert (last["kind"], "was changed while" in last["what"]) == ("failure", True)


def test_checks_wait_for_a_change_and_can_be_given_up() -> None:
    lab = lab_of(TWO)
    with lab.lock:
        run = Checking(lab)
        first = run.line()
        while first == {"kind": "progress"}:  # a busy machine
            first = run.line()
        run.cancel()
        lines = all_lines(run)
    assert first is not None and first["what"].startswith("waiting for another change")
    assert lines[-1] == {"kind": "failure", "what": "the checks were interrupted", "remedy": ""}
