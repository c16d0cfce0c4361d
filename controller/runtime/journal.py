"""Events, as JSON lines for the supervisor; the API can ask for the latest ones."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections import deque
from typing import Any

from controller.messages import Event, encode, following

_REMEMBER = 4096
_BACKLOG = 10_000


class Journal:
    """Events, numbered from 1. ``fd``: where JSON lines go (a pipe; its reader may be slow).

    A line has ``event``, ``number``, ``time`` (seconds since 1970) and the event's own
    fields.  Another thread writes, so a reader who does not read never delays the network;
    when 10,000 lines wait for him, further lines are dropped.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._recent: deque[dict[str, Any]] = deque(maxlen=_REMEMBER)
        self._changed = threading.Condition()
        self._number = 0
        self._writer = threading.Thread(target=self._write, daemon=True, name="journal")
        self._writer.start()

    def emit(self, event: Event) -> None:
        """Record an event, and the events that watchers make of it; never blocks."""
        self._record(event)
        for further in following(event):
            self._record(further)

    def _record(self, event: Event) -> None:
        with self._changed:
            self._number += 1
            entry = {**encode(event), "number": self._number, "time": round(time.time(), 6)}
            self._recent.append(entry)
            self._changed.notify_all()
        if self._lines.qsize() < _BACKLOG:
            self._lines.put(json.dumps(entry).encode() + b"\n")

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self._number

    def since(self, number: int, timeout: float | None = 0) -> list[dict[str, Any]]:
        """Remembered events with a number above ``number``; waits up to ``timeout`` for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number, timeout)
            return [entry for entry in self._recent if entry["number"] > number]

    def close(self, timeout: float = 0.2) -> None:
        """Write the lines that wait, for at most ``timeout`` seconds."""
        self._lines.put(None)
        self._writer.join(timeout)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            with contextlib.suppress(OSError):  # the reader is gone: the network goes on
                while line:
                    line = line[os.write(self._fd, line) :]
