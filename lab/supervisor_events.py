"""What happened in a lab: a bounded, numbered record that many threads write and follow."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from lab.messages import Event
from lab.terminal import one_line

KEPT = 20_000
"""How many events are remembered; older ones are dropped, numbers go on."""
_PLAIN = ("event", "number", "time")


class EventLog:
    """Thread-safe; ``wait`` blocks until something newer than a number is there."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._number = 0
        self._changed = threading.Condition()

    def add(self, event: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Record that ``event`` happened; ``text`` says it to a person, in one line."""
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
        """Like ``since``, but waits up to ``timeout`` seconds for there to be some."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number, timeout)
        return self.since(number)


def describe(message: Mapping[str, Any]) -> str:
    """A controller's event in a person's words."""
    switch, kind = message.get("switch", "?"), message.get("event", "?")
    seconds = message.get("seconds")
    took = f" in {seconds:.3f} s" if isinstance(seconds, (int, float)) else ""
    if kind == "compiled":
        return f"compiled {message.get('flows', '?')} flows and {message.get('groups', '?')} groups{took}"
    if kind == "connected":
        return f"switch {switch} connected"
    if kind == "disconnected":
        return f"switch {switch} disconnected"
    if kind == "programmed":
        added, deleted = message.get("added", 0), message.get("deleted", 0)
        if not added and not deleted:
            return f"switch {switch} holds what it should; nothing was sent"
        return f"switch {switch} programmed: {added} added, {deleted} deleted{took}"
    if kind == "all-programmed":
        return "every switch is programmed" + took
    if kind == "port":
        return f"port {message.get('port', '?')} of {switch} went {'up' if message.get('up') else 'down'}"
    if kind == "recompiled":
        return f"recompiled because of {message.get('why', '?')}{took}"
    if kind == "error":
        return f"controller: {message.get('message', message)}"
    rest = ", ".join(f"{key} {value}" for key, value in message.items() if key not in _PLAIN)
    return f"{kind}: {rest}" if rest else str(kind)
