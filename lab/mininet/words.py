"""What a user means by the words after ``sdnlab mininet``. Pure, but for the look at files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab.failure import Exit, Failure

_PYTHON = re.compile(r"(?:.*/)?python[0-9.]*\Z")
_WITH_VALUE = ("-u", "-g", "-p", "-C", "-h")


def script_of(words: Sequence[str]) -> tuple[str, list[str]]:
    """(the script's file, its arguments). ``sudo python3 topo.py 3`` is ``topo.py 3``; ``mn`` is a script in
    the path. Raises Failure when there is no such file."""
    left = list(words)
    if left[:1] == ["sudo"]:
        left = _after_sudo(left[1:])
    if left and _PYTHON.match(left[0]):
        left = left[1:]
        while left and left[0] in ("-u", "-B", "-E", "-s", "-O"):
            left = left[1:]
    if not left:
        raise Failure(
            "no script is named", "sdnlab mininet SCRIPT [ARGS], such as: sdnlab mininet topo.py", Exit.USAGE
        )
    name, *arguments = left
    path = Path(name)
    if path.is_dir():
        raise Failure(f"{name} is a folder", "name the script in it")
    if not path.exists():
        program = shutil.which(name) if "/" not in name else None
        if program is None or not _is_python(Path(program)):
            raise Failure(f"{name}: there is no such file", _beside(path))
        name = program
    elif name.startswith("-"):
        name = f"./{name}"
    return name, arguments


def _after_sudo(words: list[str]) -> list[str]:
    while words and (words[0].startswith("-") or re.match(r"\w+=", words[0])):
        words = words[2:] if words[0] in _WITH_VALUE else words[1:]
    return words


def _is_python(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            return b"python" in file.readline(200)
    except OSError:
        return False


def _beside(path: Path) -> str:
    try:
        scripts = sorted(other.name for other in path.parent.glob("*.py"))[:6]
    except OSError:
        scripts = []
    return f"scripts there: {', '.join(scripts)}" if scripts else "name the script's file"
