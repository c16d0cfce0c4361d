"""Each row of a table of compatibility in docs/ names a test, and that test exists.

Such a table has ``test`` as its last column; the tests stand there as ``path::name``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> Iterator[tuple[str, str]]:
    """(page and first columns, tests) of each row."""
    for page in sorted((ROOT / "docs").glob("*.md")):
        inside = False
        for line in page.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if not line.startswith("|"):
                inside = False
            elif cells[-1] == "test":
                inside = True
            elif inside and set(line) - set("|- "):
                yield f"{page.name}: {' '.join(cells[:-1])[:60]}", cells[-1]


@cache
def functions_of(file: str) -> frozenset[str]:
    path = ROOT / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("row", "named"), [pytest.param(*row, id=row[0]) for row in rows()])
def test_a_row_names_tests_that_exist(row: str, named: str) -> None:
    tests = NAMED.findall(named)
    assert tests, f"{row}: no test is named"
    assert [(file, name) for file, name in tests if name not in functions_of(file)] == []


def test_there_are_such_tables() -> None:
    assert any(row.startswith("formats.md") for row, _ in rows())
