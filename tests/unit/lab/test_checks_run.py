"""A run of checks: its lines, a verb of somebody else, and its text, JSON and XML."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal
from xml.etree import ElementTree

import pytest
from pydantic import Field

import topologies
from lab.checks.diagnosis import Ailing
from lab.checks.judgement import Judgement, finding
from lab.checks.room import Cancelled, Visit
from lab.checks.run import Numbered, Run
from lab.checks.verbs import VERBS, ByAction
from lab.checks.ways import Ways
from lab.cli.rendering.checks import checks as rendered
from lab.cli.rendering.checks import junit
from lab.cli.say import Paint
from lab.failure import Failure
from lab.messages.checks import CheckLine, CheckResult
from lab.messages.trace import TraceRequest, TraceState
from topologies.model.checks import MODELS, Check
from topologies.model.topology import Topology
from topologies.resolve.checks import RESOLUTIONS
from topologies.syntax import checks_specification
from topologies.syntax.fields import Spec, Text

LAB = "switches: [s1]\nhosts: {h1: s1, h2: s1}\nchecks:\n"


class Here:
    """A room without a network, whose hosts are this machine."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.commands: list[tuple[str, tuple[str, ...]]] = []

    def still(self) -> AbstractContextManager[None]:
        return nullcontext()

    def ailing(self) -> Ailing:
        return Ailing()

    def trace(self, request: TraceRequest) -> TraceState:
        raise Failure("no packet can be sent here")

    def watched(self, *_: object) -> dict[str, Any]:
        return {}

    def open_socket(self, host: str) -> Any:
        raise OSError(19, "No such device")

    def command(self, host: str, words: Sequence[str]) -> list[str]:
        self.commands.append((host, tuple(words)))
        return list(words)


def lines(text: str, cancelled: threading.Event | None = None) -> list[CheckLine]:
    topology = topologies.loads(LAB + text, "lab.yaml")
    told: list[CheckLine] = []
    asked = (cancelled or threading.Event()).is_set
    numbered = [Numbered(number, check) for number, check in enumerate(topology.checks, 1)]
    Run(Visit(Here(topology), Ways(topology), asked), told.append).all(numbered)
    return told


def results(text: str) -> list[CheckResult]:
    some = [line["result"] for line in lines(text) if line["kind"] == "result"]
    return sorted(some, key=lambda result: result["number"])


def test_the_lines_of_a_run() -> None:
    told = lines("- command: {host: all, run: 'echo hello; exit 3', exit: 3, output: '^hel+o$'}\n")
    assert [line["kind"] for line in told] == ["begin", "result"]
    assert told[0]["total"] == 1
    result = told[1]["result"]
    assert (result["verdict"], result["tried"], result["number"]) == ("passed", 2, 1)
    assert result["place"] == {"file": "lab.yaml", "line": 4}


def test_what_a_command_did_instead() -> None:
    text = "- {command: {host: h1, run: 'echo no; exit 1'}, within: 500ms}\n"
    text += "- {command: {host: h1, run: echo no, output: yes}, within: 500ms}\n"
    text += "- {command: {host: h1, run: sleep 60 & sleep 60}, within: 500ms}\n"
    text += "- {command: {host: h1, run: [/no/such/program]}, within: 500ms}\n"
    text += "- {command: {host: h1, run: 'kill -9 $$'}, within: 500ms}\n"
    one, two, three, four, five = results(text)
    assert (one["verdict"], one["findings"][0]["seen"]) == ("failed", "exit code 1")
    assert one["findings"][0]["packets"] == ["no"]
    assert two["findings"][0]["seen"] == "exit code 0, and no output that matches"
    assert three["findings"][0]["seen"] == "it did not end within 0.5 s"
    assert (four["verdict"], "can't run" in four["findings"][0]["seen"]) == ("error", True)
    assert five["findings"][0]["seen"] == "exit code 137"


def test_a_command_is_tried_again_until_it_does(tmp_path: Any) -> None:
    flag = tmp_path / "flag"
    text = f"- command: {{host: h1, run: 'test -e {flag} || {{ touch {flag}; false; }}'}}\n"
    assert [result["verdict"] for result in results(text)] == ["passed"]


def test_a_try_that_the_time_cuts_off_does_not_hide_what_the_one_before_it_said(tmp_path: Any) -> None:
    flag = tmp_path / "flag"
    run = f"test -e {flag} && exec sleep 60; touch {flag}; echo 1"
    (result,) = results(f"- {{command: {{host: h1, run: '{run}', output: '2'}}, within: 1s}}\n")
    assert result["findings"][0]["seen"] == "exit code 0, and no output that matches"
    assert result["findings"][0]["packets"] == ["1"]


def test_an_endless_output_is_no_trouble() -> None:
    text = "- {command: {host: h1, run: 'yes', output: n}, within: 500ms}\n"
    assert "did not end" in results(text)[0]["findings"][0]["seen"]


def test_hosts_without_interfaces_are_errors_not_passes() -> None:
    text = "- blocked: {from: h1, to: h2}\n- isolated: [h1, h2]\n- reachable: {from: h1, to: h2}\n"
    assert [result["verdict"] for result in results(text)] == ["error", "error", "error"]


def test_an_interrupted_run_says_so() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        lines("- reachable: {from: h1, to: h2}\n- command: {host: h1, run: sleep 60}\n", cancelled)


class ToySpec(Spec):
    """A toy."""

    word: Text | None = Field(None, description="A word.")


