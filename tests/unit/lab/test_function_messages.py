"""The lines of functions' processes as typed messages, and that the processes write what the types say."""

from __future__ import annotations

import ast
import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.functions.lines import Unknown, line_of, read
from lab.functions.messages import (
    MESSAGES,
    Backend,
    Counters,
    Log,
    Message,
    Raised,
    State,
    message,
)
from lab.functions.state import InstanceRecord
from nfv.lines import REPLACE, command, commanded

NFV = Path(__file__).resolve().parents[3] / "nfv"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    sorted({field.name for kind in MESSAGES.values() for field in dataclasses.fields(kind)} | set(MESSAGES))
)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"event_type": "state", "state": "running"}, State("running")),
        ({"event_type": "state", "state": "failed", "message": "no nft"}, State("failed", "no nft")),
        ({"event_type": "counters", "packets": 3, "rules": {"a": 1}, "on": True}, Counters({"packets": 3})),
        ({"event_type": "backend", "backend": "h1", "up": False, "reason": ""}, Backend("h1", False, "")),
        ({"event_type": "log", "rule": "ssh", "action": "drop"}, Log("ssh", "drop")),
        ({"event_type": "log", "message": "hello"}, Log(message="hello")),
        ({"event_type": "exception", "traceback": "x"}, Raised("x")),
    ],
)
def test_a_line_as_a_message(fields: dict[str, object], expected: Message) -> None:
    line = read(json.dumps({"timestamp": "t", **fields, "a newer key": "x"}).encode())
    assert line is not None and line.message == expected
    assert line.fields == {"timestamp": "t", **fields, "a newer key": "x"}  # the log of events has all of it


@pytest.mark.parametrize(
    "fields",
    [
        {"event_type": "newer", "a": 1},
        {"event_type": "state"},
        {"event_type": "state", "state": 3},
        {"event_type": "backend", "backend": "h1", "up": "yes"},
        {"event_type": "alert", "alert": "no object"},
        {"event_type": "log", "rule": ["no text"]},
    ],
)
def test_a_message_that_is_not_known_is_an_event_and_changes_nothing(fields: dict[str, object]) -> None:
    line = line_of(fields)
    assert line is not None and line.message == Unknown(str(fields["event_type"]), fields)
    assert line.pace == "event" and str(fields["event_type"]) in line.message.text("fw.1", "")
    record = InstanceRecord("fw.1", "fw")
    assert not record.take(line.message, 1.0) and record == InstanceRecord("fw.1", "fw")


def test_an_account_of_another_form_does_not_displace_events() -> None:
    line = line_of({"event_type": "flow", "flow": "no object"})
    assert line is not None and isinstance(line.message, Unknown) and line.pace == "account"


@given(st.sampled_from(sorted(MESSAGES)), st.dictionaries(KEYS, JSON, max_size=4))
def test_whatever_the_fields_are_there_is_a_message_and_a_text(kind: str, fields: dict[str, object]) -> None:
    line = line_of({**fields, "event_type": kind})
    assert line is not None and "fw.1" in line.message.text("fw.1", "h1 -> h2")
    InstanceRecord("fw.1", "fw").take(line.message, 1.0)


def test_a_kind_of_message_is_added_in_one_place() -> None:
    @message("toy")
    @dataclasses.dataclass(frozen=True)
    class Toy(Message):
        colour: str

        def text(self, instance: str, flow: str) -> str:
            return f"{instance}: a {self.colour} toy"

    try:
        line = line_of({"event_type": "toy", "colour": "red"})
        assert line is not None and line.message.text("x.1", "") == "x.1: a red toy"
    finally:
        del MESSAGES["toy"]


def test_processes_write_what_the_types_say() -> None:
    """They don't import the types, because tens of them start at once (dataclasses take 10 ms)."""
    calls = [
        (path, call)
        for path in NFV.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "say" and call.args
    ]
    written = set()
    for path, call in calls:
        assert isinstance(call.args[0], ast.Constant), f"{path}, line {call.lineno}"
        kind = MESSAGES[call.args[0].value]
        written.add(kind)
        keys = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
        known = {field.name for field in dataclasses.fields(kind)}
        needed = {field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}
        assert kind is Counters or needed <= keys <= known, f"{path}, line {call.lineno}: {keys}"
    assert written == {State, Counters, Raised, Log, Backend}


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"3", b'{"do": 3}', b"\xff"])
def test_what_is_no_command(line: bytes) -> None:
    assert commanded(line) is None


def test_a_command_comes_back_from_its_line() -> None:
    assert commanded(command(REPLACE)) == REPLACE
