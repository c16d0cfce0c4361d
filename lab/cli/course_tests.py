"""``sdnlab test-lab``: runs packet tests that a user has written for pytest (see ``lab.pytest_plugin``)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lab.failure import Exit, Failure

PLUGIN = "lab.pytest_plugin"
_START = "import sys; sys.path.pop(0); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
"""In place of ``-m pytest``, which searches the user's current folder for modules first."""


def test_lab(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DIR|FILE]...", help="Folders and files with tests. Default: this folder."),
    ] = None,
    only: Annotated[
        str, typer.Option("--keyword", "-k", metavar="WORDS", help="Only tests whose names match.")
    ] = "",
    first: Annotated[bool, typer.Option("--exitfirst", "-x", help="End at the first failure.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name each test.")] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML into this file.")
    ] = None,
) -> None:
    """Run packet tests, written as plain pytest files.

    A test file names its topology, whose lab starts and ends by itself. A test gets the fixtures lab, host
    and send_and_expect. 'pytest' runs the same files, with all of its options. Files of tests are called
    test_*.py. topologies/test_quickstart.py is an example.

    Exits 0 if all tests pass, 1 if one fails.

    Example: sdnlab test-lab topologies -k quickstart
    """
    _become_pytest(arguments(paths or [], only, first, verbose, junit))


def arguments(paths: list[str], only: str, first: bool, verbose: bool, junit: Path | None) -> list[str]:
    """The arguments of pytest. Raises Failure when there is no such folder or file."""
    for path in paths:
        if not Path(path.partition("::")[0]).exists():
            what = f"{path}: there is no such file or folder"
            raise Failure(what, "name a folder with files test_*.py")
    words = [] if _declared() else ["-p", PLUGIN]
    words += ["-k", only] if only else []
    words += ["-x"] if first else []
    words += ["-v"] if verbose else []
    words += [f"--junitxml={junit}"] if junit is not None else []
    # Where its own folder can't be written, as in an installed package, pytest would warn of its cache.
    return [*words, "-p", "no:cacheprovider", *paths]


def _declared() -> bool:
    """Whether the installation tells pytest of the plug-in: one that is older than the plug-in does not."""
    from importlib.metadata import entry_points

    return any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))


def _become_pytest(words: list[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execv(sys.executable, [sys.executable, "-c", _START, *words])
    except OSError as error:
        raise Failure(f"pytest can't be started: {error.strerror}", "", Exit.MACHINE) from None


COMMANDS = {"test-lab": test_lab}
