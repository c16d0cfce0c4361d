"""Flows and groups as the lab gives them: the controller's answers with the lines of the topology file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest

import topologies
from controller import table_answers
from lab.failure import Failure, NotThere
from lab.messages.lab import FlowState, GroupState
from lab.supervisor.lab import Lab
from lab.views import tables
from tests.unit.lab.lab_values import lab_of

TOPOLOGY = topologies.loads("switches: [s1, s2]\nlinks: [s1 -- s2]\nhosts:\n  h1: s1\n", "lab.yaml")
FLOW: table_answers.FlowState = {
    "switch": "s1", "table": "forward", "priority": 200, "match": "", "actions": "output:1",
    "cookie": "0x1", "packets": 7, "bytes": 700, "why": "to h1 on s1", "entity": "host h1",
}  # fmt: skip
GROUP: table_answers.GroupState = {
    "switch": "s1", "id": 2, "kind": "select", "buckets": [], "why": "to s2: equal paths",
    "entity": "switch s2",
}  # fmt: skip


def test_flows_have_the_line_that_they_come_from() -> None:
    assert tables.flows([FLOW], TOPOLOGY.places) == [{**FLOW, "place": {"file": "lab.yaml", "line": 4}}]
    assert tables.groups([GROUP], TOPOLOGY.places) == [{**GROUP, "place": {"file": "lab.yaml", "line": 1}}]


@pytest.mark.parametrize("entity", [None, "host h9"])
def test_what_comes_from_no_entry_has_no_line(entity: str | None) -> None:
    (flow,) = tables.flows([{**FLOW, "entity": entity}], TOPOLOGY.places)
    assert flow["place"] is None


def test_the_lab_says_what_the_controller_says_and_the_place() -> None:
    for theirs, ours in ((table_answers.FlowState, FlowState), (table_answers.GroupState, GroupState)):
        assert {**get_type_hints(theirs), "place": get_type_hints(ours)["place"]} == get_type_hints(ours)


def lab_with(answer: Any) -> Lab:
    lab = lab_of(TOPOLOGY, controllers=SimpleNamespace(own=None, of=lambda switch: None))
    questions: Any = SimpleNamespace(ask=lambda path, **_: answer)
    lab.questions = questions
    return lab


def test_a_lab_is_asked_for_its_tables() -> None:
    assert lab_with([FLOW]).flows("s1")[0]["place"] == {"file": "lab.yaml", "line": 4}
    assert lab_with([GROUP]).groups()[0]["place"] == {"file": "lab.yaml", "line": 1}
    with pytest.raises(NotThere, match="no switch named 'mars'"):
        lab_with([]).flows("mars")


def test_what_is_not_understood_of_the_overlay_is_a_failure() -> None:
    assert lab_with({"mesh": [], "flooded": []}).overlay() == {"mesh": [], "flooded": []}
    with pytest.raises(Failure, match="what is not understood: the answer has no flooded"):
        lab_with({"mesh": []}).overlay()
