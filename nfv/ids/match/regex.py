"""Perl-compatible expressions whose cost is bounded.

PCRE2's own limit starts again at each possible beginning of a match, and doesn't count loops over single
characters, so it bounds nothing.  So there are three methods, and the first one that can decide is used:

1. ``plain``: PCRE2, compiled to machine code, for few bytes, with a low limit.
2. ``linear``: hyperscan, whose time is linear in the bytes: whether there is a match, exactly for most
   expressions; for others (back references, look-around) only whether there can be one.
3. ``counted``: PCRE2 with a callback before each item of the expression, which counts the steps.

An expression is compiled for hyperscan at its first use there (about a millisecond).
"""

from __future__ import annotations

import contextlib
import math
import re
from typing import Any

import pcre2

from nfv.ids.match.work import Exhausted, Work

_hyperscan: Any
try:
    import hyperscan as _hyperscan
except ImportError:  # pragma: no cover - wheels exist for the machines that labs run on
    _hyperscan = None

FEW = 512
"""Up to so many bytes, PCRE2 searches directly."""
FEW_LIMIT = 200
"""Its ``LIMIT_MATCH`` then."""
SEARCH = 50_000
"""Steps of one counted search."""
AUTO_CALLOUT = 0x00000004  # PCRE2's number

_OTHERWISE = re.compile(rb"\\x(?![0-9a-fA-F]{2})|\\[uUNCGKRXQE]|\(\*|\[\[[:.=]|\(\?#|\\c")
"""Syntax that hyperscan may interpret differently from PCRE2, or not support."""
_REPEAT = re.compile(rb"\{(\d+)")
_REPEATS = re.compile(rb"\{(\d+)(?:,(\d*))?\}")
_FLAGS = {"i": "HS_FLAG_CASELESS", "s": "HS_FLAG_DOTALL", "m": "HS_FLAG_MULTILINE"}

MOST_REPEATS = 1024
"""Repetitions beyond which hyperscan takes long to compile them."""
NEAR = 1024
"""If a whole search is too slow: how many bytes before the end of a match are searched."""

Span = tuple[int, int]
PatternError = pcre2.PatternError
"""An expression can't be compiled."""


class Regex:
    """An expression; ``letters`` are of ``imsx`` and ``A`` (it matches at the beginning), ``options`` PCRE2's
    numbers.  PatternError when it can't be compiled.
    """

    __slots__ = (
        "_counted",
        "_exact",
        "_letters",
        "_linear",
        "_linear_tried",
        "_options",
        "_plain",
        "_repeat",
        "source",
    )

    def __init__(self, source: bytes, letters: str = "", options: int = 0) -> None:
        self.source = source
        self._letters = "".join(sorted(set(letters) - {"A"}))
        if "A" in letters:
            self.source = b"\\A(?:" + source + (b"\n)" if "x" in letters else b")")
        self._options = options
        self._plain = pcre2.compile(b"(*LIMIT_MATCH=%d)" % FEW_LIMIT + self._text(), pcre2.RegexFlag(options))
        self._counted: Any = None
        self._linear: Any = None
        self._exact = self._linear_tried = False
        self._repeat = max((min(int(m[1]), 65536) for m in _REPEAT.finditer(source)), default=0)

    def _text(self) -> bytes:
        return (f"(?{self._letters})".encode() if self._letters else b"") + self.source

    def find(self, data: bytes, work: Work, after: int = 0, span: bool = True) -> Span | None:
        """The position of the first match; None if there is none. Raises Exhausted after too many steps.

        Without ``span``, only the existence of a match counts; the end is then that of the first match, or of
        one beyond ``after`` if there is one.
        """
        size = len(data)
        if size <= FEW:
            work.take(2)
            try:
                match = self._plain.search(data)
            except pcre2.LibraryError:
                pass  # the limit was reached
            else:
                return match.span() if match else None
        if not self._linear_tried:
            self._build_linear()
        if self._linear is not None:
            work.take(2 + size // 1024)
            end = self._scan(data, after)
            if end < 0:
                return None
            if self._exact and not span:
                return 0, end
            return self.search(data, work, end)
        return self.search(data, work)

    @property
    def groups(self) -> int:
        """Groups that capture."""
        return int(self._plain.groups)

    def group(self, data: bytes, work: Work) -> bytes | None:
        """The text that the first group of the first match captures; None if there is no match. Raises
        Exhausted."""
        match = self._match(data, work)
        return bytes(match[1]) if match and match[1] is not None else None

    # ------------------------------------------------------------ in linear time

    def _build_linear(self) -> None:
        self._linear_tried = True
        source = self.source
        if _hyperscan is None or self._options or "x" in self._letters or _OTHERWISE.search(source):
            return
        repeats = (max(1, *(int(number or 0) for number in bounds)) for bounds in _REPEATS.findall(source))
        if math.prod(repeats) > MOST_REPEATS:
            return
        flags = _hyperscan.HS_FLAG_ALLOWEMPTY
        for letter in self._letters:
            flags |= getattr(_hyperscan, _FLAGS[letter])
        self._linear = _database(source, flags)
        self._exact = self._linear is not None
        if not self._exact:
            self._linear = _database(source, flags | _hyperscan.HS_FLAG_PREFILTER)

    def _scan(self, data: bytes, after: int) -> int:
        """The end of a match, -1 without one."""
        ends: list[int] = []

        def matched(_number: int, _begin: int, end: int, _flags: int, _context: object) -> bool:
            ends[:] = [end]
            return end > after

        with contextlib.suppress(_hyperscan.ScanTerminated):
            self._linear.scan(data, match_event_handler=matched)
        return ends[0] if ends else -1

    # ------------------------------------------------------------ counted

    def search(self, data: bytes, work: Work, near: int = 0) -> Span | None:
        """The first match; if this takes too long, the first one close to ``near``, the end of a match."""
        try:
            match = self._match(data, work)
        except Exhausted:
            if near <= NEAR or work.left <= 0:
                raise
            match = self._match(data, work, near - NEAR)
        return match.span() if match else None

    def _match(self, data: bytes, work: Work, begin: int = 0) -> Any:
        """The first match from ``begin`` on, counted."""
        if self._counted is None:
            self._counted = pcre2.compile(self._text(), pcre2.RegexFlag(self._options | AUTO_CALLOUT))
        limit = min(work.left, SEARCH)
        used = last = 0
        step_cost = 4 + self._repeat // 64

        def count(block: Any) -> int:
            nonlocal used, last
            at = block.span(0)[1]
            used += step_cost + abs(at - last) // 64
            last = at
            return -1 if used > limit else 0  # an abort is no match

        self._counted.callout = count
        try:
            match = self._counted.search(data, begin)
        except pcre2.LibraryError:  # a limit of its own
            used, match = max(used, limit + 1), None
        work.left -= used
        if used > limit:
            work.exceeded += 1
            raise Exhausted
        return match


def _database(source: bytes, flags: int) -> Any:
    """hyperscan's form of an expression; None if it has none."""
    database = _hyperscan.Database(mode=_hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(expressions=[source], ids=[0], elements=1, flags=[flags])
    except _hyperscan.error:
        return None
    return database
