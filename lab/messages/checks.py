"""Checks in the lab's HTTP API: the request, and the lines of the answer."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Gt, Le
from typing_extensions import NotRequired, TypedDict

from lab.messages.lab import PlaceState

Verdict = Literal["passed", "failed", "error"]
"""``error``: it could not be carried out, so nothing is known."""


class CheckRequest(TypedDict):
    """``only``: the names of the checks to run, absent or null: all.

    ``within``: seconds that each check has at least to begin to hold; absent: what the file says.
    """

    only: NotRequired[list[str] | None]
    within: NotRequired[Annotated[float, Gt(0), Le(600)]]


class Finding(TypedDict):
    """One thing that is not as expected. ``what``: the pair, the command, … ``seen``: what was seen instead.

    ``packets``: those that were seen, decoded. ``last_seen``: where the packet was seen last. ``stopped_by``:
    the flow, rule or missing thing that stopped it, and ``place``: its line in the topology file.
    """

    what: str
    seen: str
    packets: list[str]
    last_seen: str
    stopped_by: str
    place: PlaceState | None


class CheckResult(TypedDict):
    """The result of a check. ``number``: its place in the file, from 1. ``seconds``: how long it took.

    ``tried``: pairs (times address families), hosts, …; ``failed`` of them. ``findings``: the first of these.
    ``place``: its line in the topology file. ``note``: what else there is to know.
    """

    name: str
    verb: str
    number: int
    verdict: Verdict
    expected: str
    seconds: float
    tried: int
    failed: int
    findings: list[Finding]
    hint: str
    note: str
    place: PlaceState | None


class CheckLine(TypedDict):
    """A line of the answer: ``kind`` says which of the other keys it has.

    ``begin``: ``total`` checks begin. ``progress``: ``done`` of ``total`` probes have an outcome; ``what`` is
    being done. ``result``: ``result``. ``end``: all have run, in ``seconds``. ``failure``: they can't go on:
    ``what`` and the ``remedy``.
    """

    kind: Literal["begin", "progress", "result", "end", "failure"]
    total: NotRequired[int]
    done: NotRequired[int]
    what: NotRequired[str]
    remedy: NotRequired[str]
    result: NotRequired[CheckResult]
    seconds: NotRequired[float]
