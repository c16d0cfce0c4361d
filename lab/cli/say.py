"""Writing to people and to programs: tables, colours when the output is a terminal, JSON."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class ReaderGone(BaseException):
    """Whoever read our output closed it (``| head``)."""


def coloured(stream: TextIO) -> bool:
    """Colours only on a terminal that has them, and never with NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Paint:
    """Wraps text in colours, or leaves it alone."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, *styles: str) -> str:
        if not self._on or not text:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def width(text: str) -> int:
    """Columns that ``text`` takes on a terminal: wide characters two, combining ones and colours none."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    columns, escaped = 0, False
    for character in text:
        if character == "\x1b":
            escaped = True
        elif escaped:
            escaped = character != "m"
        elif not unicodedata.combining(character):
            columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return columns


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], paint: Paint, right: Iterable[int] = ()
) -> str:
    """Columns aligned by two blanks; those whose index is in ``right`` to the right. Nothing is cut off."""
    cells = [list(row) for row in rows]  # a last cell may have more lines, which keep to its column
    aligned = set(right)
    widths = [
        max([width(head), *(width(row[i].partition("\n")[0]) for row in cells)])
        for i, head in enumerate(heads)
    ]
    lines = []
    indent = "\n" + " " * (sum(widths[:-1]) + 2 * (len(heads) - 1))
    for number, row in enumerate([list(heads), *cells]):
        parts = []
        for i, cell in enumerate(row):
            if "\n" in cell:
                parts.append(cell.replace("\n", indent))
                continue
            pad = " " * (widths[i] - width(cell))
            cell = paint(cell, "bold") if number == 0 else cell
            parts.append(pad + cell if i in aligned else cell + pad)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def out(text: str) -> None:
    """Print a result. Raises ReaderGone when nobody reads any more."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGone from None
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")


def out_json(value: Any) -> None:
    """Print a result for a program."""
    out(json.dumps(value, indent=2, ensure_ascii=False))


def err(text: str) -> None:
    """Print a message that is no result."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (BrokenPipeError, UnicodeEncodeError):
        pass


def paint() -> Paint:
    """For what goes to stdout."""
    return Paint(coloured(sys.stdout))


def paint_err() -> Paint:
    """For what goes to stderr."""
    return Paint(coloured(sys.stderr))


def milliseconds(seconds: float) -> str:
    """A time of about a millisecond, in milliseconds with three digits or so."""
    value = seconds * 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def count(number: int, noun: str) -> str:
    """``1 host``, ``2 hosts``, ``3 switches``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('ch', 's')) else 's'}"
