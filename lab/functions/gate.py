"""Limits how many events a function's process adds to the log. Pure."""

from __future__ import annotations


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
