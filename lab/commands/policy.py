"""Whether and when a command starts again after it has ended. Pure."""

from __future__ import annotations

from typing import NamedTuple

from lab.functions.backoff import restart_delay
from topologies.model.hosts import Restart

STEADY = 10.0
"""After so many seconds of running, a command that ends starts again without delay."""
TOLD = 5
"""How many ends in a row are events; then it keeps ending, which ``status`` tells."""
KEEPS_ENDING = 3
"""So many ends in a row are a trouble of the lab."""


class Verdict(NamedTuple):
    """What to do after an end. ``delay`` in seconds, None: it does not start again.

    ``in_a_row``: how many times in a row it has ended before it was steady, this time included. ``told``:
    whether this is an event.
    """

    delay: float | None
    in_a_row: int
    told: bool


def verdict(restart: Restart, code: int, ran: float, in_a_row: int) -> Verdict:
    """The verdict on a command that ended with ``code`` after ``ran`` seconds, when ``in_a_row`` was that of
    the verdict before."""
    row = 1 if ran >= STEADY else in_a_row + 1
    if restart == "never" or (restart == "on-failure" and code == 0):
        return Verdict(None, row, True)
    return Verdict(restart_delay(row - 1), row, row <= TOLD)


def how(code: int) -> str:
    """The exit code in words, as a shell gives it: 128 + N after signal N."""
    return f"signal {code - 128}" if 128 < code < 193 else f"exit code {code}"
