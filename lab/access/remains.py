"""Looks for remains of a lab that has ended, in all places where there could be any.

A lab is in namespaces of its own, with everything that it made (namespaces(7)).  So nothing remains when no
process and no mount holds one of these namespaces, and no process holds the lab's address.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from dataplane.sandbox.process_state import state_of
from lab.access import holders

KINDS = ("net", "mnt", "pid", "uts", "ipc", "user")
PROC = Path("/proc")


@contextlib.contextmanager
def spaces(member: int) -> Iterator[frozenset[str]]:
    """The namespaces (``net:[4026532008]``) of all processes in the PID namespace of process ``member``,
    without the caller's own.

    They stay open as long as the context lasts: the kernel may give the number of a closed namespace to a new
    one.
    """
    where = _spaces_of(PROC / str(member)).get("pid")
    ours = set(_spaces_of(PROC / "self").values())
    with contextlib.ExitStack() as kept:
        names: set[str] = set()
        for process in _processes():
            if _spaces_of(process).get("pid") != where:
                continue
            for kind in KINDS:
                with contextlib.suppress(OSError):
                    handle = os.open(process / "ns" / kind, os.O_RDONLY | os.O_CLOEXEC)
                    name = str(Path(f"/proc/self/fd/{handle}").readlink())
                    if name in names or name in ours:
                        os.close(handle)
                    else:
                        names.add(name)
                        kept.callback(os.close, handle)
        yield frozenset(names)


def remains(name: str, held: frozenset[str]) -> list[str]:
    """The remains of the lab ``name``, whose namespaces were ``held``, as texts."""
    leftovers = []
    for process in _processes():
        if held & set(_spaces_of(process).values()):
            leftovers.append(f"process {process.name}")
    mounts = (PROC / "self" / "mountinfo").read_text(errors="replace")
    leftovers += [f"a mount of {space}" for space in sorted(held) if space in mounts]
    if name in holders.running():
        leftovers.append(f"the address of {name}")
    return leftovers


def _processes() -> Iterator[Path]:
    """All running processes. Zombies are left out: they hold no namespace."""
    numbers = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return (PROC / str(number) for number in numbers if state_of(number) not in ("", "Z", "X"))


def _spaces_of(process: Path) -> dict[str, str]:
    """Kind -> namespace of a process, as far as we may read them."""
    spaces_of = {}
    for kind in KINDS:
        try:
            spaces_of[kind] = str((process / "ns" / kind).readlink())
        except OSError:
            continue
    return spaces_of
