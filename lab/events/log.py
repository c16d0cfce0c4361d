"""The log of a lab's events: bounded and numbered; many threads write and follow it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from lab.messages.lab import Event
from lab.terminal import one_line

KEPT = 20_000
"""How many events are kept. Older ones are deleted; numbers continue."""


class EventLog:
    """A thread-safe log; ``wait`` blocks until there is a newer event than a number."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._number = 0
        self._changed = threading.Condition()

    def add(self, event: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Add an ``event``; ``text`` describes it to people in one line."""
        with self._changed:
            self._number += 1
            self._events.append(
                {
                    "number": self._number,
                    "time": time.time(),
                    "event": event,
                    "text": one_line(text),
                    "data": dict(data or {}),
                }
            )
            self._changed.notify_all()

    def since(self, number: int) -> list[Event]:
        """Events newer than ``number``, oldest first."""
        with self._changed:
            if not self._events or self._events[-1]["number"] <= number:
                return []
            return [event for event in self._events if event["number"] > number]

    def wait(self, number: int, timeout: float) -> list[Event]:
        """Like ``since``, but waits up to ``timeout`` seconds until there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number, timeout)
        return self.since(number)
