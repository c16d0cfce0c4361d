"""How long processes waited for a processor: what a busy machine does to them, and no fault of theirs."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FRESH = 0.02
"""Seconds for which an answer is not read again."""


class HeldUp:
    """The tasks of these processes, and of the calling thread, from now on.

    A call returns seconds: the longest time that one of the tasks was ready to run and waited for a processor
    since this object was made. It never falls. A kernel that doesn't count this (proc(5), schedstat) makes
    it 0.
    """

    def __init__(self, processes: Iterable[int], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        folders = ["/proc/thread-self"]
        for pid in processes:
            with contextlib.suppress(OSError):
                folders += map(str, Path(f"/proc/{pid}/task").iterdir())
        self._files: list[tuple[int, float]] = []
        for folder in folders:
            with contextlib.suppress(OSError):
                file = os.open(f"{folder}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
                self._files.append((file, waited(file)))
        self._last = 0.0
        self._read = self._clock()

    def __call__(self) -> float:
        now = self._clock()
        if now - self._read >= _FRESH:
            self._read = now
            longest = max((waited(file) - before for file, before in self._files), default=0.0)
            self._last = max(self._last, longest)
        return self._last

    def close(self) -> None:
        """Close its files. It returns 0 or more as before."""
        for file, _ in self._files:
            os.close(file)
        self._files.clear()


def waited(file: int) -> float:
    """Seconds that a task has waited for a processor, by its open schedstat: the second number, in
    nanoseconds (Documentation/scheduler/sched-stats.rst). 0: the task has ended."""
    try:
        return int(os.pread(file, 64, 0).split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
