"""How a process gets to run the container runtime: in the container's control groups, as the hosts' root."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linux import syscalls

CONTAINERS = Path("/run/containers")
"""The folder, in the sandbox, with a folder for each container."""
NAME = "host"
"""The name of the container for the runtime, which has a folder of its own for each."""
JOIN = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"'
"""A script that joins the control groups before ``--`` (cgroups(7): 0 is the writer), and runs the rest."""


@dataclass(frozen=True)
class Files:
    """The files of one container. ``base``: their folder."""

    base: Path

    @property
    def state(self) -> Path:
        """The runtime's own folder; it belongs to the hosts' root."""
        return self.base / "state"

    @property
    def bundle(self) -> Path:
        return self.base / "bundle"

    @property
    def own(self) -> Path:
        """Files that the host has of its own."""
        return self.base / "files"

    @property
    def users(self) -> Path:
        """The hosts' user namespace (namespaces(7)); there is none where it is the lab's own."""
        return self.base / "users"

    @property
    def pid(self) -> Path:
        """The process id of the container's first process, in the lab's PID namespace."""
        return self.state / "pid"

    @property
    def groups(self) -> Path:
        """The control groups' files that a new process joins by, one a line."""
        return self.base / "groups"

    def joined(self) -> list[str]:
        """The lines of ``groups``."""
        try:
            return self.groups.read_text().splitlines()
        except FileNotFoundError:
            return []

    def alive(self) -> int | None:
        """The process id of the first process, if it runs."""
        try:
            pid = int(self.pid.read_text())
            return pid if Path(f"/proc/{pid}/ns/pid").exists() else None
        except (OSError, ValueError):
            return None


def files_of(netns: str) -> Files:
    """The files of the container whose namespace this is."""
    return Files(CONTAINERS / netns)


def find(program: str) -> str | None:
    """The path of a program of the machine, also of one for administrators."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")


def entering(groups: Sequence[str], users: str, words: Sequence[str], preserve: bool) -> list[str]:
    """The arguments of a program that runs ``words`` in these control groups and this user namespace.

    ``users``: empty: no other one. ``preserve``: the lab's root is the hosts' root already.
    """
    enter = ["nsenter", f"--user={users}", *(["--preserve-credentials"] if preserve else []), "--"]
    run = [*(enter if users else []), *words]
    return ["/bin/sh", "-c", JOIN, "sh", *groups, "--", *run] if groups else run


def become_hosts_root(files: Files) -> None:
    """Move the calling process, which has one thread, into the container's control groups and the hosts' user
    namespace. Raises OSError."""
    for group in files.joined():
        Path(group).write_text("0")
    if files.users.exists():
        users = os.open(files.users, os.O_RDONLY | os.O_CLOEXEC)
        syscalls.setns(users, syscalls.CLONE_NEWUSER)
        os.close(users)
        with contextlib.suppress(OSError):  # forbidden where one id alone is mapped
            os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
