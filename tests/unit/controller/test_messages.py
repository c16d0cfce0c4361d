"""What the controller tells the lab: every event as JSON and back, and in words."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controller import messages
from controller.messages import EVENTS, Event, Nameless, decode, encode, event
from controller.typed_json import BadMessage

NAMES = Nameless()


@given(st.one_of(*map(st.from_type, EVENTS.values())))
def test_every_event_comes_back_from_json(said: Event) -> None:
    line = json.dumps({**encode(said), "number": 7, "time": 1.5})
    assume("NaN" not in line)  # a time is never NaN, which is not equal to another NaN
    assert decode(json.loads(line)) == said


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (messages.Connected("s1"), "switch s1 connected"),
        (messages.Disconnected("s1"), "switch s1 disconnected"),
        (messages.PortChanged("s1", 3, False), "port 3 of s1 went down"),
        (messages.Compiled(0.25, 10, 2), "compiled 10 flows and 2 groups in 0.250 s"),
        (messages.Recompiled(0.25, 10, 2, "learning"), "recompiled because of learning in 0.250 s"),
        (messages.Programmed("s1", 0, 0, 0.0), "switch s1 holds what it should; nothing was sent"),
        (messages.Programmed("s1", 3, 1, 0.01), "switch s1 programmed: 3 added, 1 deleted in 0.010 s"),
        (messages.AllProgrammed(0.2, 4), "every switch is programmed in 0.200 s"),
        (messages.ControllerError("cannot compile: no", None), "controller: cannot compile: no"),
        (messages.Stage(2, 3), "stage: stage 2, of 3"),
        (messages.Limited("s1", 2, "s1:2: too much"), "limited: switch s1, port 2, message s1:2: too much"),
        (messages.InstanceChanged("fw", "fw.1", "failed", "4 lost"), "fw.1 gets no more traffic: 4 lost"),
        (messages.InstanceChanged("fw", "fw.1", "live", ""), "fw.1 takes part"),
        (messages.BackendChanged("lb", "web1", True, ""), ""),
        (
            messages.RuleMet("fw", "web", "accept", "s1", src_ip="10.0.0.1", dest_ip="10.0.0.2"),
            "fw: rule web accept 10.0.0.1 -> 10.0.0.2",
        ),
        (messages.RulesMet(3, "3 more packets"), "3 more packets"),
        (messages.NatExhausted("gate", "gate has no port"), "gate has no port"),
    ],
    ids=lambda value: value.NAME if isinstance(value, Event) else "",
)
def test_events_in_words(said: Event, words: str) -> None:
    assert said.text(NAMES) == words


def test_what_is_not_there_is_left_out() -> None:
    assert encode(messages.ControllerError("no")) == {"event": "error", "message": "no"}
    station = ("lan", "s1", 2, "02:00:00:00:00:01", ("10.0.0.9",))
    assert "from" not in encode(messages.StationLearned(*station))
    assert encode(messages.StationLearned(*station, was="s1:3"))["from"] == "s1:3"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({}, "no name"),
        ({"event": 3}, "no name"),
        ({"event": "unheard-of"}, "no event is called unheard-of"),
        ({"event": "connected"}, "connected has no switch"),
        ({"event": "connected", "switch": 3}, "connected: switch is 3"),
        ({"event": "port", "switch": "s1", "port": True, "up": True}, "port: port is True"),
        ({"event": "stage", "stage": 1.5, "of": 2}, "stage: stage is 1.5"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(message: dict[str, object], why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        decode(message)


def test_a_kind_of_event_is_added_in_one_place() -> None:
    @event("toy")
    @dataclass(frozen=True)
    class Toy(Event):
        colour: str

        def text(self, names: messages.Names) -> str:
            return f"a {self.colour} toy"

    try:
        assert decode(encode(Toy("red"))).text(NAMES) == "a red toy"
        with pytest.raises(ValueError, match="toy is Toy already"):
            event("toy")(Toy)
    finally:
        del EVENTS["toy"]
