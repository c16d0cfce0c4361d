"""Processes that die or hang: noticed, said, and waited for no longer than makes sense."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dataplane.ovs.daemon import News
from lab.events.log import EventLog
from lab.failure import Failure
from lab.supervisor import pulse
from lab.supervisor import watch as supervisor_watch
from lab.supervisor.health import Lasting
from lab.supervisor.northbound import NoAnswer, ask
from lab.supervisor.pulse import Pulse, Target, answers
from lab.supervisor.settle import Settling
from lab.supervisor.watch import DaemonWatch
from tests.unit.lab.lab_values import lab_of


def test_a_daemon_is_ailing_from_its_death_until_it_works() -> None:
    events = EventLog()
    watch, key = DaemonWatch(events), ("d1", "ovsdb-server")
    assert watch.ailing() == {}
    watch.hear("d1", News("ovsdb-server", "dead", 0, "signal 9"))
    assert (
        "died (signal 9) and is started again; until then its switches forward nothing"
        in (watch.ailing()[key])
    )
    watch.hear("d1", News("ovsdb-server", "returned", 7))
    assert "is taking up its work; until then its switches forward nothing" in watch.ailing()[key]
    watch.hear("d1", News("ovsdb-server", "working", 7))
    assert watch.ailing() == {}
    texts = [event["text"] for event in events.since(0)]
    assert [text.split(" of ")[0] for text in texts] == ["ovsdb-server"] * 2
    assert "its switches forward" in texts[1]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        yield sleeper
        sleeper.kill()


def test_a_stopped_process_is_said_once_and_so_is_that_it_goes_on(process: subprocess.Popen[bytes]) -> None:
    said: list[tuple[str, int, str]] = []
    watched = Pulse(lambda: {"x": Target(process.pid)}, lambda *what: said.append(what))
    watched.look()
    assert said == [] and watched.hung() == {}
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    watched.look()
    watched.look()
    assert len(said) == 1 and f"kill -CONT {process.pid}" in watched.hung()["x"] == said[0][2]
    process.send_signal(signal.SIGCONT)
    os.waitpid(process.pid, os.WCONTINUED)
    watched.look()
    assert said[1:] == [("x", process.pid, "")] and watched.hung() == {}


def test_who_was_stopped_and_killed_does_not_go_on(process: subprocess.Popen[bytes]) -> None:
    said: list[str] = []
    watched = Pulse(lambda: {"x": Target(process.pid)}, lambda _key, _pid, why: said.append(why))
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    watched.look()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    watched.look()
    assert len(said) == 1 and said[0]


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[Path]:
    """The socket of somebody who listens and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "deaf"))
        listener.listen(8)
        yield tmp_path / "deaf"


def test_who_does_not_answer_for_long_hangs(deaf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()
    targets = {"deaf": Target(here, deaf, b"?"), "gone": Target(here, deaf.with_name("no"), b"?")}
    assert answers(targets, 0.01) == {"deaf": False}
    watched = Pulse(lambda: targets, lambda *_: None)
    watched.look(0.01)
    assert watched.hung() == {}  # it may be busy
    monkeypatch.setattr(pulse, "SILENT", 0.0)
    assert watched.hung() == {}  # it has never answered: it may still be loading its libraries
    monkeypatch.setattr(pulse, "STARTING", 0.0)
    assert "has not answered for" in watched.hung()["deaf"]


def test_who_has_answered_once_is_given_less_time(deaf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "SILENT", 0.0)
    monkeypatch.setattr(pulse, "STARTING", 3600.0)
    path = deaf.with_name("speaks")
    targets = {"x": Target(os.getpid(), path, b"?")}
    watched = Pulse(lambda: targets, lambda *_: None)
    watched.look(0.01)  # nobody listens yet: that is no answer
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)
        watched.look(0.01)
        assert watched.hung() == {}

        def speak() -> None:
            for _ in range(2):  # the first has given up
                stream, _ = listener.accept()
                with stream, suppress(BrokenPipeError):
                    stream.recv(1)  # who closes before the question comes has answered nothing
                    stream.sendall(b"!")

        speaker = threading.Thread(target=speak)
        speaker.start()
        watched.look(5.0)
        speaker.join()
        watched.look(0.01)
        assert "has not answered for" in watched.hung()["x"]