class Toy(Check):
    alone: ClassVar[bool] = True
    verb: Literal["toy"] = "toy"
    word: str

    @property
    def expected(self) -> str:
        return f"the toy says {self.word}"


def test_who_adds_a_verb_needs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb of somebody else: read, resolved, written, run and told, by four entries."""

    def act(check: Toy, visit: Visit) -> Judgement:
        if check.word == "crash":
            raise ValueError("the toy is broken")
        return Judgement("failed", 1, (finding("toy", f"not {check.word}", stopped_by="the toy"),))

    monkeypatch.setitem(checks_specification.VERBS, "toy", ToySpec)
    monkeypatch.setitem(MODELS, "toy", Toy)
    monkeypatch.setitem(RESOLUTIONS, "toy", lambda path, keys, context: {"word": keys.word or "hello"})
    monkeypatch.setitem(VERBS, "toy", ByAction(act))
    topology = topologies.loads(LAB + "- toy: {}\n- toy: {word: bye}\n")
    assert [check.name for check in topology.checks] == ["the toy says hello", "the toy says bye"]
    assert Topology.model_validate_json(topology.model_dump_json()).checks == topology.checks
    assert "toy" in topologies.schema()["properties"]["checks"]["anyOf"][0]["items"]["properties"]
    with pytest.raises(topologies.Invalid, match=r"unknown key 'wrod'; allowed: word; did you mean 'word'"):
        topologies.loads(LAB + "- toy: {wrod: bye}\n")
    first, second = results("- toy: {word: bye}\n- toy: {word: crash}\n")
    assert first["findings"][0]["stopped_by"] == "the toy"
    assert (second["verdict"], second["findings"][0]["seen"][-17:]) == ("error", "the toy is broken")


def test_each_floor_knows_the_same_verbs() -> None:
    assert list(checks_specification.VERBS) == list(MODELS) == list(RESOLUTIONS) == list(VERBS)


def test_checks_are_no_part_of_the_lab() -> None:
    with_checks = topologies.loads(LAB + "- isolated: [h1, h2]\n")
    without = topologies.loads(LAB.removesuffix("checks:\n"))
    assert with_checks == without and hash(with_checks) == hash(without)
    assert with_checks.checks and not without.checks


def result(**changes: Any) -> CheckResult:
    plain: CheckResult = {
        "name": "no ssh",
        "verb": "blocked",
        "number": 1,
        "verdict": "passed",
        "expected": "h1 is blocked from h2, TCP 22",
        "seconds": 0.5,
        "tried": 2,
        "failed": 0,
        "findings": [],
        "hint": "",
        "note": "",
        "place": {"file": "x/lab.yaml", "line": 7},
    }
    return {**plain, **changes}  # type: ignore[typeddict-item]


FAILED = result(
    name="wrong",
    verdict="failed",
    failed=12,
    tried=20,
    hint="look here",
    findings=[
        {
            "what": "h1 -> h2",
            "seen": "it arrived",
            "packets": ["at h2: TCP"],
            "last_seen": "s2, port 3",
            "stopped_by": "rule web of fw",
            "place": {"file": "x/lab.yaml", "line": 9},
        }
    ],
)


def test_the_table_and_what_is_wrong() -> None:
    assert rendered([result(), FAILED], 1.25, Paint(False)).splitlines() == [
        "RESULT     HELD   AFTER  CHECK",
        "passed   2 of 2  0.50 s  no ssh",
        "FAILED  8 of 20  0.50 s  wrong",
        "",
        "wrong (lab.yaml:7)",
        "  expected:   h1 is blocked from h2, TCP 22",
        "  seen:       h1 -> h2: it arrived",
        "                at h2: TCP",
        "  last seen:  s2, port 3",
        "  stopped by: rule web of fw (lab.yaml:9)",
        "  … and 11 more",
        "  hint:       look here",
        "",
        "1 of 2 checks passed, 1 failed in 1.2 s",
    ]


def test_junit_is_xml_whatever_was_seen() -> None:
    odd = '\x00\x1b]0;x\x07 <&">\ud800\ufffe\u202e end\r\n\t.'
    wrong = result(name=odd, verdict="error", failed=1, hint=odd, findings=[
        {"what": odd, "seen": odd, "packets": [odd], "last_seen": odd, "stopped_by": odd, "place": None}
    ])  # fmt: skip
    text = junit("lab", [result(), FAILED, wrong], 2.0, "interrupted")
    suite = ElementTree.fromstring(text.encode())[0]
    assert suite.attrib == {"name": "lab", "tests": "4", "failures": "1", "errors": "2", "time": "2.000"}
    assert [case.get("name") for case in suite][:2] == ["no ssh", "wrong"]
    assert suite[1][0].tag == "failure" and "rule web of fw (lab.yaml:9)" in (suite[1][0].text or "")
    assert suite[2][0].tag == "error" and "end\r\n\t." in (suite[2][0].get("message") or "")


def test_commands_end_with_the_run_that_is_interrupted() -> None:
    """What a command has started ends, too."""
    cancelled = threading.Event()
    mark = f"checks-{threading.get_ident()}"
    threading.Timer(0.3, cancelled.set).start()
    with pytest.raises(Cancelled):
        lines(
            f"- command: {{host: h1, run: [{sys.executable}, -c, 'import time; time.sleep(60)', {mark}]}}\n",
            cancelled,
        )
    running = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert mark not in running
