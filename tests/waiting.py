"""Waiting for a condition: what tests do in place of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds: more than anything takes on a machine that is not broken."""


def holds_within(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Ask again and again; whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def until(holds: Callable[[], T], what: str = "it came true", seconds: float = PATIENCE) -> T:
    """Ask again and again; what ``holds`` gave at last. AssertionError: ``what`` never came true."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.005)
    return value
