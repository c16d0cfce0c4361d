"""The user namespace of a lab's hosts. Their root has no rights on the machine and over the lab.

Root in a user namespace has all capabilities over namespaces that the user namespace owns, and none over
others (user_namespaces(7)).  This user namespace owns the hosts' network namespaces and nothing else.  So
root in a host configures its own devices, and can change neither the switches nor the machine.  ``maps``
decides which user of the machine it is for files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from linux import syscalls

RANGE = 0x7D000000
"""The first of the user and group ids that hosts have where the lab is started by root. It is beyond what
useradd (login.defs(5)) and /etc/subuid hand out, so these ids own nothing on any machine."""
WIDTH = 65536
NOBODY = 65534


@dataclass(frozen=True)
class Map:
    """Lines of uid_map and gid_map (user_namespaces(7)): id inside, id outside, how many."""

    users: str
    groups: str


def extents(text: str) -> list[tuple[int, int]]:
    """(first id, count) of the ids that there are, by the text of a /proc/PID/uid_map."""
    rows = (line.split() for line in text.splitlines())
    return [(int(row[0]), int(row[2])) for row in rows if len(row) == 3]


def _covers(having: Iterable[tuple[int, int]], first: int, count: int) -> bool:
    return any(start <= first and first + count <= start + length for start, length in having)


def candidate_maps(users: str, groups: str, environment: Mapping[str, str]) -> list[Map]:
    """The maps to try, the best first. ``users``, ``groups``: /proc/self/uid_map and gid_map of the lab.

    An ordinary user's lab has only the user's id, and hosts use it.  Root's lab gives hosts ids that own
    nothing. With sudo, the hosts' root gets the rights of the user who called sudo (SUDO_UID), for that
    user's files.
    """
    own_users, own_groups = extents(users), extents(groups)
    candidates = []
    if _covers(own_users, RANGE, WIDTH) and _covers(own_groups, RANGE, WIDTH):
        caller, group = environment.get("SUDO_UID", ""), environment.get("SUDO_GID", "")
        if caller.isdecimal() and group.isdecimal() and int(caller) and int(group):
            rest = f"1 {RANGE + 1} {WIDTH - 1}"
            candidates.append(Map(f"0 {int(caller)} 1\n{rest}", f"0 {int(group)} 1\n{rest}"))
        candidates.append(Map(f"0 {RANGE} {WIDTH}", f"0 {RANGE} {WIDTH}"))
    if _covers(own_users, NOBODY, 1) and _covers(own_groups, NOBODY, 1):
        candidates.append(Map(f"0 {NOBODY} 1", f"0 {NOBODY} 1"))
    return [*candidates, Map("0 0 1", "0 0 1")]


def create() -> int:
    """Make the hosts' user namespace; an open descriptor of it. Raises OSError if the system refuses."""
    wanted = candidate_maps(
        Path("/proc/self/uid_map").read_text(), Path("/proc/self/gid_map").read_text(), os.environ
    )
    ready, ready_writer = os.pipe()
    wait, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        with contextlib.suppress(OSError):
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            os.write(ready_writer, b"!")
            os.read(wait, 1)  # until the parent has opened it, or is gone
        os._exit(0)
    try:
        os.close(ready_writer)
        if not os.read(ready, 1):
            raise PermissionError("no user namespace for the lab's hosts (see user.max_user_namespaces)")
        for number, candidate in enumerate(wanted, 1):
            try:
                _write(child, candidate)
                break
            except OSError:
                if number == len(wanted):
                    raise
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for fd in (ready, wait, go):
            os.close(fd)
        os.waitpid(child, 0)


def _write(pid: int, ids: Map) -> None:
    if len(ids.groups.splitlines()) == 1 and ids.groups.endswith(" 1"):
        with contextlib.suppress(OSError):  # inherited, where it is so already
            Path(f"/proc/{pid}/setgroups").write_text("deny")
    Path(f"/proc/{pid}/gid_map").write_text(ids.groups)
    Path(f"/proc/{pid}/uid_map").write_text(ids.users)
