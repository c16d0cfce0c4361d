"""What a check has come to: a value. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.messages.checks import CheckResult, Finding, Verdict
from lab.messages.lab import PlaceState
from topologies.model.checks import Check
from topologies.model.places import Entity, Place, Places

MOST_FINDINGS = 8


@dataclass(frozen=True)
class Judgement:
    """``tried``: pairs, hosts, …; ``findings``: of each that is not as expected."""

    verdict: Verdict
    tried: int = 1
    findings: tuple[Finding, ...] = ()
    note: str = ""


def finding(
    what: str,
    seen: str,
    packets: Sequence[str] = (),
    last_seen: str = "",
    stopped_by: str = "",
    place: Place | None = None,
) -> Finding:
    """A finding, as the API has it."""
    return {
        "what": what,
        "seen": seen,
        "packets": list(packets),
        "last_seen": last_seen,
        "stopped_by": stopped_by,
        "place": place_state(place),
    }


def judged(findings: Sequence[Finding], tried: int, errors: int = 0, note: str = "") -> Judgement:
    """The judgement about so many tries. ``errors``: how many of the findings are about what could not be
    tried; if all are, nothing is known."""
    if not findings:
        return Judgement("passed", tried, (), note)
    return Judgement("error" if errors == len(findings) else "failed", tried, tuple(findings), note)


def place_state(place: Place | None) -> PlaceState | None:
    """A line of the file, as the API has it."""
    return None if place is None else {"file": place.file, "line": place.line}


def result(check: Check, number: int, judgement: Judgement, seconds: float, places: Places) -> CheckResult:
    """The answer of the API."""
    return {
        "name": check.name,
        "verb": check.verb,
        "number": number,
        "verdict": judgement.verdict,
        "expected": check.expected,
        "seconds": seconds,
        "tried": judgement.tried,
        "failed": len(judgement.findings),
        "findings": list(judgement.findings[:MOST_FINDINGS]),
        "hint": check.hint,
        "note": judgement.note,
        "place": place_state(places.of(Entity("check", check.name))),
    }
