"""The process of a user's apps: it is kept running, reloaded, slowed when it crashes, and told about."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import topologies
from lab.events.log import EventLog
from lab.supervisor.controllers import Controllers, Means
from lab.supervisor.ryu_apps import RyuApps
from tests.waiting import until
from topologies.edit import controlled_by
from topologies.model.applications import Application

LAUNCHER = """
import json, os, sys, time
words = sys.argv[1:]
out = os.fdopen(int(words[words.index("--report-fd") + 1]), "w", 1)
app = words[-1]
what = open(app).read().strip()
print("it runs", what, flush=True)
if what == "broken":
    say = {"event": "app_failed", "app": "A", "file": app, "error": "no good", "traceback": "T"}
    print(json.dumps({**say, "remedy": None}), file=out)
    sys.exit(1)
if what == "crash":
    sys.exit(3)
print("no report", file=out)
started = {"event": "started", "hub": "eventlet", "openflow": 1, "wsapi": 8080, "versions": []}
print(json.dumps(started), file=out)
switch = {"event": "switch", "dpid": "0000000000000001", "state": "connected", "version": "1.3"}
print(json.dumps(switch), file=out)
time.sleep(600)
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        "lab.supervisor.ryu_apps.command", lambda words: [sys.executable, "-c", LAUNCHER, *words]
    )
    file = tmp_path / "my_app.py"
    file.write_text("good")
    return file


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
def apps(app: Path, events: EventLog, tmp_path: Path) -> Iterator[RyuApps]:
    cleared: list[frozenset[str]] = []

    def clear(switches: frozenset[str]) -> list[str]:
        cleared.append(switches)
        return []

    application = Application(name="app", apps=(str(app),))
    plain = topologies.loads("{switches: [s1], hosts: {h1: s1}}", "x.yaml")
    runner = RyuApps(application, 0, tmp_path, events, 8080, clear)
    runner.start()
    runner.keep(controlled_by(plain, application))
    yield runner
    runner.stop()
    assert all(switches == {"s1"} for switches in cleared)


def texts(events: EventLog) -> str:
    return "\n".join(event["text"] for event in events.since(0))


def test_it_runs_is_reloaded_and_fails_with_the_lab_still_up(
    app: Path, apps: RyuApps, events: EventLog
) -> None:
    apps.wait_programmed(30.0)
    until(lambda: apps.state.connected == {"s1"})
    assert apps.told()["state"] == "running" and apps.told()["wsapi"] == 8080
    assert "says what is not understood" in texts(events)
    first = apps.pid
    app.write_text("broken")
    until(lambda: apps.told()["state"] == "failed")
    assert apps.told()["error"] == "no good" and not apps.state.connected
    assert "my_app.py changed" in texts(events) and "A can't run: no good" in texts(events)
    app.write_text("better")
    until(lambda: apps.told()["state"] == "running" and apps.pid not in (0, first))
    assert apps.restarts == 0 and "it runs better" in apps.log.read_text()
    killed = apps.pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: apps.pid not in (0, killed) and apps.told()["state"] == "running")
    assert apps.restarts == 1 and "ended (signal 9)" in texts(events)


def test_one_that_crashes_again_and_again_is_told_and_slowed(
    app: Path, apps: RyuApps, events: EventLog
) -> None:
    app.write_text("crash")
    until(lambda: "3 times in a row; a new process starts in 0.5 s" in texts(events))
    assert "exit code 3" in texts(events)
    app.write_text("good again")
    until(lambda: apps.told()["state"] == "running")


def test_other_options_start_it_anew(app: Path, apps: RyuApps) -> None:
    until(lambda: apps.told()["state"] == "running")
    first = apps.pid
    plain = topologies.loads("{switches: [s1], hosts: {h1: s1}}", "x.yaml")
    other = Application(name="app", apps=(str(app),), options=("--verbose",))
    assert apps.replace(controlled_by(plain, other)) == 0 and apps.has_read(9)
    until(lambda: apps.pid not in (0, first))


def test_a_lab_makes_the_controllers_that_its_topology_has(
    app: Path, events: EventLog, tmp_path: Path
) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    application = Application(name="mine", apps=(str(app),))
    plain = topologies.loads("{switches: [s1], hosts: {h1: s1}}", "x.yaml")
    controllers = Controllers(Means(0, listener.fileno(), tmp_path, events))
    ours = controlled_by(plain, application)
    controllers.extend(ours)
    controllers.become(ours)
    assert [controller.name for controller in controllers.applications()] == ["mine"]
    assert controllers.of("s1").name == "mine" and controllers.ports()["mine"] > 0
    controllers.become(plain)
    assert controllers.applications() == []
    listener.close()
    assert json.dumps(controllers.ports()) == '{"sdnlab": 0}'
