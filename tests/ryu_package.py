"""PyPI's ryu 4.34 in a folder of its own: where tests take its apps from, unmodified.

It is built once, with a setuptools that still can. ``python -m tests.ryu_package`` builds it, and says where.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

VERSION = "4.34"
_OLD_BUILD = ("setuptools<68", "wheel", "pbr")


class Unreachable(Exception):
    """It can't be built here; its text says why."""


def home() -> Path:
    """The folder of the environment that has it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return Path(cache) / "sdnlab" / "tests" / f"ryu-{VERSION}-{python}"


def build() -> Path:
    """Build it unless it is there; the folder of its package ``ryu``. Raises ``Unreachable``."""
    folder = home()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "built"
        if not done.exists():
            venv.create(folder, with_pip=True, clear=True)
            for words in (_OLD_BUILD, ("--no-deps", "--no-build-isolation", f"ryu=={VERSION}")):
                _pip(folder, *words)
            done.touch()
    return next(folder.glob("lib/python3*/site-packages/ryu"))


def _pip(folder: Path, *words: str) -> None:
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--retries", "1", *words]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        raise Unreachable("PyPI does not answer") from None
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or ["no reason given"]
        raise Unreachable(f"ryu {VERSION} can't be built: {lines[-1]}")


def package() -> Path:
    """The folder of the package ``ryu``, for a test: it is skipped where PyPI can't be reached."""
    try:
        return build()
    except Unreachable as problem:
        pytest.skip(str(problem))


if __name__ == "__main__":
    print(build())
