"""Tries several things again until all of them do what is expected, or the check's time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from lab.checks.judgement import Judgement, finding, judged
from lab.checks.room import Visit
from lab.messages.checks import Finding
from topologies.model.checks import Check

PAUSE = 0.2
ATTEMPT = 2.0
"""Most seconds of one try."""
Item = TypeVar("Item")


class Impossible(Exception):
    """Something can't be tried at all; why."""


def until_right(
    check: Check,
    visit: Visit,
    items: Sequence[Item],
    words: Callable[[Item], str],
    attempt: Callable[[Item, float], str],
) -> Judgement:
    """The judgement about all items. ``attempt`` gets one and the seconds that it may take, and returns what
    was seen instead of what is expected; empty: it is right. Raises Cancelled."""
    deadline = time.monotonic() + check.within
    wrong: dict[int, str] = dict.fromkeys(range(len(items)), "it was not tried: the time was over")
    hopeless: dict[int, str] = {}
    while wrong:
        for number in list(wrong):
            left = deadline - time.monotonic()
            if left <= 0 and wrong[number] != "it was not tried: the time was over":
                continue
            visit.rest(0)
            if left <= -ATTEMPT:
                break
            try:
                wrong[number] = attempt(items[number], max(0.2, min(ATTEMPT, left)))
            except Impossible as error:
                hopeless[number] = f"it could not be tried: {error}"
                del wrong[number]
                continue
            if not wrong[number]:
                del wrong[number]
        if not wrong or time.monotonic() + PAUSE >= deadline:
            break
        visit.rest(PAUSE)
    told = {**hopeless, **wrong}
    findings: list[Finding] = [finding(words(items[number]), told[number]) for number in sorted(told)]
    return judged(findings, len(items), len(hopeless))
