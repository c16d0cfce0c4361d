"""Starts a lab from the command line, and shows the progress."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab import naming
from lab.cli import files
from lab.cli.say import count, overwrite_line, paint_err, probe_progress

if TYPE_CHECKING:
    from lab.start.launch import Launched
    from lab.start.order import Check


class Progress:
    """Shows the progress of ``up``: one changing line on a terminal, nothing elsewhere."""

    def __init__(self, live: bool) -> None:
        self._live = live
        self._paint = paint_err()
        self._begin = time.monotonic()
        self.stages: list[dict[str, Any]] = []

    def stage_done(self, name: str, seconds: float) -> None:
        """A stage has ended."""
        self.stages.append({"stage": name, "seconds": seconds})
        self._write(f"{name} done")

    def probing(self, done: int, of: int) -> None:
        """The test of all pairs has made progress."""
        self._write(probe_progress(done, of))

    def doing(self, what: str) -> None:
        """Something begins."""
        self._write(what)

    def clear(self) -> None:
        """Remove the line."""
        if self._live:
            overwrite_line("")

    def _write(self, text: str) -> None:
        if self._live:
            elapsed = f"{time.monotonic() - self._begin:5.2f} s"
            overwrite_line(f"{self._paint(elapsed, 'dim')}  {text} …")


def start(
    file: str,
    name: str | None,
    datapath: str,
    check: Check,
    progress: Progress,
    apps: Sequence[str] = (),
    app_options: Sequence[str] = (),
) -> Launched:
    """Build the lab of ``file``. It ends with this process, unless it is detached.

    ``apps``: Ryu apps that control all its switches. ``app_options``: further words for ryu-manager.
    """
    from lab.start.launch import launch
    from lab.start.order import Order

    if name is not None:
        naming.check_name(name)
    progress.doing(f"building {file}")
    called, content = files.content(file)
    try:
        order = Order(called, content, name, naming.owner(), datapath, check, tuple(apps), tuple(app_options))
        return launch(order, progress)
    finally:
        progress.clear()


def sizes(launched: Launched) -> str:
    """``2 switches, 4 hosts, 1 link``."""
    return ", ".join(count(number, noun) for noun, number in launched.building.sizes.items())
