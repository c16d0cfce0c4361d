"""The controller's answers about flows and groups.

There are tens of thousands of them: their types describe the JSON itself, and the lab reads it as it comes.
Commands import this module, and nothing else of the controller: it has to be small.
"""

from __future__ import annotations

from typing_extensions import TypedDict


class FlowState(TypedDict):
    """One flow, wanted and installed. ``packets`` is None when the switch does not hold it (yet).

    ``why`` is its origin in words, empty for a flow that nobody wants.  ``entity``: what in the topology file
    is the nearest reason for it, as ``str(topologies.model.places.Entity)``; None: no entry is.
    """

    switch: str
    table: str
    priority: int
    match: str
    actions: str
    cookie: str
    packets: int | None
    bytes: int | None
    why: str
    entity: str | None


class GroupState(TypedDict):
    """One group as wanted; ``buckets`` as text, ``why`` and ``entity`` as a flow's."""

    switch: str
    id: int
    kind: str
    buckets: list[str]
    why: str
    entity: str | None
