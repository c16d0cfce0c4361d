"""Names and addresses of labs: pure functions, and one that reads /proc.

A lab listens on the abstract Unix socket ``\\0sdnlab/<uid>/<name>`` (with ``#1``, ``#2`` ... at the end if
another user has taken the address).  Binding it reserves the name atomically, the kernel frees it with the
process, and /proc/net/unix lists all of them.  So no registry can become outdated.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from lab.failure import Exit, Failure, unknown

RUN = Path("/run/sdnlab")
"""The folder of the supervisor's files inside a lab, on the sandbox's own tmpfs."""
CLOSING = "sdnlab-closing"
"""The name of a supervisor's process (proc(5), comm) while it writes the lab's storage out."""
_PREFIX = "sdnlab"
_LISTENING = 0x10000  # SO_ACCEPTCON, include/linux/net.h
_NAME = re.compile(r"[^\W_][\w.-]*")
OWNER = "SDNLAB_OWNER"
"""Environment: the user id whose labs are meant, set for processes inside a lab's user namespace."""
_NUMBER = re.compile(r"#[1-9][0-9]?\Z")
ADDRESSES = 16
"""How many addresses a lab may try, if other users have taken the first ones."""
MAX_NAME = 64
"""Longest name of a lab in bytes: an abstract address holds 107."""


def check_name(name: str) -> str:
    """``name``, if it is allowed as a lab's name; otherwise raises Failure with the rule."""
    if not _NAME.fullmatch(name) or len(name.encode()) > MAX_NAME:
        raise Failure(
            f"a lab can't be called {name!r}",
            f"use letters, digits, '-', '_' and '.', a letter or digit first, at most {MAX_NAME} bytes",
            Exit.USAGE,
        )
    return name


def name_from(text: str) -> str:
    """An allowed lab name similar to ``text`` (a topology's name may contain blanks, for example)."""
    cleaned = re.sub(r"[^\w.-]+", "-", text).strip("-._")
    return cleaned.encode()[:MAX_NAME].decode(errors="ignore").rstrip("-._") or "lab"


def owner() -> int:
    """The user id whose labs we use: the caller's. Inside a lab's user namespace, its id is another one."""
    said = os.environ.get(OWNER, "")
    return int(said) if said.isdigit() else os.getuid()


def address(name: str) -> str:
    """The usual abstract socket address (with its leading NUL) of the caller's lab ``name``."""
    return f"\0{_PREFIX}/{owner()}/{name}"


def addresses(name: str) -> list[str]:
    """The possible addresses of the caller's lab ``name``: the usual one, then its alternatives."""
    usual = address(name)
    return [usual, *(f"{usual}#{number}" for number in range(1, ADDRESSES))]


def listening(lines: Iterable[str], uid: int) -> list[str]:
    """Names of possible labs of this user in the lines of a /proc/net/unix (proc(5)), sorted.

    Only listening sockets count: accepted connections have the same address.  Names that are not allowed for
    labs are left out.  ``lab.access.holders`` checks to whom the others belong.
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
    """Names of possible labs of the caller (in this network namespace)."""
    try:
        text = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Failure(
            f"can't read /proc/net/unix: {error.strerror}", "is /proc mounted?", Exit.MACHINE
        ) from None
    return listening(text.split("\n"), owner())


def choose(named: str | None, names: list[str], default: str | None = None) -> str:
    """The lab to use: the named one, the default, or the only running one. Otherwise raises Failure."""
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
