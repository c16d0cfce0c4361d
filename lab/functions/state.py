"""What is known of a function's instance, from the lines that its process writes. Pure, bounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["starting", "running", "failed", "dead", "stopped"]
MOST_COUNTERS = 64
MOST_BACKENDS = 256
MAX_LINE = 256 * 1024
"""Bytes of a line; what is longer is dropped."""
_TEXT = 8192
"""Characters of a message or traceback that are kept."""
QUIET = ("counters", "stats")
"""Types that come all the time: followed, but no events."""
ACCOUNTS = ("flow", "http", "dns", "tls", "ssh", "fileinfo", "anomaly")
"""Types that tell what traffic there is: so many that they may not crowd out what was found in it."""


@dataclass
class InstanceRecord:
    """An instance: ``since`` when it is in its state (Unix time), ``restarts`` after it had died.

    ``was_lost``: it has died, failed or been stopped, and not run since.
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
        """It is in ``state`` from now on; ``running`` it is not lost any more."""
        if state != self.state:
            self.since = now
        self.state, self.message = state, message[:_TEXT]
        if state == "running":
            self.was_lost = False
        elif state != "starting":
            self.was_lost = True

    def take(self, message: Mapping[str, Any], now: float) -> bool:
        """Follow a line; whether it changed what the controller must know."""
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
        """What of it does not work, as the controller calls it, and why: the instance (if it ``counts``), and
        backends."""
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
    """A line of a function as a message; None for what is none."""
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
    """Lets a burst of ``most`` events through, and then ``rate`` a second; counts what it held back."""

    def __init__(self, rate: float = 50.0, most: float = 200.0) -> None:
        self._rate, self._most = rate, most
        self._left, self._at = most, 0.0
        self.held = 0

    def passes(self, now: float) -> bool:
        """Whether one more may pass at ``now`` (seconds)."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate) if self._at else self._left
        self._at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return True
        self.held += 1
        return False

    def told(self) -> int:
        """How many were held back since this was last asked."""
        held, self.held = self.held, 0
        return held
