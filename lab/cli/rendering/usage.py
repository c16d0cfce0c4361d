"""The table of ``sdnlab top``: a pure function."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cli.say import Paint, table
from lab.messages.usage import UsageRow

HEADS = ("HOST", "KIND", "CPU %", "MEMORY", "IN b/s", "PPS", "OUT b/s", "PPS", "READ", "WRITE", "PROCS")
"""It fits 80 columns. PPS: packets/s; READ and WRITE: bytes/s."""
_BUSY = 80.0


def usage(rows: Sequence[UsageRow], paint: Paint) -> str:
    """The table of what hosts use."""
    cells = [
        [
            row["name"],
            row["kind"],
            _cpu(row["cpu"], paint),
            scaled(row["memory"], 1024),
            scaled(row["bits_in"]),
            scaled(row["packets_in"]),
            scaled(row["bits_out"]),
            scaled(row["packets_out"]),
            scaled(row["read"]),
            scaled(row["written"]),
            str(row["processes"]),
        ]
        for row in rows
    ]
    return table(HEADS, cells, paint, right=range(2, len(HEADS)))


def _cpu(percent: float | None, paint: Paint) -> str:
    if percent is None:
        return "-"
    return paint(f"{percent:.1f}", "red") if percent >= _BUSY else f"{percent:.1f}"


def scaled(value: float | None, step: int = 1000) -> str:
    """A number with a prefix: ``1.5M``; with a step of 1024 ``1.5Mi``. At most three digits before them."""
    if value is None:
        return "-"
    number, prefixes = (
        float(value),
        ["", "k", "M", "G", "T"] if step == 1000 else ["", "Ki", "Mi", "Gi", "Ti"],
    )
    while number >= step * 0.9995 and len(prefixes) > 1:
        number /= step
        del prefixes[0]
    return f"{number:.1f}{prefixes[0]}" if prefixes[0] and number < 99.95 else f"{number:.0f}{prefixes[0]}"
