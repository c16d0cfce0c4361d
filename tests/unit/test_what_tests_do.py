"""Tests use the product as others do: they read and replace nothing private, and edit no path of imports.

They also don't sleep: whoever waits, waits for something (``tests.waiting``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.unit.test_imports import PRODUCT

TESTS = Path(__file__).resolve().parents[1]
PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace", "_repr_html_", "_repr_svg_"}
"""What is meant for everybody, though it begins with ``_``: by the standard library (os, collections), and
what notebooks ask objects for (IPython)."""
OWN = {"self", "cls"}
REPLACING = {"setattr", "delattr", "getattr", "hasattr", "patch"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def private(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Private names of the product that are imported, read or replaced: (line, what)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner not in OWN and owner != "tempfile":
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PRODUCT:
            names = [*(node.module or "").split("."), *(name.name for name in node.names)]
            yield from ((node.lineno, name) for name in names if is_private(name))
        elif isinstance(node, ast.Call) and called(node) in REPLACING:
            words = [word.value for word in node.args if isinstance(word, ast.Constant)]
            for word in words:
                if isinstance(word, str) and any(map(is_private, word.split("."))):
                    yield node.lineno, word


def called(call: ast.Call) -> str | None:
    """The last part of the name of what is called."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def named(tree: ast.AST, *names: str) -> Iterator[tuple[int, str]]:
    last = {name.rpartition(".")[2] for name in names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in last and ast.unparse(node) in names:
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            imported = {f"{node.module}.{name.name}" for name in node.names} & set(names)
            yield from ((node.lineno, name) for name in imported)


@cache
def uses() -> tuple[list[str], list[str]]:
    """Of all files of tests: what is private, and what edits the path of imports or sleeps."""
    hidden, forbidden = [], []
    for path in sorted(TESTS.rglob("*.py")):
        tree, name = ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(TESTS.parent))
        hidden += [f"{name}:{line}: {what}" for line, what in private(tree)]
        if name != "tests/waiting.py":
            forbidden += [f"{name}:{line}: {what}" for line, what in named(tree, "time.sleep", "sys.path")]
    return hidden, forbidden


def test_what_is_private_is_found() -> None:
    source = """
from lab.start import _hidden
thing._private(1)
self._own, box.__dict__, os._exit(0), pair._replace(a=1)
monkeypatch.setattr(module, "_name", 1)
monkeypatch.setattr("a.b._c", 1)
monkeypatch.setattr(module, "public", 1)
"""
    assert sorted(private(ast.parse(source))) == [
        (2, "_hidden"), (3, "thing._private"), (5, "_name"), (6, "a.b._c"),
    ]  # fmt: skip
    slow = "import time, sys\nfrom time import sleep\ntime.sleep(1)\nsys.path.insert(0, '')\n"
    assert [line for line, _ in named(ast.parse(slow), "time.sleep", "sys.path")] == [2, 3, 4]


def test_tests_touch_nothing_private_of_the_product() -> None:
    assert not uses()[0], "inject what the test needs, or let it be public"


def test_tests_edit_no_path_of_imports_and_wait_for_conditions() -> None:
    assert not uses()[1]
