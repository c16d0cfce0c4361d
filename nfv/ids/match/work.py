"""The bound of what a packet may cost, in steps.

A step is what takes about a microsecond: a condition, 4 KiB searched for a content, 1 KiB for an expression
in linear time, 128 bytes decoded or transformed, a quarter of what PCRE2 does between two counts.  Rules and
packets of strangers may be made to be slow; when a packet's steps are used up, the conditions that are left
are not met, and that is counted.
"""

from __future__ import annotations

PACKET = 250_000
"""Steps that one packet, with what it completes of streams and transactions, may cost."""


class Exhausted(Exception):
    """The steps are used up."""


class Work:
    """Steps that are ``left`` of ``limit``; ``exceeded`` counts how often they did not suffice."""

    __slots__ = ("exceeded", "left", "limit")

    def __init__(self, limit: int = PACKET) -> None:
        self.limit = self.left = limit
        self.exceeded = 0

    def begin(self) -> None:
        """Another packet."""
        self.left = self.limit

    def take(self, steps: int) -> None:
        """Use steps; Exhausted when there are none left."""
        before, self.left = self.left, self.left - steps
        if self.left < 0:
            self.exceeded += before >= 0
            raise Exhausted
