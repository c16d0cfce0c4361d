"""Detects a worker that hangs, by its progress in memory that it shares with its parent.

A long queue is no failure: a function may be slow and still handle each packet.  So health probes do not wait
behind packets (the parent passes them on).  A worker has failed if one packet takes too long, or if it has
ended.
"""

from __future__ import annotations

import mmap
import struct

STUCK = 2.0
"""Seconds that one call of ``process`` may take."""
LOOK = 0.25
"""Seconds between two checks of a worker."""
_NUMBER = struct.Struct("=Q")


class Progress:
    """A number that the worker changes with each packet, and at least twice a second without packets.

    A script could change it as well; it would only delay its own packets.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._number = 0

    def step(self) -> None:
        """In the worker: record progress."""
        self._number += 1
        _NUMBER.pack_into(self._memory, 0, self._number)

    def read(self) -> int:
        """In the parent: the worker's present number."""
        return int(_NUMBER.unpack_from(self._memory)[0])


class Watch:
    """Decides from checks of ``Progress``, each with its time in seconds. Pure.

    A check that comes late counts as one in time: then the machine, or this lab, was stopped.
    """

    def __init__(self, longest: float = STUCK) -> None:
        self._longest = longest
        self._seen: int | None = None
        self._last = 0.0
        self._still = 0.0

    def stuck(self, number: int, now: float) -> bool:
        """Whether the worker has made no progress for too long."""
        if number != self._seen:
            self._seen, self._still = number, 0.0
        else:
            self._still += min(now - self._last, 2 * LOOK)
        self._last = now
        return self._still > self._longest


def script_line(dump: str, file: str) -> str | None:
    """``line 7``: the innermost line of ``file`` in a stack that ``faulthandler`` dumped; else None."""
    for line in dump.splitlines():
        head, separator, rest = line.strip().partition(f'File "{file}", line ')
        number = rest.split(" ", 1)[0]
        if separator and not head and number.isdigit():
            return f"line {number}"
    return None
