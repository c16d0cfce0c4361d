"""The state of a function's instance, from the lines that its process writes. Pure, bounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["starting", "running", "failed", "dead", "stopped"]
MOST_COUNTERS = 64
MOST_BACKENDS = 256
MAX_LINE = 256 * 1024
"""Bytes of a line; longer lines are dropped."""
_TEXT = 8192
"""Characters of a message or traceback that are kept."""
QUIET = ("counters", "stats")
"""Types of frequent messages: they change the state, but are no events."""
ACCOUNTS = ("flow", "http", "dns", "tls", "ssh", "fileinfo", "anomaly")
"""Types of messages about normal traffic: they are many, and must not displace alerts."""


@dataclass
class InstanceRecord:
    """An instance: ``since`` is when its state began (Unix time), ``restarts`` counts restarts after it died.

    ``was_lost``: it died, failed or was stopped, and has not run since then.
    """

    name: str
    function: str
    state: State = "starting"
    message: str = ""
    since: float = 0.0
    pid: int = 0
    restarts: int = 0
    was_lost: bool = False
    counters: dict[str, float] = field(default_factory=dict)
    backends: dict[str, bool] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def become(self, state: State, message: str, now: float) -> None:
        """Set the state; in ``running`` it is no longer lost."""
        if state != self.state:
            self.since = now
        self.state, self.message = state, message[:_TEXT]
        if state == "running":
            self.was_lost = False
        elif state != "starting":
            self.was_lost = True

    def take(self, message: Mapping[str, Any], now: float) -> bool:
        """Process a message; whether the controller must be told."""
        kind = message.get("event_type")
        if kind == "counters":
            numbers = {str(k): v for k, v in message.items() if _is_number(v)}
            self.counters = dict(list(numbers.items())[:MOST_COUNTERS])
        elif kind == "state" and self.state != "stopped":
            lost = self.was_lost
            state: State = "running" if message.get("state") == "running" else "failed"
            self.become(state, str(message.get("message") or ""), now)
            return lost != self.was_lost
        elif kind == "backend":
            name, up = str(message.get("backend")), bool(message.get("up"))
            if name in self.backends or len(self.backends) < MOST_BACKENDS:
                changed = self.backends.get(name) != up
                self.backends[name] = up
                self.reasons[name] = str(message.get("reason") or "")[:200]
                return changed
        return False

    def failed(self, counts: bool) -> dict[str, str]:
        """The parts that don't work, under the controller's names, with reasons: the instance (if it
        ``counts``), and backends."""
        reasons = {
            f"{self.function}/{name}": self.reasons.get(name, "")
            for name, up in self.backends.items()
            if not up
        }
        if counts and self.was_lost:
            more = f": {self.message}" if self.message else ""
            reasons[self.name] = f"its process is {self.state}{more}"
        return reasons


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read(line: bytes) -> dict[str, Any] | None:
    """A line of a function as a message; None if it is no message."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("event_type"), str):
        return None
    return {
        key: value[-_TEXT:] if key == "traceback" and isinstance(value, str) else value
        for key, value in message.items()
    }


class Gate:
    """A token bucket: passes a burst of ``most`` events, then ``rate`` a second; counts the others."""

    def __init__(self, rate: float = 50.0, most: float = 200.0) -> None:
        self._rate, self._most = rate, most
        self._left, self._at = most, 0.0
        self.held = 0

    def passes(self, now: float) -> bool:
        """Whether one more event may pass at ``now`` (seconds)."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate) if self._at else self._left
        self._at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return True
        self.held += 1
        return False

    def told(self) -> int:
        """How many events did not pass since the last call."""
        held, self.held = self.held, 0
        return held
