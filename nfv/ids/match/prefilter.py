"""Finds the rules that may match a buffer: one hyperscan database of the fast patterns of all its rules.

A rule's fast pattern is the content that is probably the rarest, or the one that the rule names (user
guide "Prefiltering Keywords").  A database finds candidates only; ``conditions`` decides.  Without
hyperscan, the patterns are searched one by one, which is correct but slow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nfv.ids.match.ops import Content, Op

_hyperscan: Any
try:
    import hyperscan as _hyperscan
except ImportError:  # pragma: no cover - wheels exist for the machines that labs run on
    _hyperscan = None

LONGEST = 256
"""Bytes of a pattern that are searched; further bytes distinguish few rules."""

_COMMON = frozenset(b"\x00\xff\x20\r\n/.=e")


def strength(pattern: bytes) -> float:
    """How well a pattern distinguishes rules: longer and more varied is better."""
    distinct = set(pattern)
    return len(pattern) + 2.0 * len(distinct) - sum(0.5 for byte in pattern if byte in _COMMON)


def fast_pattern(ops: Sequence[Op]) -> Content | None:
    """The content to search first; None if the rule requires no content."""
    best: Content | None = None
    for op in ops:
        if not isinstance(op, Content) or op.negated:
            continue
        if op.fast:
            return op
        if best is None or strength(op.pattern) > strength(best.pattern):
            best = op
    return best


class Database:
    """Patterns, each with a number, such as that of its rule."""

    __slots__ = ("_db", "_groups", "_plain", "_scratch", "reach", "size")

    def __init__(self, patterns: Iterable[tuple[Content, int]]) -> None:
        groups: dict[tuple[bytes, bool], list[int]] = {}
        self.reach = 0
        for content, number in patterns:
            pattern = content.pattern[:LONGEST]
            key = (pattern.lower() if content.nocase else pattern, content.nocase)
            groups.setdefault(key, []).append(number)
            self.reach = max(self.reach, _edge(content))
        self._groups = list(groups.values())
        self.size = len(self._groups)
        self._plain: list[tuple[bytes, bool]] = []
        self._db: Any = None
        if not groups:
            return
        if _hyperscan is None:  # pragma: no cover
            self._plain = list(groups)
            return
        expressions = [b"".join(b"\\x%02x" % byte for byte in pattern) for pattern, _ in groups]
        flags = [
            _hyperscan.HS_FLAG_SINGLEMATCH
            | _hyperscan.HS_FLAG_DOTALL
            | (_hyperscan.HS_FLAG_CASELESS if nocase else 0)
            for _, nocase in groups
        ]
        self._db = _hyperscan.Database(mode=_hyperscan.HS_MODE_BLOCK)
        self._db.compile(expressions=expressions, ids=list(range(self.size)), elements=self.size, flags=flags)

    def scan(self, data: bytes) -> list[int]:
        """The numbers of the patterns in ``data``; a number can occur several times."""
        if self._db is None:
            if not self._plain:
                return []
            lower = data.lower()  # pragma: no cover
            hits = [
                i for i, (p, nocase) in enumerate(self._plain) if p in (lower if nocase else data)
            ]  # pragma: no cover
        else:
            hits = []
            if data:
                self._db.scan(data, match_event_handler=_collect, context=hits)
        if not hits:
            return hits
        if len(hits) == 1:
            return self._groups[hits[0]]
        groups = self._groups
        return [number for hit in hits for number in groups[hit]]


def _edge(content: Content) -> int:
    """The last position of a buffer at which the pattern may end."""
    if isinstance(content.depth, int) and isinstance(content.offset, int):
        return content.offset + content.depth
    return 1 << 30


def _collect(number: int, _from: int, _to: int, _flags: int, hits: list[int]) -> None:
    hits.append(number)
