"""What is imported is declared, what is declared is used, and CONTRIBUTING.md says what for."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
PRODUCT = tuple(SETTINGS["tool"]["importlinter"]["root_packages"])


USED_OTHERWISE = {
    "eventlet": ("controller/ryu/green.py", 'import_module("eventlet")'),
    "fissix": ("controller/ryu/python2.py", 'import_module("fissix.refactor")'),
    "rich": ("lab/cli/app.py", 'rich_markup_mode="rich"'),  # typer draws its help with it
    "setuptools": ("dataplane/mininet_view/net.py", "from mininet"),  # which imports distutils
    "click": ("tests/unit/lab/test_convert.py", ".stderr"),  # what runs commands is made of it
    "import-linter": ("lab/cli/selftest.py", '"lint-imports"'),
    "mypy": ("lab/cli/selftest.py", '"mypy"'),
    "pytest-xdist": ("lab/cli/selftest.py", '"-n"'),
    "ruff": ("lab/cli/selftest.py", '"ruff"'),
    "types-networkx": ("topologies/model/graph.py", "networkx"),  # mypy reads them
    "types-pyyaml": ("topologies/syntax/document.py", "yaml"),
}
"""Distributions that serve without an import of their own: where that is seen, and by which words."""


def distribution(requirement: str) -> str:
    """The normalised name of what a requirement asks for."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def declared(extra: str | None = None) -> set[str]:
    listed = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    return {distribution(requirement) for requirement in listed}


def statements(block: ast.AST) -> Iterator[ast.AST]:
    """All statements in a block. There are ten times as many expressions, which import nothing."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(block, part, ()):
            yield statement
            yield from statements(statement)


@cache
def imported(*folders: str) -> dict[str, str]:
    """Each third-party module that files below the folders import -> one of the places."""
    own = {*PRODUCT, "sdnlab", "tests", "bench"}
    places: dict[str, str] = {}
    for folder in folders:
        for file in (ROOT / folder).rglob("*.py"):
            for node in statements(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules = [node.module]
                else:
                    continue
                for module in modules:
                    top = module.partition(".")[0]
                    if top not in own and top not in sys.stdlib_module_names and top != "_typeshed":
                        places.setdefault(top, f"{file.relative_to(ROOT)}:{node.lineno}")
    return places


def distributions(modules: dict[str, str]) -> dict[str, str]:
    """Distribution -> place, of modules that are installed; others keep the module's name."""
    brings = packages_distributions()
    return {
        re.sub(r"[-_.]+", "-", name).lower(): place
        for module, place in modules.items()
        for name in brings.get(module, [module])[:1]
    }


@pytest.mark.parametrize(
    ("folders", "extras"), [(PRODUCT, ()), (("tests",), ("test",)), (("bench",), ("bench",))]
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    allowed = declared().union(*(declared(extra) for extra in extras))
    missing = {
        name: place for name, place in distributions(imported(*folders)).items() if name not in allowed
    }
    missing.pop("tomli", None)  # pytest brings it where Python has no tomllib
    if "/ryu" in missing.get("ryu", ""):
        del missing["ryu"]  # exercises and their solutions: the launcher maps the name to os-ken
    assert not missing, "declare these in pyproject.toml"


@pytest.mark.parametrize(("extra", "folders"), [(None, PRODUCT), ("test", ("tests",)), ("bench", ("bench",))])
def test_what_is_declared_is_used(extra: str | None, folders: tuple[str, ...]) -> None:
    unused = declared(extra) - distributions(imported(*folders)).keys()
    for name in unused & USED_OTHERWISE.keys():
        where, words = USED_OTHERWISE[name]
        place = ROOT / where
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        assert any(words in file.read_text(encoding="utf-8") for file in files), (
            f"{name}: no {words} in {where}"
        )
    assert unused <= USED_OTHERWISE.keys(), "remove these from pyproject.toml, or say here how they serve"


def test_contributing_says_what_each_is_for() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Dependencies\n")[2].partition("\n## ")[0]
    listed = {
        name for row in re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE) for name in row.split(", ")
    }
    assert {distribution(name) for name in listed if re.match(r"[a-z]", name)} - {"for"} == declared()


def test_every_package_is_installed_and_checked() -> None:
    tools = SETTINGS["tool"]
    stubs = "sdnlab-stubs"  # of the module sdnlab.py
    there = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench", "tests", stubs}
    assert set(PRODUCT) == there == set(tools["mypy"]["packages"])
    assert set(tools["setuptools"]["packages"]["find"]["include"]) == {f"{name}*" for name in there} | {stubs}
    modules = {path.stem for path in ROOT.glob("*.py")}
    assert modules == set(tools["setuptools"]["py-modules"]) == set(tools["mypy"]["modules"])


def test_the_stubs_have_what_the_module_has() -> None:
    def imported_names(file: str) -> set[str]:
        statements = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        return {ast.unparse(node) for node in statements if isinstance(node, ast.ImportFrom)}

    assert imported_names("sdnlab.py") == imported_names("sdnlab-stubs/__init__.pyi")
