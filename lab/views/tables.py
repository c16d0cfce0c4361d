"""Switches' tables in a lab's answers: the controller's answers, with lines of the topology file. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from controller import table_answers
from lab.messages.lab import FlowState, GroupState, PlaceState
from topologies.model.places import Places


def flows(answer: Iterable[table_answers.FlowState], places: Places) -> list[FlowState]:
    """The controller's flows, each with its line of the topology file."""
    return [{**flow, "place": _place(flow["entity"], places)} for flow in answer]


def groups(answer: Iterable[table_answers.GroupState], places: Places) -> list[GroupState]:
    """The same for groups."""
    return [{**group, "place": _place(group["entity"], places)} for group in answer]


def _place(entity: str | None, places: Places) -> PlaceState | None:
    place = None if entity is None else places.of(entity)
    return None if place is None else {"file": place.file, "line": place.line}
