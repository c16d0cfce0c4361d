"""Output for people and for programs: tables, colours on a terminal, JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from lab.cli.streams import ReaderGone as ReaderGone
from lab.terminal import json_shown, shown

_STYLE = f"\x1b[{os.urandom(8).hex()};"
"""The mark of our own colours before they are written. Text from outside can't contain it."""
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def can_overwrite(stream: TextIO) -> bool:
    """Whether a line can be overwritten: only on a terminal that is not ``dumb``."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def coloured(stream: TextIO) -> bool:
    """Colours only on a terminal that has them, and never with NO_COLOR (no-color.org)."""
    return can_overwrite(stream) and not os.environ.get("NO_COLOR")


class Paint:
    """Wraps text in colours, or leaves it alone."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, *styles: str) -> str:
        if not self._on or not text:
            return text
        return f"{_STYLE}{';'.join(_CODES[style] for style in styles)}m{text}{_STYLE}0m"


def _apart(text: str) -> str:
    """``text`` with all control sequences escaped, except our own colours."""
    return _STYLE.join(shown(part) for part in text.split(_STYLE))


def written(text: str) -> str:
    """``text`` for the terminal or file: with our own colours, and all other control sequences visible."""
    return _apart(text).replace(_STYLE, "\x1b[")


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
    """A table with two blanks between columns. ``right``: indexes of right-aligned columns. Nothing is cut
    off."""
    # a last cell may have more lines, which keep to its column
    cells = [[_apart(cell) for cell in row] for row in rows]
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
    """Print a result. Raises ReaderGone when the reader has closed the pipe, Unwritable when writing
    fails."""
    sys.stdout.write(written(text) + "\n")
    sys.stdout.flush()


def out_as_is(line: str) -> None:
    """Pass a line of our own tests on, with the colours that it has."""
    sys.stdout.write(line)
    sys.stdout.flush()


def out_json(value: Any) -> None:
    """Print a result for a program."""
    sys.stdout.write(json_shown(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")
    sys.stdout.flush()


def out_json_line(value: Any) -> None:
    """Print one of many results for a program, on a line of its own."""
    sys.stdout.write(json_shown(json.dumps(value, ensure_ascii=False)) + "\n")
    sys.stdout.flush()


def err(text: str) -> None:
    """Print a message on standard error. An error in writing it is ignored."""
    with contextlib.suppress(OSError, UnicodeError, AttributeError, ValueError):
        sys.stderr.write(written(text) + "\n")
        sys.stderr.flush()


def overwrite_line(text: str) -> None:
    """Replace the last line of a terminal (see ``can_overwrite``) by ``text``; an empty text clears it."""
    with contextlib.suppress(OSError, UnicodeError, AttributeError, ValueError):
        sys.stderr.write("\r\x1b[K" + written(text))
        sys.stderr.flush()


def paint() -> Paint:
    """The colours for stdout."""
    return Paint(coloured(sys.stdout))


def paint_err() -> Paint:
    """The colours for stderr."""
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


def probe_progress(done: int, total: int) -> str:
    """The progress of a test of pairs, as text."""
    return f"probing: {done:,} of {total:,} done" if total else "probing: preparing the frames"
