"""Continues commands in a lab that a user has suspended (Ctrl-Z, SIGSTOP), so that the lab can end.

A command that ``exec`` runs is a child of the ``sdnlab exec`` outside. When the lab ends, the kernel kills
the command. The lab's PID namespace ends only when each of its processes was waited for (pid_namespaces(7)),
and a stopped ``sdnlab exec`` does not wait for its child.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from pathlib import Path

_NS_GET_PARENT = 0xB702  # ioctl_ns(2)


def go_on(init: int) -> list[int]:
    """Continue the stopped processes outside that have children in the PID namespace of ``init``, or in one
    below it (a host's). Returns their ids.

    Their commands were killed with the lab, so these processes only report it and end.
    """
    space = _spaces(init)[:1]
    woken = []
    for parent in _parents_outside(space[0]) if space else ():
        if _state(parent) == "T":
            with contextlib.suppress(OSError):
                os.kill(parent, signal.SIGCONT)
                woken.append(parent)
    return woken


def _parents_outside(space: int) -> set[int]:
    parents = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and space in _spaces(int(entry.name)):
            parent = _parent(int(entry.name))
            if parent > 1 and space not in _spaces(parent):
                parents.add(parent)
    return parents


def _spaces(pid: int) -> list[int]:
    """A process's PID namespace and those above it, as far as they are visible from here."""
    inodes: list[int] = []
    try:
        at = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return inodes
    while at >= 0:
        inodes.append(os.fstat(at).st_ino)
        try:
            above = fcntl.ioctl(at, _NS_GET_PARENT)
        except OSError:  # ours is the last
            above = -1
        os.close(at)
        at = above
    return inodes


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
