"""Explains a packet that did not do what was expected: where it was seen last, and what stopped it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from lab.checks.diagnosis import Diagnosis
from lab.checks.probes import Outcome, Probe
from lab.checks.room import Visit
from lab.failure import Failure
from lab.messages.trace import TraceRequest
from lab.views.ending import came_to
from topologies.model.places import Place

MOST, SENDING = 24, 10.0
"""So many packets of one run are explained. Each is sent again, and followed as by ``sdnlab trace``, as long
as that took less than so many seconds: the lab stands still meanwhile. Others are computed from tables."""


class Explained(NamedTuple):
    """``last_seen``: where, in words. ``stopped_by``: the flow, rule or missing thing, and its line."""

    last_seen: str = ""
    stopped_by: str = ""
    place: Place | None = None


Explain = Callable[[Probe, Outcome], Explained]


class Explainer:
    """Explains the packets of one run. The lab must stand still."""

    def __init__(self, visit: Visit, clock: Callable[[], float] = time.monotonic) -> None:
        self._visit, self._clock = visit, clock
        self._left, self._sent = MOST, 0.0
        self._diagnosis: Diagnosis | None = None

    def __call__(self, probe: Probe, outcome: Outcome) -> Explained:
        """Explain a probe; nothing when too many are explained already."""
        if self._left <= 0 or outcome.error or probe.sort != "addressed":
            return Explained()
        if apps := self._visit.ways.topology.by_apps:
            switch, controller = next(iter(apps.items()))
            return Explained(stopped_by=f"{switch} does what {controller} says: see sdnlab doctor")
        self._left -= 1
        at = self._visit.ways.arrives_at(probe.target)
        arrived = not at.isdisjoint(outcome.arrived)
        if (not arrived or outcome.answer is None) and self._sent < SENDING and not self._visit.cancelled():
            began = self._clock()
            try:
                return self._followed(probe)
            except Failure:  # it can't be sent now: what the tables say is known all the same
                pass
            finally:
                self._sent += self._clock() - began
        return self._computed(probe, arrived, outcome)

    def _followed(self, probe: Probe) -> Explained:
        """Send a packet like it, and follow it. Raises Failure."""
        request: TraceRequest = {
            "source": probe.source,
            "destination": probe.target,
            "protocol": probe.protocol,
            "port": probe.port,
            "family": 4 if probe.family == 4 else 6,
        }
        ending = came_to(self._visit.room.trace(request))
        place = None if ending.place is None else Place(ending.place["file"], ending.place["line"])
        return Explained(ending.last_seen, ending.stopped_by, place)

    def _computed(self, probe: Probe, arrived: bool, outcome: Outcome) -> Explained:
        if self._diagnosis is None:
            self._diagnosis = Diagnosis(self._visit.ways, self._visit.room.ailing())
        try:
            reason = self._diagnosis.reason(probe, arrived, outcome.answer is not None)
        except ValueError as error:  # what the evaluator does not know
            return Explained(stopped_by=f"not known: {error}")
        if arrived and outcome.answer is None:
            return Explained(f"the request at {probe.target}", "something on the way back")
        return Explained("", reason.words, reason.place)
