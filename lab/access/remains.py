"""What is left of a lab that has ended: looked for where anything of it could still be.

A lab lives in namespaces of its own, and all that it made is in them (namespaces(7)).  So nothing is left
when no process and no mount holds one of them any more, and nobody holds its address.
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
    """The namespaces (``net:[4026532008]``) of all processes in the PID namespace of process ``member``, but
    those that the caller is in itself.

    They are kept for as long as the context lasts: the kernel gives the number of one that has gone to the
    next that is made, by whomever.
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
    """What is left of the lab ``name``, whose namespaces were ``held``, in words."""
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
    """All that run; who has ended and waits to be asked how (a zombie) has nothing any more."""
    numbers = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return (PROC / str(number) for number in numbers if state_of(number) not in ("", "Z", "X"))


def _spaces_of(process: Path) -> dict[str, str]:
    """Kind -> namespace of a process, as far as we may know."""
    spaces_of = {}
    for kind in KINDS:
        try:
            spaces_of[kind] = str((process / "ns" / kind).readlink())
        except OSError:
            continue
    return spaces_of
