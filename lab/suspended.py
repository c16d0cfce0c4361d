"""Commands in a lab that somebody has suspended (Ctrl-Z, SIGSTOP): they must not keep the lab from ending.

A command that ``exec`` runs is a child of the ``sdnlab exec`` outside. When the lab ends the kernel kills it,
and the lab's process namespace is only gone once each of its processes was waited for (pid_namespaces(7));
who is stopped waits for nobody.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def go_on(init: int) -> list[int]:
    """Continue the stopped processes outside that have children in the process namespace of ``init``; which.

    Their commands have been killed with the lab, so all they do is to say so and end.
    """
    space = _space(init)
    woken = []
    for parent in _parents_outside(space) if space else ():
        if _state(parent) == "T":
            with contextlib.suppress(OSError):
                os.kill(parent, signal.SIGCONT)
                woken.append(parent)
    return woken


def _parents_outside(space: str) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _space(int(entry.name)) == space:
            parent = _parent(int(entry.name))
            if parent > 1 and _space(parent) != space:
                found.add(parent)
    return found


def _space(pid: int) -> str:
    """The name of a process's process namespace; empty when it can't be seen."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _state(pid: int) -> str:
    return (_fields(pid) or [""])[0]


def _parent(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[1]) if len(fields) > 1 else 0
