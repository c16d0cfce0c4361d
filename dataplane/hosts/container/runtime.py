"""The container runtime (runc) as processes of the lab execute it.

Before it enters a container, runc makes sure that nothing in there can change its program (CVE-2019-5736): it
copies itself into sealed memory, each time, unless it runs from there already.  So a lab keeps one such copy
(memfd_create(2), fcntl(2) "File Sealing"), and all its processes execute that.  It is the supervisor's; the
others find it in /proc.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os

from dataplane.hosts.container.entrance import CONTAINERS, find

RECORD = CONTAINERS / "runtime"
"""The file that says where the copy is."""
F_ADD_SEALS, F_GET_SEALS = 1033, 1034  # linux/fcntl.h; Python 3.10 has no names for all seals
SEALS = 0x1 | 0x2 | 0x4 | 0x8  # SEAL, SHRINK, GROW, WRITE: as runc wants them
ENVIRONMENT = {"GOMAXPROCS": "1", "GOGC": "off", "GOMEMLIMIT": "64MiB"}
"""Variables of Go's runtime (package "runtime"): runc lives shortly and does one thing after another, so
threads and the collection of garbage cost a quarter of its time. With the limit it collects when it must."""


class NoRuntime(FileNotFoundError):
    """runc is not installed."""


def keep_copy() -> int:
    """Make the lab's copy, and note where it is; its descriptor. Raises OSError."""
    program = installed()
    fd = os.memfd_create("runc", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(program, "rb") as source:  # noqa: PTH123 - its descriptor is needed
            size = os.fstat(source.fileno()).st_size
            while (at := os.fstat(fd).st_size) < size and os.sendfile(fd, source.fileno(), at, size - at):
                pass
        fcntl.fcntl(fd, F_ADD_SEALS, SEALS)
        if fcntl.fcntl(fd, F_GET_SEALS) != SEALS or not os.access(path_of(fd), os.X_OK):
            raise OSError(errno.EACCES, "this kernel executes nothing from memory (vm.memfd_noexec)")
        CONTAINERS.mkdir(parents=True, exist_ok=True)
        aside = RECORD.with_suffix(".new")
        aside.write_text(f"/proc/{os.getpid()}/fd/{fd} {os.fstat(fd).st_ino}")
        aside.replace(RECORD)
    except BaseException:
        os.close(fd)
        raise
    return fd


def program() -> str:
    """The path by which the calling process, which is not the supervisor, executes the runtime.

    It is the lab's copy, or the installed program where that is not found. Raises NoRuntime.
    """
    with contextlib.suppress(OSError, ValueError):
        path, inode = RECORD.read_text().split()
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # In the /proc of another PID namespace it may be anything.
        if os.fstat(fd).st_ino == int(inode) and fcntl.fcntl(fd, F_GET_SEALS) == SEALS:
            return path_of(fd)
        os.close(fd)
    return installed()


def installed() -> str:
    """The path of the installed program. Raises NoRuntime."""
    if (program := find("runc")) is None:
        raise NoRuntime("runc is not installed")
    return program


def environment() -> dict[str, str]:
    """The variables of the runtime: it hands none of them to containers."""
    return {"PATH": os.environ.get("PATH", os.defpath), **ENVIRONMENT}


def path_of(fd: int) -> str:
    """The path by which a process that has the descriptor executes it."""
    return f"/proc/self/fd/{fd}"
