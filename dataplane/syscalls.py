"""System calls that Python 3.10 lacks: unshare, setns, mount, umount2, prctl.

``os.unshare`` and ``os.setns`` came with Python 3.12; ``mount`` is in no version.  Each function
raises ``OSError`` with the kernel's errno.  ctypes releases the interpreter lock during a call, so
two threads that create namespaces really run side by side.
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones (unshare(2)); the calling thread only."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flags: int = 0) -> None:
    """Enter the namespace that ``fd`` refers to (setns(2)); the calling thread only."""
    _check(_libc.setns(fd, flags), "setns")


def mount(
    source: str, target: str, fstype: str | None = None, flags: int = 0, data: str | None = None
) -> None:
    """mount(2)."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        fstype.encode() if fstype else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount {fstype or 'bind'} on {target}")


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def die_with_parent(signal: int) -> None:
    """Ask for ``signal`` when the parent thread ends (PR_SET_PDEATHSIG); new credentials clear it."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0), "prctl")


def name_process(name: str) -> None:
    """Set the name that ps and top show (at most 15 bytes)."""
    _check(_libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl")


def make_dumpable() -> None:
    """Own one's /proc/self again after a change of user id (prctl PR_SET_DUMPABLE), as id maps need it."""
    _check(_libc.prctl(PR_SET_DUMPABLE, ctypes.c_ulong(1), 0, 0, 0), "prctl")


_SYS_PIDFD_GETFD = 438  # the same on every architecture (asm-generic)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A duplicate of another process's descriptor (pidfd_getfd(2), Linux 5.6)."""
    result = _libc.syscall(ctypes.c_long(_SYS_PIDFD_GETFD), pidfd, fd, ctypes.c_uint(0))
    if result < 0:
        _check(-1, "pidfd_getfd")
    return int(result)