def test_the_controllers_answer_is_not_waited_for_when_it_hangs(deaf: Path) -> None:
    with pytest.raises(NoAnswer, match="the controller is stopped"):
        ask(str(deaf), "/flows", doubt=iter(["", "", "the controller is stopped"]).__next__)
    with pytest.raises(NoAnswer, match=r"said nothing for 0\.2 s"):
        ask(str(deaf), "/flows", timeout=0.2)
    with pytest.raises(NoAnswer, match=r"refused|No such file"):
        ask(str(deaf.with_name("no")), "/flows", patience=0.0)


def test_a_doubt_counts_when_it_lasts() -> None:
    reasons = iter(["busy", "", "busy", "busy"])
    doubt = Lasting(lambda: next(reasons), 0.0)
    assert [doubt() for _ in range(4)] == ["busy", "", "busy", "busy"]
    assert Lasting(lambda: "busy", 60.0)() == ""


class FakeController:
    """A controller that dies, or hangs, while it is told an intent."""

    def __init__(self, hangs: bool) -> None:
        self.pid, self.number, self.read, self.restarts, self.hangs = 10, 1, 1, 0, hangs
        self.name, self.api = "sdnlab", Path("/run/controller.sock")
        self.told = 0

    def replace(self, _topology: Any) -> int:
        self.number += 1
        return self.number

    def has_read(self, number: int) -> bool:
        return self.read >= number

    def restart(self) -> None:
        self.restarts += 1
        self.pid, self.read = self.pid + 1, self.number

    def wait_until(self, holds: Any, _timeout: float) -> None:
        if not holds(None):
            raise Failure("never")


@pytest.mark.parametrize("hangs", [True, False])
def test_an_intent_survives_the_controller_that_was_told(hangs: bool) -> None:
    controller = FakeController(hangs)

    def ask(*_: Any, **__: Any) -> Any:
        controller.told += 1
        if not hangs:  # it dies, and its keeper starts another
            controller.pid, controller.read = 11, controller.number
        raise NoAnswer("nobody knows why")

    events = EventLog()
    controllers: Any = SimpleNamespace(all=lambda: [controller])
    health: Any = SimpleNamespace(why_no_answer=lambda *_, **__: "")
    questions: Any = SimpleNamespace(ask=ask)
    net: Any = None
    topology: Any = SimpleNamespace(model_dump=lambda **_: {})
    assert Settling(net, controllers, health, questions, events).intend(topology) == {"sdnlab": 2}
    assert (controller.told, controller.restarts) == (1, 1 if hangs else 0)
    assert bool(events.since(0)) is hangs


def test_a_ping_judges_the_lab_that_it_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    """``apply`` waits for the lock while a ping runs, and the ping for it: what it probes and what it judges
    by are of one moment."""
    import topologies

    old = topologies.loads("switches: [s1]\nhosts: {h1: s1, h2: s1}\n")
    new = topologies.loads("switches: [s1]\nhosts: {h3: s1, h4: s1}\n")
    lab = lab_of(old, net=SimpleNamespace(link_states=dict, daemon_sockets=dict, places=dict))
    seen: list[Any] = []

    def probed(hosts: Any, *_: Any, **__: Any) -> Any:
        seen.append([host.name for host in hosts])

    def judged(topology: Any, *_: Any) -> Any:
        seen.append([host.name for host in topology.hosts])
        return {"note": "", "apart": 0, "reached": 0, "total": 0, "seconds": 0.0}

    monkeypatch.setattr("lab.supervisor.pinging.probe", probed)
    monkeypatch.setattr("lab.supervisor.pinging.ping_result", judged)
    with lab.lock:  # an apply
        pinging = threading.Thread(target=lab.ping, args=(None,))
        pinging.start()
        lab.topology = new
    pinging.join(30.0)
    assert seen == [["h3", "h4"], ["h3", "h4"]]


def test_a_lab_that_a_signal_has_stopped_is_not_waited_for(
    process: subprocess.Popen[bytes], deaf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab.access import client

    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    monkeypatch.setattr(client, "peer", lambda _sock: (process.pid, os.getuid()))
    with socket.socket(socket.AF_UNIX) as stream, pytest.raises(Failure, match="is stopped by a signal"):
        stream.connect(str(deaf))
        client.await_answer(stream, "x", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("signal 9", "died (signal 9) and is started again"),
        ("can't be started: no space", "can't be started: no space"),
        ("is replaced, since it would wait", "is replaced, since it would wait"),
    ],
)
def test_events_and_status_say_alike_how_a_daemon_ended(words: str, said: str) -> None:
    key = ("d1", "ovs-vswitchd")
    for text in (supervisor_watch.told(key, "dead", words, 0.0), supervisor_watch.now(key, "dead", words)):
        assert text == f"ovs-vswitchd of domain d1 {said}; until then its switches forward nothing"
