"""Puts a process into a sandbox: it keeps its open descriptors, and can read Python's own files only.

The sandbox has several independent barriers: namespaces of its own (an empty network, no other process, only
Python's libraries mounted, read-only), no capabilities and no way to get any, limits, and a filter of system
calls.
"""

from __future__ import annotations

import os
import resource
import sys

from linux import syscalls
from nfv.python_function import seccomp

MEMORY = 768 << 20
"""Bytes of address space."""
FILES = 32
NOBODY = 65534
NAMESPACES = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)


def visible_directories() -> list[str]:
    """The directories that stay: those of Python's modules, and of shared libraries."""
    multiarch = getattr(sys.implementation, "_multiarch", "")
    libraries = [f"{base}/lib{tail}" for base in ("", "/usr") for tail in ("64", f"/{multiarch}")]
    own = __file__.rpartition("/nfv/")[0]
    wanted = [
        directory for directory in sys.path if directory.startswith("/") and directory != own
    ] + libraries
    directories: list[str] = []
    for directory in sorted(set(wanted)):  # a directory before those in it
        if os.path.isdir(directory) and not any(directory.startswith(f"{other}/") for other in directories):  # noqa: PTH112
            directories.append(directory)
    return directories


def leave(user: int, group: int) -> None:
    """Enter new namespaces (the PID namespace is for the next child). Raises OSError if the system forbids
    it."""
    syscalls.unshare(NAMESPACES)
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {user} 1"),
        ("gid_map", f"{NOBODY} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
            file.write(content)


def lock(root: str, keep: set[int]) -> None:
    """Close the sandbox. ``root``: an empty directory for the new root; ``keep``: descriptors that stay.

    Raises OSError if a barrier can't be set up; then no user's code may run.
    """
    _see_only(root, visible_directories())
    _keep_only(keep)
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    syscalls.make_dumpable(False)
    syscalls.keep_capabilities(frozenset())
    syscalls.forbid_new_privileges()
    seccomp.forbid_calls()


def _see_only(root: str, directories: list[str]) -> None:
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount(
        "tmpfs",
        root,
        "tmpfs",
        syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC,
        "size=64k,mode=755",
    )
    for directory in directories:
        os.makedirs(root + directory, exist_ok=True)  # noqa: PTH103
        syscalls.mount(directory, root + directory, None, syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.make_unchangeable(root, syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV)
    syscalls.pivot_root(root)


def _keep_only(keep: set[int]) -> None:
    """Redirect descriptors 0 to 2 to /dev/null, and close all others that are not kept."""
    reader, writer = os.pipe()
    os.close(writer)
    for fd in (0, 1, 2):
        if fd not in keep:
            os.dup2(reader, fd)
    last = 2
    for fd in sorted(fd for fd in keep if fd > 2):
        os.closerange(last + 1, fd)
        last = fd
    os.closerange(last + 1, 65536)
