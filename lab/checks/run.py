"""Runs checks: those by frames in one loop, actions beside it, and one after the other what must be alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from lab.checks.explaining import Explainer
from lab.checks.judgement import Judgement, finding, result
from lab.checks.loop import Loop
from lab.checks.probes import Probe
from lab.checks.reachability import controls
from lab.checks.room import Cancelled, Visit
from lab.checks.verbs import VERBS, ByAction, ByFrames
from lab.messages.checks import CheckLine
from topologies.model.checks import Check

AT_ONCE = 8
"""How many actions run at the same time."""
Say = Callable[[CheckLine], None]


@dataclass(frozen=True)
class Numbered:
    """A check with its place in the file, from 1."""

    number: int
    check: Check


class Run:
    """A run of checks. ``say`` gets the lines of the answer, from several threads, one at a time."""

    def __init__(self, visit: Visit, say: Say) -> None:
        self._visit = replace(visit, judge=self._judge)
        self._places = visit.room.topology.places
        self._lock, self._say = threading.Lock(), say

    def all(self, checks: Sequence[Numbered]) -> None:
        """Run the checks. Raises Cancelled."""
        self._tell({"kind": "begin", "total": len(checks)})
        together = [numbered for numbered in checks if not numbered.check.alone]
        by_frames = [n for n in together if isinstance(VERBS[n.check.verb], ByFrames)]
        actions = [n for n in together if isinstance(VERBS[n.check.verb], ByAction)]
        with ThreadPoolExecutor(AT_ONCE, "check") as threads:
            futures = [threads.submit(self._act, numbered) for numbered in actions]
            if by_frames:
                futures.append(threads.submit(self._frames, by_frames))
            _await(futures)
        for numbered in checks:
            if numbered.check.alone:
                self._tell({"kind": "progress", "what": numbered.check.name})
                self._act(numbered)
        if self._visit.cancelled():
            raise Cancelled

    def _tell(self, line: CheckLine) -> None:
        with self._lock:
            self._say(line)

    def _judge(self, check: Check) -> Judgement:
        """Carry out a check that is inside of another one."""
        verb = VERBS[check.verb]
        if isinstance(verb, ByAction):
            return verb.act(check, self._visit)
        judgements: list[Judgement] = []
        self._frames([Numbered(0, check)], lambda _, judgement, __: judgements.append(judgement))
        if not judgements:
            raise Cancelled
        return judgements[0]

    def _act(self, numbered: Numbered) -> None:
        check, began = numbered.check, time.monotonic()
        if self._visit.cancelled():
            return
        verb = VERBS[check.verb]
        assert isinstance(verb, ByAction)
        try:
            judgement = verb.act(check, self._visit)
        except Cancelled:
            return
        except Exception as error:  # it must not take the other checks with it
            judgement = _broken(check, error)
        self._result(numbered, judgement, time.monotonic() - began)

    def _frames(
        self,
        checks: Sequence[Numbered],
        told: Callable[[Numbered, Judgement, float], None] | None = None,
    ) -> None:
        visit = self._visit
        plans: list[tuple[Numbered, ByFrames, list[Probe]]] = []
        for numbered in checks:
            verb = VERBS[numbered.check.verb]
            assert isinstance(verb, ByFrames)
            plans.append((numbered, verb, verb.plan(numbered.check, visit.ways)))
        probes = [probe for _, _, some in plans for probe in some]
        extra = controls(probes, visit.ways)
        loop = Loop(visit.ways, visit.room.open_socket, visit.cancelled, self._progress)
        with visit.room.still():
            outcomes = loop.run([*extra, *probes])[len(extra) :]
            if visit.cancelled():
                return
            explain, at = Explainer(visit), 0
            for numbered, verb, some in plans:
                own = outcomes[at : at + len(some)]
                at += len(some)
                try:
                    judgement = verb.judge(numbered.check, some, own, loop.signs, visit.ways, explain)
                except Exception as error:
                    judgement = _broken(numbered.check, error)
                seconds = max((outcome.seconds for outcome in own), default=0.0)
                (told or self._result)(numbered, judgement, seconds)

    def _progress(self, done: int, total: int) -> None:
        self._tell({"kind": "progress", "done": done, "total": total, "what": "packets"})

    def _result(self, numbered: Numbered, judgement: Judgement, seconds: float) -> None:
        told = result(numbered.check, numbered.number, judgement, seconds, self._places)
        self._tell({"kind": "result", "result": told})


def _broken(check: Check, error: Exception) -> Judgement:
    what = getattr(error, "what", None) or f"{type(error).__name__}: {error}"
    return Judgement("error", 1, (finding(check.expected, f"it could not be carried out: {what}"),))


def _await(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        future.result()
