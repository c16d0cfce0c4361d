"""Starts processes of our own that do what a user's program can't, or what the command line does already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.failure import Exit, Failure

ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path[0] = sys.argv.pop(1); from {} import main; main()"
"""In place of ``-m``, which searches the user's current folder for our modules first."""


def words(module: str, *arguments: str) -> list[str]:
    """The arguments of a process that runs ``main`` of a module of ours."""
    return [sys.executable, "-c", _START.format(module), str(ROOT), *arguments]


def command_line(*arguments: str) -> list[str]:
    """The arguments of a process that runs a command of ``sdnlab``."""
    return words("lab.cli", *arguments)


def ask(arguments: Sequence[str], lab: str, given: str | None = None) -> Any:
    """The JSON answer of a command about a running lab. Raises Failure with its failure."""
    done = subprocess.run(
        command_line(*arguments, "--lab", lab, "--json"),
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        env=environment(),
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise failure_of(done.stderr, done.returncode) from None
    if isinstance(answer, dict) and "failed" in answer:
        raise Failure(answer["failed"], answer["remedy"], Exit(answer["code"]))
    return answer


def failure_of(errors: str, code: int) -> Failure:
    """The failure that a command has written to its standard error."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    what = lines[0].removeprefix("sdnlab: ") if lines else f"a command of sdnlab ended with code {code}"
    return Failure(
        what, "\n".join(lines[1:]), Exit(code) if code in Exit.__members__.values() else Exit.FAILED
    )


def environment() -> dict[str, str]:
    """The environment of these processes: plain text, and no lab by default."""
    return {key: value for key, value in os.environ.items() if key != "SDNLAB"} | {"NO_COLOR": "1"}
