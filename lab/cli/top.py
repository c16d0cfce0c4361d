"""``sdnlab top``: what hosts use, live on a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import Json, Lab, LabArgument, client, one_of, usage
from lab.cli.rendering import usage as render
from lab.cli.say import Paint, can_overwrite, out, out_json, paint, written
from lab.messages.usage import Usage, UsageRow
from lab.views.usage import SORTS, by, rows
from linux.readiness import readable

if TYPE_CHECKING:
    from lab.access.client import Client

SHORTEST, LONGEST = 0.1, 3600.0
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min)?\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, None: 1.0}
KEYS = {"c": "cpu", "m": "memory", "n": "network", "h": "host"}


def interval_of(text: str) -> float:
    """Seconds, from a text like ``1s`` or ``500ms``. Raises Failure."""
    match = _INTERVAL.match(text.strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match is not None else -1.0
    if not SHORTEST <= seconds <= LONGEST:
        raise usage(f"{text!r} is no interval", "write a time from 100ms to 60min, like 1s")
    return seconds


def top(
    name: LabArgument = None,
    lab: Lab = None,
    once: Annotated[bool, typer.Option("--once", help="Show one table, measured for one interval.")] = False,
    interval: Annotated[
        str, typer.Option("--interval", "-i", metavar="TIME", help="From one look to the next, like 500ms.")
    ] = "1s",
    sort: Annotated[
        str,
        typer.Option(
            "--sort", metavar="|".join(SORTS), help="What comes first.", autocompletion=lambda: SORTS
        ),
    ] = "cpu",
    json: Json = False,
) -> None:
    """Show what hosts use: processor, memory, network and disks, live. 'q' or Ctrl-C ends it.

    CPU is in percent of one processor. MEMORY is that of the host's processes, without what they share with
    files; of a virtual machine, that of QEMU. IN and OUT are what the host receives and sends, in bit/s and
    packets/s (PPS); READ and WRITE are bytes of disks, per second. The keys c, m, n, h sort by processor,
    memory, network, host. Without a terminal, one table is shown.

    Example: sdnlab top --once --sort network
    """
    if sort not in SORTS:
        raise usage(f"rows can't be sorted by {sort!r}", f"choose one of: {', '.join(SORTS)}")
    seconds = interval_of(interval)
    api = client(one_of(name, lab))
    before: Usage = api.get("/usage")
    if once or json or not (can_overwrite(sys.stdout) and sys.stdin is not None and sys.stdin.isatty()):
        time.sleep(seconds)
        measured = by(rows(before, api.get("/usage")), sort)
        out_json(measured) if json else out(render.usage(measured, paint()))
        return
    with _screen():
        _live(api, before, seconds, sort)


def _live(api: Client, sample: Usage, seconds: float, sort: str) -> None:
    shown = rows(None, sample)
    due = time.monotonic() + seconds
    while True:
        _draw(api.name, by(shown, sort), sort)
        typed = _typed(max(0.0, due - time.monotonic()))
        if "q" in typed or "Q" in typed:
            return
        sort = next((KEYS[key] for key in reversed(typed) if key in KEYS), sort)
        if time.monotonic() >= due:
            before, sample = sample, api.get("/usage")
            shown, due = rows(before, sample), time.monotonic() + seconds


def page(lab: str, table: list[UsageRow], sort: str, columns: int, lines: int) -> list[str]:
    """The lines that fit a screen, without colours: a line about the lab, and as many hosts as there is
    room for."""
    head = f"{lab}: {len(table)} hosts, by {sort}; q ends, c m n h sort"
    body = render.usage(table, Paint(False)).splitlines()
    left = len(body) - (lines - 1)
    if left > 0:
        body = [*body[: max(0, lines - 2)], f"… and {left + 1} more"]
    return [line[:columns] for line in [head, *body]]


def _draw(lab: str, table: list[UsageRow], sort: str) -> None:
    size = shutil.get_terminal_size()
    lines = page(lab, table, sort, size.columns, size.lines)
    sys.stdout.write("\x1b[H" + "\x1b[K\n".join(written(line) for line in lines) + "\x1b[K\x1b[J")
    sys.stdout.flush()


def _typed(patience: float) -> str:
    """What the user types within this time."""
    if not readable([sys.stdin], patience):
        return ""
    octets = os.read(sys.stdin.fileno(), 1024)
    return octets.decode(errors="replace") if octets else "q"  # the terminal is gone


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, without echo. The terminal is as before afterwards, and while we are
    stopped (Ctrl-Z)."""
    fd = sys.stdin.fileno()
    before: list[Any] = termios.tcgetattr(fd)

    def enter() -> None:
        tty.setcbreak(fd)  # Ctrl-C and Ctrl-Z stay signals
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")
        sys.stdout.flush()

    def leave() -> None:
        with contextlib.suppress(OSError, termios.error):
            sys.stdout.write("\x1b[?25h\x1b[?1049l")
            sys.stdout.flush()
            termios.tcsetattr(fd, termios.TCSADRAIN, before)

    def stop(_number: int, _frame: FrameType | None) -> None:
        leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        enter()

    old = signal.signal(signal.SIGTSTP, stop)
    try:
        enter()
        yield
    finally:
        leave()
        signal.signal(signal.SIGTSTP, old)


COMMANDS = {"top": top}
