"""The delay before a process that keeps dying is started again. Pure."""

from __future__ import annotations

BACKOFF = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before the n-th restart in a row; a controller that ran for 10 s starts from the first."""


def restart_delay(in_a_row: int) -> float:
    """Seconds to wait before restart number ``in_a_row`` (0, or less, for the first)."""
    return BACKOFF[max(0, min(in_a_row, len(BACKOFF) - 1))]
