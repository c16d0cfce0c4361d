"""Ranges of transport ports as the fewest masked matches that cover them exactly. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

BITS = 16
MOST = (1 << BITS) - 1


def masked(first: int, last: int) -> Iterator[tuple[int, int | None]]:
    """``first``..``last`` (0..65535, inclusive) as (value, mask); mask None: that port alone.

    Each block is the greatest power of two that starts here and ends within the range, so no other blocks
    cover the range with fewer.
    """
    while first <= last:
        size = first & -first or 1 << BITS
        while size > last - first + 1:
            size >>= 1
        yield first, None if size == 1 else MOST & ~(size - 1)
        first += size


def covering(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int | None], ...]:
    """All of several ranges, joined where they touch; () for every port: no match on ports is needed."""
    joined: list[list[int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    if joined == [[0, MOST]]:
        return ()
    return tuple(block for first, last in joined for block in masked(first, last))
