"""What a traced packet came to, in the words that checks and ``sdnlab trace`` share."""

from __future__ import annotations

from typing import Any, cast

import pytest

from controller.compiler.compile import compile_topology
from controller.simulate.network import Lookup
from controller.simulate.notes import Chosen
from controller.trace.path import Taken
from controller.trace.questions import Traffic, question
from lab.checks.diagnosis import Ailing, Diagnosis
from lab.checks.explaining import Explainer
from lab.checks.probes import Outcome, Probe
from lab.checks.room import Visit
from lab.checks.ways import Ways
from lab.cli.rendering.trace import verdict
from lab.cli.say import Paint
from lab.messages.trace import TraceRequest, TraceState
from lab.views.ending import came_to, cut_off, with_ends_cut_off
from lab.views.trace import predicted
from topologies import load, shipped

LAB = load(shipped.path("firewall"))


def state(source: str, target: str, traffic: Traffic, down: frozenset[str] = frozenset()) -> TraceState:
    tables = {name: Lookup(held) for name, held in compile_topology(LAB, down).items()}
    asked = question(LAB, source, target, traffic)
    return predicted(LAB, tables, asked, target, dead_links=down).state()


def computed(source: str, target: str, traffic: Traffic, down: frozenset[str] = frozenset()) -> str:
    probe = Probe(source, target, 4, traffic.protocol, traffic.port, 1.0, lambda outcome: True)  # type: ignore[arg-type]
    return Diagnosis(Ways(LAB), Ailing(links=down)).reason(probe, False).words


@pytest.mark.parametrize(
    ("source", "target", "traffic", "down"),
    [
        ("h1", "h2", Traffic("tcp", 22), frozenset[str]()),
        ("h2", "h1", Traffic("icmp"), frozenset[str]()),
        ("app", "db", Traffic("tcp", 22), frozenset[str]()),
        ("app", "db", Traffic("tcp", 5432), frozenset({"s1-s2"})),
        ("h1", "h2", Traffic("tcp", 80), frozenset({"s1-s2"})),
    ],
)
def test_a_check_and_a_trace_give_one_reason(
    source: str, target: str, traffic: Traffic, down: frozenset[str]
) -> None:
    traced = state(source, target, traffic, down)
    ending = came_to(traced)
    assert ending.stopped_by == computed(source, target, traffic, down)
    assert ending.place is not None
    text = verdict(traced["way"], Paint(False))
    assert f"ends at {ending.stopped_by} ({ending.place['file']}:{ending.place['line']})" in text


def test_where_it_was_seen_last() -> None:
    traced = state("h1", "h2", Traffic("tcp", 22))
    assert came_to(traced).last_seen == "it left h1, and was seen nowhere"
    for step in traced["way"]["steps"]:
        step["seen"] = "yes"
    assert came_to(traced).last_seen == "the request at edge.1"
    there_and_back = state("h1", "h2", Traffic("tcp", 80))
    assert came_to(there_and_back).last_seen == "the answer at h1"
    assert came_to(there_and_back).stopped_by.startswith("nothing: the same packet got there")


def test_a_difference_comes_first() -> None:
    traced = state("h1", "h2", Traffic("tcp", 80))
    place = {"file": "x.yaml", "line": 3}
    traced["differences"] = [{"where": "s2", "text": "a flow is missing", "remedy": "", "place": place}]  # type: ignore[typeddict-item]
    assert came_to(traced)[1:] == ("s2: a flow is missing", place)


def test_a_cut_wire_is_the_reason_and_no_fault() -> None:
    traced = state("h1", "h2", Traffic("tcp", 80))
    traced["way"]["delivered"], traced["back"], traced["reached"] = [], None, False
    traced["differences"] = [{"where": "h2", "text": "it should get here", "remedy": "", "place": None}]
    cut = list(cut_off(LAB, ("h1", "h2"), {"h2-s2"}, ()))
    ended = with_ends_cut_off(traced, cut)
    assert ended["differences"] == []
    assert came_to(ended).stopped_by == "s2: the wire of h2 is cut (sdnlab link up h2-s2)"
    assert [stop["why"] for stop in cut_off(LAB, ("h1",), (), {"s1"})] == [
        "the switch is off (sdnlab switch up s1)"
    ]


def test_the_bucket_that_a_switch_took_is_named() -> None:
    lab = load(shipped.path("leaf-spine"))
    tables = {name: Lookup(held) for name, held in compile_topology(lab).items()}
    asked = question(lab, "h1", "h8")

    def path(taken: Taken) -> tuple[list[str], list[tuple[str, int]]]:
        steps = predicted(lab, tables, asked, "h8", False, taken=taken).state()["way"]["steps"]
        notes = [note for step in steps for note in step["notes"] if note["kind"] == "group"]
        return [step["switch"] for step in steps], [(note["text"], note["ways"]) for note in notes]

    switches, notes = path({})
    assert switches == ["leaf1", "spine1", "leaf4"] and notes[0] == (
        "to leaf4: equal paths: bucket 1 of 4",
        4,
    )
    group = next(
        note.group.id
        for note in predicted(lab, tables, asked, "h8").there.hop.notes
        if isinstance(note, Chosen)
    )
    switches, notes = path({("leaf1", group): 2})
    assert switches == ["leaf1", "spine3", "leaf4"]
    assert notes[0] == ("to leaf4: equal paths: bucket 3 of 4, which it took of 4 ways", 1)
    assert path({("leaf1", group): 9}) == path({})  # it has no such bucket


def test_a_check_follows_packets_as_long_as_it_has_time() -> None:
    sent: list[str] = []
    times = iter([0.0, 4.0, 4.0, 11.0])

    class Room:
        topology = LAB

        def trace(self, request: TraceRequest) -> TraceState:
            sent.append(request["destination"])
            return state(request["source"], request["destination"], Traffic("tcp", 22))

        def ailing(self) -> Ailing:
            return Ailing()

    visit = Visit(cast(Any, Room()), Ways(LAB), lambda: False)
    explain = Explainer(visit, lambda: next(times))
    probe = Probe("h1", "h2", 4, "tcp", 22, 1.0, lambda outcome: True)
    words = [explain(probe, Outcome()).stopped_by for _ in range(3)]
    assert sent == ["h2", "h2"]  # the third was computed, and has the same reason
    assert set(words) == {"s2: edge.1 stops it: default drop of firewall edge"}
