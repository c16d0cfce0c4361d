"""``sdnlab verify``: prove what a topology file promises, by computing on its flow tables."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import Json, usage
from lab.cli.files import File, load
from lab.cli.say import count, err, out, out_json, paint, paint_err
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from controller.simulate.network import Outcome
    from controller.verify.report import Finding, Report
    from topologies import Topology

_PATIENCE = 1.0
"""Seconds after which the progress is shown, and how often."""


def verify(
    file: File,
    cuts: Annotated[
        int, typer.Option("-k", metavar="N", help="Verify with every set of up to N links cut, too (0 to 2).")
    ] = 1,
    json: Json = False,
) -> None:
    """Prove or refute, by computing on the flow tables over all packets, what a topology file promises.

    Every allowed pair reaches each other; networks are isolated; chains are visited in order in both
    directions; nothing loops or vanishes; no flow or firewall rule is hidden by others. All this is verified
    with any one link cut, too. What is refuted is shown with a packet that proves it.

    No lab is started. While links are cut, the terminal says how long it may take, and Ctrl-C ends it with
    what is known by then. Exits 0 when all is proven, 1 when something is refuted, 130 after Ctrl-C.

    Example: sdnlab verify leaf-spine -k 0
    """
    if not 0 <= cuts <= 2:
        raise usage(f"-k {cuts}: 0, 1 or 2 links are possible", "-k 1 is the default")
    topology = load(file)
    if topology.by_apps:
        raise Failure(
            f"nothing can be proven of switches that apps control ({', '.join(topology.by_apps)})",
            "test them while the lab runs: sdnlab check",
        )
    from controller.verify.verify import verify as verified
    from lab.cli.rendering import verified as rendering

    progress = _Progress()
    report = verified(topology, cuts=cuts, progress=progress)
    progress.end()
    if json:
        out_json(rendering.plain(topology, report, cuts))
    else:
        out(rendering.text(topology, report, cuts, _traces(topology, report), paint()))
        wrong = sum(not finding.warning for finding in report.findings)
        if report.stopped:
            err(
                f"{paint_err()('stopped', 'yellow')}: {report.cuts - report.cuts_done} cuts were not verified"
            )
        elif wrong:
            err(f"{paint_err()('refuted', 'red')}: {count(wrong, 'finding')} in {file}")
        else:
            out(f"{paint()('proven', 'green')}: {topology.name}")
    if not report.proven:
        raise typer.Exit(Exit.FAILED)
    if report.stopped:
        raise typer.Exit(Exit.INTERRUPTED)


class _Progress:
    """A line on the terminal, once it takes longer, with the time that the rest of a step may take."""

    def __init__(self) -> None:
        self._last, self._shown = time.monotonic(), False
        self._terminal = sys.stderr.isatty()
        self._step, self._begin = "", self._last

    def __call__(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if what != self._step:
            self._step, self._begin = what, now
        if self._terminal and now - self._last > _PATIENCE:
            self._last, self._shown = now, True
            sys.stderr.write(f"\r\033[K{progress_text(what, done, of, now - self._begin)}")
            sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def progress_text(what: str, done: int, of: int, seconds: float) -> str:
    """How far it is after some seconds, and how long the rest takes if it goes on like this."""
    said = f"{what}: {done} of {of}"
    if not done:
        return said
    left = seconds / done * (of - done)
    about = (
        f"{left:.0f} s" if left < 100 else f"{left / 60:.0f} min" if left < 6000 else f"{left / 3600:.0f} h"
    )
    return f"{said}, about {about} left (Ctrl-C: what is known so far)"


def _traces(topology: Topology, report: Report) -> dict[Finding, list[Outcome]]:
    """What becomes of the packets that refute something, step by step."""
    from controller.compiler.compile import compile_topology
    from controller.simulate.network import Fabric
    from controller.simulate.tracking import Connections

    traces: dict[Finding, list[Outcome]] = {}
    for finding in report.findings:
        witness = finding.witness
        if witness is None:
            continue
        cut = frozenset(witness.cut)
        tables = compile_topology(topology, cut if witness.converged else frozenset())
        fabric = Fabric(topology, tables, cut, connections=Connections())
        try:
            traces[finding] = list(fabric.outcomes(dict(witness.frame), witness.at))
        except (KeyError, ValueError):
            continue  # a frame that no host's kernel would send: the finding says what is wrong
    return traces


COMMANDS = {"verify": verify}
