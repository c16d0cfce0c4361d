"""The supervisor's parts that need no lab: events, what the controller's words add up to, the stand-in."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from controller import messages
from lab.api.stand_in import StandIn
from lab.events.log import KEPT, EventLog
from lab.failure import Failure
from lab.functions.backoff import BACKOFF, restart_delay
from lab.supervisor.controller import Controller, Programming, tail


def test_events_are_numbered_and_bounded() -> None:
    log = EventLog()
    for number in range(KEPT + 5):
        log.add("x", str(number))
    events = log.since(0)
    assert len(events) == KEPT and events[-1]["number"] == KEPT + 5
    assert [event["text"] for event in log.since(KEPT + 3)] == [str(KEPT + 3), str(KEPT + 4)]
    assert log.since(KEPT + 5) == []


def test_a_follower_wakes_for_the_next_event() -> None:
    log = EventLog()
    got: list[Any] = []
    follower = threading.Thread(target=lambda: got.extend(log.wait(0, 30.0)))
    follower.start()
    log.add("x", "now")
    follower.join(30.0)
    assert [event["text"] for event in got] == ["now"]
    assert log.wait(1, 0.0) == []


def test_programming_follows_the_controller() -> None:
    state = Programming()
    state.switches = frozenset({"s1", "s2"})
    state.take(messages.Compiled(seconds=0.1, flows=10, groups=2))
    state.take(messages.Connected("s1"))
    state.take(messages.Programmed("s1", 1, 0, 0.0))
    assert (state.flows, state.groups, state.missing, state.converged) == (10, 2, ["s2"], False)
    state.take(messages.Connected("s2"))
    state.take(messages.AllProgrammed(0.2))
    assert state.converged and state.missing == []
    state.take(messages.Disconnected("s2"))
    assert not state.converged and state.missing == ["s2"] and state.connected == {"s1"}
    state.reset()
    assert not state.connected


def test_restarts_back_off_to_a_bound() -> None:
    delays = [restart_delay(n) for n in range(100)]
    assert delays[0] == 0.0 and delays == sorted(delays) and delays[-1] == BACKOFF[-1]
    assert restart_delay(-1) == 0.0  # the first after a long life


def test_a_controller_that_keeps_dying_is_reported_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.supervisor.controller.sys.executable", "/bin/false")
    monkeypatch.setattr("lab.functions.backoff.BACKOFF", (0.0,))
    import topologies

    topology = topologies.loads("switches: [s1]\nhosts: {h1: s1}\n")
    events = EventLog()
    with socket.socket() as listener:
        paths = [tmp_path / name for name in ("topology.json", "api.sock", "log")]
        controller = Controller(listener.fileno(), *paths, events)
        controller.start()
        paths[2].write_text("first\nno module named os_ken\n\n")
        controller.keep(topology)
        with pytest.raises(Failure, match="keeps dying: no module named os_ken"):
            controller.wait_programmed(30.0)
        controller.stop()
    assert json.loads(paths[0].read_text())["switches"][0]["name"] == "s1"
    assert any("died (exit code 1)" in event["text"] for event in events.since(0))


def test_last_line_of_a_log(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == ""
    (tmp_path / "log").write_bytes(b"a\n" * 100_000 + b"b\xff\n\n")
    assert tail(tmp_path / "log", 2).splitlines()[0] == "a"


def test_the_stand_in_does_not_wait_for_a_request_that_comes_byte_by_byte() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0sdnlab-test-slow/{os.getpid()}")
    listener.listen(8)
    stand_in = StandIn(listener, lambda: "wires")
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(listener.getsockname())
        with pytest.raises(OSError):
            for _ in range(3000):  # 5 minutes
                slow.sendall(b"x")
                select.select([slow], [], [], 0.1)  # it is told, when the stand-in has hung up
    stand_in.stop()
    listener.close()


def test_the_stand_in_answers_until_it_is_stopped() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0sdnlab-test/{os.getpid()}")
    listener.listen(8)
    stand_in = StandIn(listener, lambda: "wires")
    with socket.socket(socket.AF_UNIX) as quiet:  # connects, says nothing, leaves
        quiet.connect(listener.getsockname())
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30.0)
        client.connect(listener.getsockname())
        client.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"state": "building", "stage": "wires"}
    stand_in.stop()
    with socket.socket(socket.AF_UNIX) as late:
        late.connect(listener.getsockname())  # waits in the queue for who serves next
        assert listener.accept()
    listener.close()
