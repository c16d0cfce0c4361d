"""The command line with a fake lab behind it: what is asked, what is printed, which exit code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from lab.access import client as client_module
from lab.access import holders
from lab.cli import app as app_module
from lab.failure import Exit, Failure, unknown
from lab.views import links
from tests.unit.lab.lab_values import STATUS


class FakeLab:
    """Stands for ``lab.access.client.Client``: keeps what it was asked, answers from a table."""

    asked: list[tuple[str, str, Any]]
    answers: dict[str, Any]

    def __init__(self, name: str, **_options: Any) -> None:
        self.name = name

    def get(self, path: str) -> Any:
        self.asked.append(("GET", path, None))
        return self.answers[path]

    def post(self, path: str, body: Any = None) -> Any:
        self.asked.append(("POST", path, body))
        return self.answers[path]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeLab]:
    FakeLab.asked, FakeLab.answers = [], {"/status": STATUS, "/links": {"s1-s2": True, "h1-s1": True}}
    monkeypatch.setattr(client_module, "Client", FakeLab)
    monkeypatch.setattr(client_module, "supervisor_pid", lambda name: 4711)
    monkeypatch.setattr(holders, "running", lambda: ["only"])
    return FakeLab


def run(*words: str) -> Any:
    return CliRunner().invoke(app_module.build(words[0]), list(words))


def test_status_for_programs(fake: type[FakeLab]) -> None:
    result = run("status", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {**STATUS, "pid": 4711}


WITHOUT_A_LAB = {
    "image", "up", "list", "demo", "test", "test-lab", "ids", "topologies", "validate", "graph", "schema",
    "generate", "verify", "ryu-manager", "convert", "mininet",
}  # fmt: skip


def test_every_command_about_a_lab_takes_the_option_that_help_promises() -> None:
    commands = {command.name: command.callback for command in app_module.build().registered_commands}
    lacking = {
        name
        for name, function in commands.items()
        if function is not None and "lab" not in inspect.signature(function).parameters
    }
    assert lacking == WITHOUT_A_LAB


def test_a_lab_may_be_an_argument_or_an_option(fake: type[FakeLab]) -> None:
    for words in (("status", "only"), ("status", "--lab", "only"), ("status", "only", "-l", "only")):
        assert run(*words).exit_code == 0, words
    twice = run("status", "only", "--lab", "other")
    assert isinstance(twice.exception, Failure) and twice.exception.code == Exit.USAGE


@pytest.mark.parametrize(
    ("kind", "name", "known", "words"),
    [
        ("host", "hosst1", ["host1", "web"], "did you mean 'host1'? there are: host1, web"),
        ("host", "H1", ["h1"], "did you mean 'h1'?"),
        ("host", "nobody", ["h1"], "there are: h1"),
        ("function", "fw", [], "there are: none"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(kind: str, name: str, known: list[str], words: str) -> None:
    failure = unknown(kind, name, known)
    assert failure.what == f"no {kind} named {name!r}" and words in failure.remedy
    assert ("did you mean" in words) == ("did you mean" in failure.remedy)


def test_what_else_there_is_can_be_near_as_well() -> None:
    failure = unknown("host or switch", "swich1", ["h1"], "hosts", among=["switch1"])
    assert failure.remedy == "did you mean 'switch1'? hosts: h1"


def test_link_by_its_ends_and_by_name(fake: type[FakeLab]) -> None:
    fake.answers["/links/s1-s2"] = {"name": "s1-s2", "up": False, "changed": True}
    fake.answers["/links/h1-s1"] = {"name": "h1-s1", "up": True, "changed": False}
    assert run("link", "down", "s2", "s1").stdout == "link s1-s2 is down\n"
    assert fake.asked[-1] == ("POST", "/links/s1-s2", {"up": False})
    assert run("link", "up", "h1-s1").stdout == "link h1-s1 is up already\n"
    assert run("link", "sideways", "s1", "s2").exit_code == Exit.USAGE


def test_link_set_and_show(fake: type[FakeLab]) -> None:
    does = {"delay": "20ms", "loss": "1%"}
    ways: list[dict[str, Any]] = [
        {"source": "s1:2", "target": "s2:2", "does": does},
        {"source": "s2:2", "target": "s1:2", "does": {}},
    ]
    wire = {
        "name": "s1-s2",
        "a": "s1:2",
        "b": "s2:2",
        "up": True,
        "mtu": 1500,
        "kind": "devices",
        "ways": ways,
    }
    fake.answers["/wires/s1-s2"] = {"wire": wire, "changed": True, "disrupts": "", "notes": []}
    fake.answers["/wires"] = [wire]
    said = run("link", "set", "s2", "s1", "delay=20ms", "loss=1%", "--from", "s1").stdout
    request = {"values": does, "source": "s1"}
    assert fake.asked[-1] == ("POST", "/wires/s1-s2", request)
    rows = [line.split() for line in said.splitlines()]
    assert rows[1] == ["s1-s2", "s1:2", "->", "s2:2", "up", "1500", "devices", "delay", "20ms,", "loss", "1%"]
    assert rows[2] == ["s2:2", "->", "s1:2", "-"]
    assert run("link", "show").stdout == said == run("link", "show", "s1-s2").stdout
    assert json.loads(run("link", "show", "s1", "s2", "--json").stdout) == [wire]
    run("link", "set", "s1-s2", "delay=none")
    assert fake.asked[-1] == ("POST", "/wires/s1-s2", {"values": {"delay": "none"}})


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("set", "s1", "s2"), "what to set"),
        (("set", "delay=20ms"), "two ends"),
        (("set", "s1", "s2", "delay=20ms", "loss"), "'loss' is not KEY=VALUE"),
        (("set", "s1", "s2", "delay", "20ms"), "two ends"),
        (("down", "s1", "s2", "delay=20ms"), "changes nothing else"),
        (("show", "s1", "--from", "s2"), "changes nothing else"),
        (("up",), "two ends"),
        (("show", "s9-s8"), "no link named 's9-s8'"),
    ],
)
def test_link_says_how_it_is_used(fake: type[FakeLab], words: tuple[str, ...], what: str) -> None:
    fake.answers["/wires"] = []
    failure = run("link", *words).exception
    assert isinstance(failure, Failure) and what in failure.what


def test_parallel_links_must_be_named() -> None:
    twice = [{"name": name, "a": "s1:1", "b": "s2:1", "up": True} for name in ("s1-s2", "s1-s2#2")]
    with pytest.raises(Failure, match="there are 2 links") as failure:
        links.link_between({**STATUS, "links": twice}, {}, "s1", "s2")  # type: ignore[typeddict-item]
    assert failure.value.code == Exit.USAGE and "s1-s2#2" in failure.value.remedy


@pytest.mark.parametrize(
    ("a", "b", "what"), [("s1", "h9", "no switch or host named 'h9'"), ("h1", "s2", "no link")]
)
def test_links_that_are_not_there(a: str, b: str, what: str) -> None:
    with pytest.raises(Failure, match=what):
        links.link_between(STATUS, {"h1-s1": True}, a, b)


@pytest.mark.parametrize(("reached", "code"), [(1, 0), (0, 1)])
def test_ping_exits_by_what_was_reached(fake: type[FakeLab], reached: int, code: int) -> None:
    fake.answers["/ping"] = {
        "hosts": ["h1", "h2"], "families": [4], "method": "stack", "note": "", "total": 1, "reached": reached,
        "held": 0, "apart": 0, "leaked": 0, "good": bool(reached), "seconds": 0.1, "frames_sent": 1,
        "links_down": [],
        "counts": [{"family": 4, "reached": reached, "total": 1}], "median": 0.001 if reached else None,
        "pairs": [{"src": "h1", "dst": "h2", "family": 4, "reached": bool(reached),
                   "rtt": 0.001 if reached else None, "reason": "" if reached else "lost", "policy": "",
                   "apart": False}],
    }  # fmt: skip
    result = run("ping", "h1", "h2")
    assert result.exit_code == code
    assert fake.asked[-1] == ("POST", "/ping", {"pairs": [("h1", "h2")]})
    assert ("lost" in result.stdout) != bool(reached)


def test_ping_takes_two_hosts_or_none(fake: type[FakeLab]) -> None:
    result = run("ping", "h1")
    assert isinstance(result.exception, Failure) and result.exception.code == Exit.USAGE


def test_no_lab_and_several_labs(fake: type[FakeLab], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "running", lambda: [])
    assert isinstance(run("status").exception, Failure)
    monkeypatch.setattr(holders, "running", lambda: ["a", "b"])
    result = run("status")
    assert isinstance(result.exception, Failure) and result.exception.code == Exit.USAGE
    assert run("status", "b").exit_code == 0


def test_every_command_explains_itself() -> None:
    for name in app_module.commands():
        result = run(name, "--help")
        assert result.exit_code == 0 and "Usage" in result.stdout


def test_help_explains_every_argument_in_paragraphs_that_fit_the_terminal() -> None:
    group = typer.main.get_command(app_module.build())
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert command.help and "\n" not in command.help.replace("\n\n", ""), name
        for parameter in command.params:
            assert parameter.help, f"{name}: {parameter.name}"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["exec", "h1", "ls", "-l"], ["exec", "h1", "--", "ls", "-l"]),
        (["exec", "--lab", "x", "h1", "ls", "-l"], ["exec", "--lab", "x", "h1", "--", "ls", "-l"]),
        (["exec", "--lab=x", "h1", "ls"], ["exec", "--lab=x", "h1", "--", "ls"]),
        (["exec", "h1", "--lab", "x", "--", "ls"], ["exec", "h1", "--lab", "x", "--", "ls"]),
        (["exec", "h1", "--", "ls", "-l"], ["exec", "h1", "--", "ls", "-l"]),
        (["exec", "h1", "git", "log", "--", "f"], ["exec", "h1", "--", "git", "log", "--", "f"]),
        (["exec", "h1"], ["exec", "h1"]),
        (["exec", "--help"], ["exec", "--help"]),
        (["exec"], ["exec"]),
        (["ping", "h1", "h2"], ["ping", "h1", "h2"]),
    ],
)
def test_a_hosts_command_keeps_its_options(typed: Sequence[str], meant: Sequence[str]) -> None:
    assert app_module.separated(typed) == meant


def test_one_command_is_known_from_its_name_alone() -> None:
    assert app_module.wanted(["status"], {}) == "status"
    assert app_module.wanted(["status"], {"_SDNLAB_COMPLETE": "complete_bash"}) is None
    assert app_module.wanted(["--help"], {}) is None
    assert app_module.wanted([], {}) is None
    assert app_module.wanted(["nonsense"], {}) is None


def test_validate_reports_every_problem(tmp_path: Any) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("switches: [s1]\nhosts: {h1: s9}\nlinkz: []\n")
    result = run("validate", str(file))
    assert result.exit_code == 1
    assert len([line for line in result.stdout.splitlines() if line.startswith(f"{file}:")]) == 2
    answer = json.loads(run("validate", str(file), "--json").stdout)
    assert answer["valid"] is False and [problem["line"] for problem in answer["problems"]] == [2, 3]


def test_shipped_topologies_are_known_by_name() -> None:
    assert run("validate", "quickstart").exit_code == 0
