"""The order of the flows of table CHAIN: their priorities, and what sends an ICMP error to the controller."""

from __future__ import annotations

from collections.abc import Iterable

from controller.flow.meters import TOLD_ERRORS
from controller.flow.tables import CONTROLLER, Output, ToMeter
from topologies.model.service_paths import Entry

NEVER = 60_000
"""Priority of the flows for frames that no chain takes."""
GATHER = 50_000
"""Priority of the flows that gather fragments: above those of chains, which match the first one
afterwards."""
TAKEN = 1_000
"""Lowest priority of the flows by which chains take frames; see ``level_of``."""

TO_CONTROLLER = (ToMeter(TOLD_ERRORS.id), Output(CONTROLLER))
"""The actions for an ICMP error whose way only the controller can tell."""


def levels(entries: Iterable[Entry]) -> dict[int, int]:
    """A chain's priority -> its place among the priorities in use, from 0."""
    return {priority: place for place, priority in enumerate(sorted({entry.priority for entry in entries}))}


def level_of(level: int, forward: bool, exact: bool) -> int:
    """A flow's priority: by the chain's priority (``level``, of ``levels``), then the forward direction
    before the way back, then packets (``exact``) before ICMP errors."""
    return TAKEN + 4 * level + 2 * forward + exact
