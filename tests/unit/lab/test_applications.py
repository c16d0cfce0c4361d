"""What is known of a user's own apps from their reports, and how it is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from controller.ryu.reports import AppFailed, HandlerFailed, Started, SwitchReport
from lab.cli.rendering import lab as render
from lab.cli.say import Paint
from lab.failure import Failure
from lab.messages.lab import ApplicationState
from lab.start.order import Order
from lab.supervisor import by_apps
from lab.supervisor.app_files import AppFiles
from lab.supervisor.app_reports import AppReports
from lab.views import applications as views
from topologies import loads

TRACE = "Traceback (most recent call last):\n  File 'a.py', line 3\nZeroDivisionError: division by zero\n"
STATE: ApplicationState = {
    "name": "app",
    "apps": ["/x/my_app.py"],
    "options": [],
    "state": "running",
    "pid": 7,
    "restarts": 0,
    "in_a_row": 0,
    "since": 1000.0,
    "hub": "eventlet",
    "port": 6654,
    "wsapi": 8080,
    "switches": ["s1", "s2"],
    "connected": {"s1": "1.3", "s2": "1.3"},
    "error": "",
    "remedy": "",
    "traceback": "",
    "crashes": 0,
    "last_crash": "",
}


def state(**changes: Any) -> ApplicationState:
    return {**STATE, **changes}  # type: ignore[typeddict-item]


def test_switches_come_and_go_by_their_names() -> None:
    reports = AppReports("app", {1: "s1", 2: "s2"})
    told = reports.take(SwitchReport("0000000000000002", "connected", "1.3"))
    assert told is not None and told.text == "switch s2 is connected to app, OpenFlow 1.3"
    assert reports.connected == {"s2": "1.3"}
    told = reports.take(SwitchReport("0000000000000002", "gone", "1.3"))
    assert told is not None and "not connected to app any more" in told.text and not reports.connected
    assert reports.take(SwitchReport("0000000000000002", "gone", "1.3")) is None
    told = reports.take(SwitchReport("00000000000000ff", "connected", "1.3"))
    assert told is not None and "not in this lab" in told.text


def test_a_switch_that_was_given_to_another_controller_leaves_in_silence() -> None:
    switches = {1: "s1", 2: "s2"}
    reports = AppReports("app", switches)
    for dpid in ("0000000000000001", "0000000000000002"):
        reports.take(SwitchReport(dpid, "connected", "1.3"))
    del switches[1]
    reports.keep(switches.values())
    assert reports.connected == {"s2": "1.3"}
    assert reports.take(SwitchReport("0000000000000001", "gone", "1.3")) is None


def test_a_handler_that_fails_for_each_packet_is_told_at_times() -> None:
    reports = AppReports("app", {})
    told = [reports.take(HandlerFailed("Learn", "packet_in", TRACE)) for _ in range(100)]
    assert [number + 1 for number, one in enumerate(told) if one is not None] == [1, 10, 100]
    assert told[0] is not None
    assert told[0].text == ("controller app: packet_in of Learn failed: ZeroDivisionError: division by zero")
    assert told[0].data["traceback"] == TRACE
    assert reports.crashed == 100 and reports.last_crash == "ZeroDivisionError: division by zero"


def test_a_failure_without_words_is_told_with_the_line_of_the_app_that_led_to_it() -> None:
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/home/me/my_app.py", line 75, in packet_in\n    out = parser.OFPPacketOut(switch)\n'
        '  File "/venv/lib/python3.11/site-packages/os_ken/ofproto/parser.py", line 2590, in __init__\n'
        "    assert in_port is not None\nAssertionError\n"
    )
    reports = AppReports("app", {})
    told = reports.take(HandlerFailed("Learn", "packet_in", trace))
    assert told is not None and told.text.endswith("failed: AssertionError (my_app.py, line 75)")
    assert reports.last_crash == "AssertionError (my_app.py, line 75)"


def test_a_failed_app_is_told_with_its_traceback() -> None:
    reports = AppReports("app", {})
    told = reports.take(AppFailed("Learn", "/x/a.py", "no module named x", TRACE, "install x"))
    assert told is not None
    assert told.text == "controller app: Learn can't run: no module named x; install x"
    assert reports.failed is not None
    assert reports.take(Started("eventlet", 6654, 8080)) is not None
    failed = state(state="failed", error="no module named x", traceback=TRACE, connected={}, wsapi=None)
    (problem,) = views.problems(failed)
    assert problem.startswith(
        "controller app can't run: no module named x; it starts again when its file changes"
    )
    assert problem.endswith("ZeroDivisionError: division by zero")


def test_a_line_says_what_a_controller_controls_and_how_to_reach_it() -> None:
    assert views.problems(STATE) == []
    assert views.told(STATE) == (
        "app (my_app.py) controls s1, s2; 2 of 2 connected, OpenFlow 1.3; "
        "what it prints: sdnlab logs app -f; its HTTP: sdnlab app publish app"
    )
    assert views.problems(state(connected={"s1": "1.3"})) == ["not connected to controller app: s2"]
    assert views.problems(state(state="starting", connected={}))[0].endswith("does an __init__ not return?")
    assert "3 times in a row" in views.problems(state(state="ended", in_a_row=3, connected={}))[0]
    assert (
        "2 calls of handlers failed, the last with Oops"
        in views.problems(state(crashes=2, last_crash="Oops"))[0]
    )
    table = render.applications([STATE], Paint(False), 1012.0)
    assert table.splitlines()[1].split() == [
        "app", "my_app.py", "running", "for", "12", "s", "2", "of", "2", "eventlet", "8080", "0",
    ]  # fmt: skip


def test_a_change_of_a_file_is_told_when_nobody_writes_it_any_more(tmp_path: Path) -> None:
    app, beside = tmp_path / "a.py", tmp_path / "b.py"
    app.write_text("1")
    files = AppFiles([str(app)])
    assert files.changed() == []
    beside.write_text("x = 1")
    assert files.changed() == [] and files.changed() == ["b.py"] and files.changed() == []
    app.unlink()  # an editor replaces it
    assert files.changed() == [] and files.changed() == []
    app.write_text("22")
    assert files.changed() == [] and files.changed() == ["a.py"]
    os.utime(app, ns=(1, 1))
    assert files.changed() == [] and files.changed() == ["a.py"]
    (tmp_path / "notes.txt").write_text("")
    assert files.changed() == [] and files.changed() == []


def test_up_with_apps_gives_them_all_switches() -> None:
    plain = loads("{switches: [s1, s2], hosts: {h1: s1}, links: [s1 -- s2]}", "x.yaml")
    ours = by_apps.controlled(plain, ["/x/a.py", "ryu.app.ofctl_rest"], ["--fix-py2"])
    assert ours.by_apps == {"s1": "app", "s2": "app"}
    (app,) = ours.applications
    assert app.apps == ("/x/a.py", "ryu.app.ofctl_rest") and app.options == ("--fix-py2",)
    assert by_apps.of(ours) == app and by_apps.of(plain) is None
    assert Order("x", b"", None, 0).apps == ()
    wall = "{switches: [s1], hosts: {h1: s1}, functions: {fw: {kind: firewall, switch: s1, default: accept}}}"
    with pytest.raises(Failure, match="fw"):
        by_apps.controlled(loads(wall, "x.yaml"), ["/x/a.py"])
