"""Names of labs and where a running lab is found: pure functions plus one read of /proc.

A lab listens on the abstract Unix socket ``\\0sdnlab/<uid>/<name>`` (with ``#1``, ``#2`` ... after it where
somebody else has taken that).  Binding it reserves the name
atomically, the kernel drops it with the process, and /proc/net/unix lists all of them: there is no
registry that could disagree with what really runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from lab.failure import Exit, Failure, unknown

RUN = Path("/run/sdnlab")
"""Inside a lab: the supervisor's files, on the sandbox's own tmpfs."""
_PREFIX = "sdnlab"
_LISTENING = 0x10000  # SO_ACCEPTCON, include/linux/net.h
_NAME = re.compile(r"[^\W_][\w.-]*")
OWNER = "SDNLAB_OWNER"
"""Environment: the user id whose labs are meant, set for processes inside a lab's user namespace."""
_NUMBER = re.compile(r"#[1-9][0-9]?\Z")
ADDRESSES = 16
"""How many addresses a lab may have: others can take one, and are passed over."""
MAX_NAME = 64
"""Longest name of a lab in bytes: an abstract address holds 107."""


def check_name(name: str) -> str:
    """``name`` itself when a lab may be called so; raises Failure that says what is allowed."""
    if not _NAME.fullmatch(name) or len(name.encode()) > MAX_NAME:
        raise Failure(
            f"a lab can't be called {name!r}",
            f"use letters, digits, '-', '_' and '.', a letter or digit first, at most {MAX_NAME} bytes",
            Exit.USAGE,
        )
    return name


def name_from(text: str) -> str:
    """The nearest allowed lab name to ``text`` (a topology's name may hold blanks, say)."""
    cleaned = re.sub(r"[^\w.-]+", "-", text).strip("-._")
    return cleaned.encode()[:MAX_NAME].decode(errors="ignore").rstrip("-._") or "lab"


def owner() -> int:
    """Whose labs we deal with: the caller's, who may have entered a lab's user namespace since."""
    said = os.environ.get(OWNER, "")
    return int(said) if said.isdigit() else os.getuid()


def address(name: str) -> str:
    """The usual abstract socket address (with its leading NUL) of the caller's lab ``name``."""
    return f"\0{_PREFIX}/{owner()}/{name}"


def addresses(name: str) -> list[str]:
    """Where the caller's lab ``name`` may be: its usual address, and those for when others have taken it."""
    usual = address(name)
    return [usual, *(f"{usual}#{number}" for number in range(1, ADDRESSES))]


def listening(lines: Iterable[str], uid: int) -> list[str]:
    """Names that somebody claims for labs of the user's in the lines of a /proc/net/unix (proc(5)), sorted.

    Only listening sockets count: accepted connections carry the same address.  What no lab can be called is
    no lab; whose the others are, ``lab.access.holders`` asks.
    """
    start = f"@{_PREFIX}/{uid}/"
    names = set()
    for line in lines:
        fields = line.rstrip("\n").split(maxsplit=7)
        if len(fields) == 8 and fields[7].startswith(start):
            try:
                flags = int(fields[3], 16)
            except ValueError:
                continue
            name = _NUMBER.sub("", fields[7][len(start) :])
            if flags & _LISTENING and _NAME.fullmatch(name) and len(name.encode()) <= MAX_NAME:
                names.add(name)
    return sorted(names)


def claimed() -> list[str]:
    """Names of what may be labs of the caller's (those in this network namespace)."""
    try:
        text = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Failure(
            f"can't read /proc/net/unix: {error.strerror}", "is /proc mounted?", Exit.MACHINE
        ) from None
    return listening(text.split("\n"), owner())


def choose(named: str | None, names: list[str], default: str | None = None) -> str:
    """Which lab is meant: the named one, the default, or the only one that runs. Raises Failure otherwise."""
    if named is None and default in names:
        return str(default)
    if named is not None:
        if named in names:
            return named
        if not names:
            raise Failure(f"no lab named {named!r} is running", "no lab is running")
        raise unknown("lab", named, names, "running now", " is running")
    if len(names) == 1:
        return names[0]
    if not names:
        raise Failure("no lab is running", "start one: sdnlab up topologies/quickstart.yaml -d")
    raise Failure(
        f"{len(names)} labs are running: {', '.join(names)}", "name one with --lab NAME", Exit.USAGE
    )
