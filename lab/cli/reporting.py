"""``sdnlab report``: a running lab on one page, with what is proven about it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import Lab, LabArgument, client, complete_capture, one_of
from lab.cli.output_file import put
from lab.cli.say import Paint, err
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from lab.access.client import Client
    from lab.messages.checks import CheckResult
    from lab.messages.lab import PingResult
    from lab.report.page import Seen

ITSELF = [sys.executable, "-c", "from lab.cli import main; main()"]
BEGINS = 20.0
"""Seconds within which a capture must begin."""
TRACED = 3
"""Most pairs whose packets are traced: each takes up to some seconds."""
LARGEST = 12
"""Conversations shown of each capture."""


def report(
    name: LabArgument = None,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="The page; '-': to standard output."),
    ] = "report.html",
    captured: Annotated[
        list[str] | None,
        typer.Option(
            "--capture",
            "-c",
            metavar="PLACE",
            help="Also tell which packets passed this link, host, switch or function meanwhile. Can be given "
            "several times.",
            autocompletion=complete_capture,
        ),
    ] = None,
    lab: Lab = None,
) -> None:
    """Test a lab, and write a page (HTML) about it: its picture, its checks and why some failed, all pairs of
    hosts, functions, chains.

    The page is one file that needs no other. Exits 1 if something is not as the topology file says.

    Example: sdnlab report -o report.html --capture d1-r1
    """
    from lab.report.page import Report, page

    api = client(one_of(name, lab), timeout=None)
    with _capturing(api.name, captured or []) as seen:
        err("testing all pairs of hosts")
        pings = api.post("/ping", {"detail": "all"})
        results = _checked(api)
        traces = _traces(api, pings)
    picture, no_picture = _picture(api)
    told = Report(
        status=api.get("/status"),
        created=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        picture=picture,
        no_picture=no_picture,
        pings=pings,
        checks=results,
        traces=traces,
        captures=seen,
    )
    put(page(told).encode(), output)
    if not told.good:
        raise typer.Exit(Exit.FAILED)


def _checked(api: Client) -> list[CheckResult]:
    """Run the lab's checks; their results. Raises Failure if they can't be run."""
    from lab.cli.check import Answer, listen

    answer = Answer()
    listen(api, answer, [])
    return answer.sorted


def _traces(api: Client, pings: PingResult) -> list[tuple[str, str]]:
    """Of the first pairs that should be reached and are not, the ways of their packets as text."""
    from lab.cli.rendering import trace

    told = []
    missed = [pair for pair in pings["pairs"] if not (pair["reached"] or pair["policy"] or pair["apart"])]
    for pair in missed[:TRACED]:
        request = {"source": pair["src"], "destination": pair["dst"], "family": pair["family"]}
        err(f"tracing {pair['src']} to {pair['dst']}")
        try:
            text = trace.trace(api.post("/trace", request), Paint(False))
        except Failure as failure:
            text = failure.what
        told.append((f"{pair['src']} to {pair['dst']}, IPv{pair['family']}", text))
    return told


def _picture(api: Client) -> tuple[str | None, str]:
    """The picture of the lab as SVG; None, and the reason, if it can't be drawn."""
    from lab.drawing.graphviz import render
    from lab.drawing.running import of_lab

    try:
        return render(of_lab(api)[1], "svg").decode(), ""
    except Failure as failure:
        err(f"without a picture: {failure.what}")
        return None, failure.what


@contextlib.contextmanager
def _capturing(lab: str, places: Sequence[str]) -> Iterator[list[Seen]]:
    """Capture at ``places`` during the context. At its end the list has what was seen at each."""

    seen: list[Seen] = []
    with tempfile.TemporaryDirectory(prefix="sdnlab-report-") as folder, contextlib.ExitStack() as running:
        captures = []
        for number, place in enumerate(dict.fromkeys(places)):
            file = Path(folder) / f"{number}.pcap"
            captures.append((place, file, running.enter_context(_capture(lab, place, file))))
        yield seen
        for place, file, process in captures:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=BEGINS)
            problem = "" if process.returncode in (0, Exit.INTERRUPTED) else said.strip()
            seen.append(_summary(place, file, problem))


@contextlib.contextmanager
def _capture(lab: str, place: str, file: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that captures; it has begun. Raises Failure if it can't."""
    words = [*ITSELF, "capture", place, "--write", str(file), "--lab", lab]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if line.startswith("listening on"):
                break
        else:
            what = "".join(said).partition("sdnlab: ")[2] or "".join(said)
            raise Failure(f"can't capture at {place}: {what.strip()}", "see: sdnlab capture --help")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _summary(place: str, file: Path, problem: str) -> Seen:
    from lab.report.page import Seen
    from lab.report.traffic import conversations
    from nfv.ids.sources.pcap import BadCapture, records

    if problem:
        return Seen(place, problem=problem)
    try:
        with file.open("rb") as source:
            number, largest = conversations(records(source), LARGEST)
    except (OSError, BadCapture) as error:
        return Seen(place, problem=str(error))
    return Seen(place, number, largest)


COMMANDS = {"report": report}
