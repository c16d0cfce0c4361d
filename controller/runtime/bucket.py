"""Limits of a rate: a token bucket."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Tokens come at ``rate`` a second, ``burst`` at most; each packet takes one. ``at``: when they were
    counted last, in seconds."""

    rate: float
    burst: float
    tokens: float
    at: float

    def take(self, now: float) -> bool:
        """Take a token; whether there was one. ``now`` in seconds."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
