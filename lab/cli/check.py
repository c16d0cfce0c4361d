"""The command ``check``: runs the checks of a lab's topology file."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import Json, Lab, LabArgument, client, one_of, usage
from lab.cli.rendering import checks as render
from lab.cli.say import can_overwrite, out, out_json, overwrite_line, paint
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from lab.access.client import Client
    from lab.messages.checks import CheckLine, CheckResult

SILENCE = 60.0
"""Seconds after which a lab that says nothing counts as hung; it says something every second."""


class Answer:
    """What has come of the answer so far."""

    def __init__(self) -> None:
        self.results: list[CheckResult] = []
        self.total = 0
        self.began = time.monotonic()
        self.seconds = 0.0
        self.over = False

    def take(self, line: CheckLine) -> str:
        """Take a line; the progress in words, empty if it does not change. Raises Failure."""
        if line["kind"] == "begin":
            self.total = line["total"]
        elif line["kind"] == "result":
            self.results.append(line["result"])
        elif line["kind"] == "end":
            self.over, self.seconds = True, line["seconds"]
        elif line["kind"] == "failure":
            raise Failure(line["what"], line["remedy"])
        what = line.get("what", "")
        if "done" in line:
            what = f"{line['done']:,} of {line['total']:,} {what}"
        words = f"checking: {len(self.results)} of {self.total} checks"
        return f"{words} ({what})" if what else words

    @property
    def sorted(self) -> list[CheckResult]:
        """The results in the order of the file."""
        return sorted(self.results, key=lambda result: result["number"])


def check(
    name: LabArgument = None,
    lab: Lab = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Only the check with this name. Can be repeated."),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0.1, max=600, help="Give each check at least so long: for a slow machine."
        ),
    ] = None,
    json: Json = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML, too.")
    ] = None,
) -> None:
    """Find out with packets whether the lab does what the checks of its topology file say ('checks:').

    A check that does not hold yet is tried again, for 5 seconds unless the file says how long. Of one that
    fails, you see what was expected, what was seen, and where it was stopped. Exits 1 if a check fails or
    can't be carried out.

    Example: sdnlab check --only "no ssh into blue"
    """
    api = client(one_of(name, lab), timeout=SILENCE)
    if junit is not None:
        _writable(junit)
    answer = Answer()
    try:
        listen(api, answer, list(only or ()), within)
    except BaseException as error:
        why = error.what if isinstance(error, Failure) else "interrupted"
        if junit is not None:
            seconds = time.monotonic() - answer.began
            _write(junit, render.junit(api.name, answer.sorted, seconds, why))
        if answer.results and not json:
            out(render.checks(answer.sorted, time.monotonic() - answer.began, paint()))
        raise
    results = answer.sorted
    if junit is not None:
        _write(junit, render.junit(api.name, results, answer.seconds))
    if json:
        passed = sum(result["verdict"] == "passed" for result in results)
        counts = {"passed": passed, "total": len(results), "seconds": answer.seconds}
        out_json({"lab": api.name, **counts, "results": results})
    else:
        out(render.checks(results, answer.seconds, paint()))
    if any(result["verdict"] != "passed" for result in results):
        raise typer.Exit(Exit.FAILED)


def listen(api: Client, answer: Answer, only: list[str], within: float | None = None) -> None:
    """Take all lines of the answer. Raises Failure."""
    live = can_overwrite(sys.stderr)
    body: dict[str, Any] = {"only": only} if only else {}
    if within is not None:
        if math.isnan(within):  # no range check refuses NaN
            raise usage("--within nan is not a number of seconds", "allowed: 0.1 to 600 (seconds)")
        body["within"] = within
    try:
        for line in api.stream("/checks", "POST", body, SILENCE):
            words = answer.take(line)  # type: ignore[arg-type]
            if live:
                overwrite_line(words)
    finally:
        if live:
            overwrite_line("")
    if not answer.over:
        raise Failure(f"lab {api.name} ended before all checks had run", "see: sdnlab list", Exit.LOST)


def _writable(path: Path) -> None:
    """Raise Failure if a file can't be written, before anything is checked."""
    try:
        path.open("a").close()
    except (OSError, ValueError) as error:
        raise Failure(
            f"can't write {path}: {getattr(error, 'strerror', error)}", "name another file"
        ) from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Failure(
            f"can't write {path}: {getattr(error, 'strerror', error)}", "name another file"
        ) from None


COMMANDS = {"check": check}
