"""System calls that Python has no function for.

Numbers are of asm/unistd.h: x86-64's own, and the common ones that aarch64 and riscv64 use.
"""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x1000, 0x4000, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
SIGKILL = 9
MOUNT_SETATTR = 442
AT_RECURSIVE = 0x8000

_libc = ctypes.CDLL(None, use_errno=True)

# name: (x86-64, common)
NUMBERS = {"pivot_root": (155, 41), "capset": (126, 91)}


def number(name: str) -> int:
    """A call's number on this machine."""
    return NUMBERS[name][0 if os.uname().machine == "x86_64" else 1]


def _check(result: int, what: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    words = [source.encode(), target.encode(), kind.encode() if kind else None]
    _check(
        _libc.mount(*words, ctypes.c_ulong(flags), data.encode() if data else None),
        f"mount {source} on {target}",
    )


def read_only(target: str) -> None:
    """Make a mount and all below it read-only, without devices and set-user-id programs
    (mount_setattr(2), Linux 5.12)."""
    attributes = struct.pack("=QQQQ", 1 | 2 | 4, 0, 0, 0)
    _check(
        _libc.syscall(MOUNT_SETATTR, -100, target.encode(), AT_RECURSIVE, attributes, len(attributes)),
        f"mount_setattr {target}",
    )


def pivot_root(root: str) -> None:
    """Make ``root`` the root, and let go of the old one."""
    os.chdir(root)
    _check(_libc.syscall(number("pivot_root"), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def prctl(option: int, value: int = 0, more: int | bytes = 0) -> None:
    """prctl(2)."""
    last = more if isinstance(more, bytes) else ctypes.c_ulong(more)
    _check(_libc.prctl(option, ctypes.c_ulong(value), last, 0, 0), f"prctl {option}")


def drop_capabilities() -> None:
    """Have none, and get none (capabilities(7))."""
    for each in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(each), 0, 0, 0) != 0:
            break
    header = struct.pack("=Ii", 0x20080522, 0)
    _check(_libc.syscall(number("capset"), header, bytes(24)), "capset")
    prctl(PR_SET_NO_NEW_PRIVS, 1)
