"""How locals of the product, its measurements and its tests are named: by what they hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("bench", "controller", "dataplane", "lab", "linux", "nfv", "tests", "topologies", "wire")

EMPTY = frozenset(("each", "found", "made"))
"""Names that fit every value. ``flow``, ``port`` or ``by_name`` tell the reader what the value is."""
MAY_BIND = re.compile(rf"\b(?:{'|'.join(sorted(EMPTY))})\b\s*(?:[-+*/%@&|^<>=:,)\]]|in\b)")
"""A name that may be bound here. Modules without a match are not parsed, which saves most of the time."""


def bound(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of all locals and parameters with an empty name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name: str | None = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            name = node.name
        else:
            continue
        if name in EMPTY:
            yield node.lineno, name


def test_locals_say_what_they_hold() -> None:
    names = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if MAY_BIND.search(text := path.read_text(encoding="utf-8"))
        for line, name in bound(text)
    ]
    assert names == []


def test_every_way_to_bind_an_empty_name_is_seen() -> None:
    ways = (
        "found = 1",
        "found: int = 1",
        "found += 1",
        "found, rest = pair",
        "[first, (found)] = pair",
        "(found := 1)",
        "for each in rows: pass",
        "[0 for each in rows]",
        "for name, each in rows: pass",
        "with opened() as found: pass",
        "try: pass\nexcept ValueError as found: pass",
        "def of(each): pass",
        "def of(*made): pass",
        "def of(made=1): pass",
        "lambda each: 0",
        "match row:\n    case [*found]: pass",
        "match row:\n    case int() as made: pass",
    )
    assert [way for way in ways if not (MAY_BIND.search(way) and list(bound(way)))] == []
    assert list(bound("print(found, each.made, of(made=1))")) == []
