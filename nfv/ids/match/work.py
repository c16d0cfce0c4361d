"""The bound of a packet's work, in steps.

A step takes about a microsecond: a condition, 4 KiB searched for a content, 1 KiB for an expression in linear
time, 128 bytes decoded or transformed, a quarter of PCRE2's work between two counts.  An attacker can design
rules and packets that are slow.  When a packet's steps are used up, the remaining conditions don't match, and
a counter says so.
"""

from __future__ import annotations

PACKET = 250_000
"""Steps for one packet, including the streams and transactions that it completes."""


class Exhausted(Exception):
    """The steps are used up."""


class Work:
    """Steps that are ``left`` of ``limit``; ``exceeded`` counts how often they were not enough."""

    __slots__ = ("exceeded", "left", "limit")

    def __init__(self, limit: int = PACKET) -> None:
        self.limit = self.left = limit
        self.exceeded = 0

    def begin(self) -> None:
        """Start another packet."""
        self.left = self.limit

    def take(self, steps: int) -> None:
        """Use steps. Raises Exhausted when none are left."""
        before, self.left = self.left, self.left - steps
        if self.left < 0:
            self.exceeded += before >= 0
            raise Exhausted
