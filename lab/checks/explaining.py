"""Explains a packet that did not do what was expected: where it was seen last, and what stopped it there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lab.checks.diagnosis import Diagnosis, Reason
from lab.checks.loop import Loop
from lab.checks.probes import Outcome, Probe
from lab.checks.room import Visit
from topologies.model.places import Place

MOST = 24
"""So many packets of one run are explained: each is sent again, with all switches on its way watched."""
_WITHIN = 1.0


class Explained(NamedTuple):
    """``last_seen``: where, in words. ``stopped_by``: the flow, rule or missing thing, and its line."""

    last_seen: str = ""
    stopped_by: str = ""
    place: Place | None = None


Explain = Callable[[Probe, Outcome], Explained]


class Explainer:
    """Explains the packets of one run. The lab must stand still."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._left = MOST
        self._diagnosis: Diagnosis | None = None

    def __call__(self, probe: Probe, outcome: Outcome) -> Explained:
        """Explain a probe; nothing when too many are explained already."""
        if self._left <= 0 or outcome.error:
            return Explained()
        self._left -= 1
        if self._diagnosis is None:
            self._diagnosis = Diagnosis(self._visit.ways, self._visit.room.ailing())
        at = self._visit.ways.arrives_at(probe.target)
        arrived = not at.isdisjoint(outcome.arrived)
        try:
            reason = self._diagnosis.reason(probe, arrived, outcome.answer is not None)
        except ValueError as error:  # what the evaluator does not know
            return Explained(stopped_by=f"not known: {error}")
        if arrived and outcome.answer is None:
            reason = Reason("something on the way back", None, reason.switches, reason.functions)
        last = "" if outcome.answer is not None and arrived else self._last_seen(probe, arrived, reason)
        return Explained(last, reason.words, reason.place)

    def _last_seen(self, probe: Probe, arrived: bool, reason: Reason) -> str:
        """Send the packet again, and watch the switches and functions on its way."""
        visit = self._visit
        again = probe._replace(within=_WITHIN, wants=lambda outcome: True, resolve=False)
        with visit.room.watching(reason.switches, reason.functions) as points:
            loop = Loop(visit.ways, visit.room.open_socket, visit.cancelled, points=points)
            (outcome,) = loop.run([again])
        seen = sorted(sighting for sighting in outcome.sightings if sighting.back == arrived)
        what = "the answer" if arrived else "the request"
        if seen:
            return f"{what} at {seen[-1].point}"
        if arrived:
            return f"the request at {probe.target}; no answer at {', '.join(points) or 'any switch'}"
        return f"it left {probe.source}, and was seen at none of {', '.join(points)}" if points else ""
