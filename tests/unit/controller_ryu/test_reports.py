"""What the launcher of Ryu applications reports, and its options."""

from __future__ import annotations

import os

import pytest
from typer.testing import CliRunner

from controller.ryu import hub, options
from controller.ryu.reports import (
    AppFailed,
    AppLoaded,
    BadMessage,
    HandlerFailed,
    Report,
    Started,
    SwitchReport,
    line,
    parse,
)
from controller.ryu.starting import command
from lab.cli.app import build


@pytest.mark.parametrize(
    "report",
    [
        Started("eventlet", 6653, None, ("1.0", "1.3")),
        AppLoaded("Hub", "/x/hub.py", ("1.3",)),
        AppFailed("hub", "/x/hub.py", "one line", "Traceback ...\n", None),
        AppFailed("hub", "/x/hub.py", "one line", "Traceback ...\n", "a remedy"),
        HandlerFailed("Hub", "packet_in", "Traceback ...\n"),
        SwitchReport("0000000000000001", "gone", "1.3"),
    ],
)
def test_a_report_is_read_as_it_was_written(report: Report) -> None:
    text = line(report)
    assert text.endswith("\n") and text.count("\n") == 1
    assert parse(text) == report


@pytest.mark.parametrize("text", ["", "{", "[]", '{"event": "other"}', '{"event": "switch", "dpid": "1"}'])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        parse(text)


def test_own_options_are_taken_out_and_the_rest_stays_as_it_is() -> None:
    given = options.parse(["--verbose", "--hub=native", "--report-fd", "5", "a.py", "--wsapi-port", "80"])
    assert given == options.Options("native", None, 5, rest=("--verbose", "a.py", "--wsapi-port", "80"))


@pytest.mark.parametrize("words", [["--hub", "gevent"], ["--listen-fd", "x"], ["--report-fd"]])
def test_an_option_that_cannot_be_used_is_named(words: list[str]) -> None:
    with pytest.raises(options.BadOption, match=words[0]):
        options.parse(words)


def test_eventlet_is_chosen_unless_an_app_cannot_run_with_it() -> None:
    assert hub.choose("auto", ["import ryu\n"], None, True) == "eventlet"
    assert hub.choose("auto", ["def f():\n    import asyncio.events\n"], None, True) == "native"
    assert hub.choose("auto", ["import ryu\n"], None, False) == "native"
    assert hub.choose("auto", ["print 'old'\n"], "native", True) == "native"
    assert hub.choose("eventlet", ["import asyncio\n"], "native", True) == "eventlet"


def test_the_command_line_gives_all_words_to_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, words: started.append(words))
    words = ["--verbose", "--wsapi-port", "8081", "--hub=native", "a.py", "ryu.app.ofctl_rest"]
    assert CliRunner().invoke(build(), ["ryu-manager", *words]).exit_code == 0
    assert started == [command(words)]
