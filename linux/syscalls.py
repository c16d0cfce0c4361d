"""System calls that Python 3.10 has no function for: namespaces, mounts, prctl, capabilities.

``os.unshare`` and ``os.setns`` came with Python 3.12; no version has ``mount``.  Each function
raises ``OSError`` with the kernel's errno.  ctypes releases the interpreter lock during a call, so
two threads can create namespaces at the same time.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import signal
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

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


# x86-64 has its own number (asm/unistd.h), other machines have the common one (asm-generic/unistd.h)
_SYS_PIVOT_ROOT = 155 if os.uname().machine == "x86_64" else 41


def pivot_root(root: str) -> None:
    """Make a mount the root and the current folder, and detach the old root (pivot_root(2))."""
    os.chdir(root)
    _check(_libc.syscall(ctypes.c_long(_SYS_PIVOT_ROOT), b".", b"."), "pivot_root")
    umount(".", MNT_DETACH)
    os.chdir("/")


def prctl(option: int, value: int | bytes, more: int | bytes = 0) -> None:
    """prctl(2). For an argument of octets, the kernel gets their address."""
    words = [
        argument if isinstance(argument, bytes) else ctypes.c_ulong(argument) for argument in (value, more)
    ]
    _check(_libc.prctl(option, *words, 0, 0), f"prctl {option}")


def die_with_parent(number: int) -> None:
    """Ask for signal ``number`` when the parent thread ends (PR_SET_PDEATHSIG); new credentials clear it."""
    prctl(PR_SET_PDEATHSIG, number)


def hang_up_with_parent() -> None:
    """Ask for SIGHUP when the parent thread ends; for SIGKILL where SIGHUP is ignored, as below nohup(1)."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    die_with_parent(signal.SIGKILL if ignored else signal.SIGHUP)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parents end (PR_SET_CHILD_SUBREAPER)."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Set the name that ps and top show (at most 15 bytes)."""
    prctl(PR_SET_NAME, name.encode()[:15])


def make_dumpable(dumpable: bool = True) -> None:
    """Let the process own its /proc/self again after a change of user id, which writing id maps needs; with
    False, only root owns it (PR_SET_DUMPABLE)."""
    prctl(PR_SET_DUMPABLE, int(dumpable))


def forbid_new_privileges() -> None:
    """A program that this process executes gets no more rights than the process has (PR_SET_NO_NEW_PRIVS)."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


_SYS_PIDFD_GETFD = 438  # the same on every architecture (asm-generic)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A duplicate of another process's descriptor (pidfd_getfd(2), Linux 5.6)."""
    result = _libc.syscall(ctypes.c_long(_SYS_PIDFD_GETFD), pidfd, fd, ctypes.c_uint(0))
    if result < 0:
        _check(-1, "pidfd_getfd")
    return int(result)


_NS_GET_USERNS = 0xB701  # ioctl_ns(2)


def owner_of(namespace: int) -> int:
    """The user namespace that owns a namespace; both as descriptors (ioctl_ns(2))."""
    owner = fcntl.ioctl(namespace, _NS_GET_USERNS)
    os.set_inheritable(owner, False)
    return owner


_CAPABILITY_VERSION_3 = 0x20080522


def drop_from_bounding_set(capability: int) -> bool:
    """Remove a capability for good (PR_CAPBSET_DROP); False: the kernel has no capability of that number."""
    if _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) == 0:
        return True
    if ctypes.get_errno() != errno.EINVAL:
        _check(-1, "prctl")
    return False


def set_capabilities(mask: int) -> None:
    """Have these capabilities (one bit each), and inherit none (capset(2))."""
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)), "capset")


def keep_capabilities(kept: frozenset[int]) -> None:
    """Remove all other capabilities for good: a program that is executed can't get them back."""
    for number in range(64):
        if number not in kept and not drop_from_bounding_set(number):
            break  # after the last one that this kernel has
    set_capabilities(sum(1 << number for number in kept))


_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_FLAGS = {"ro": MS_RDONLY, "nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC}


def copy_tree(path: str) -> int:
    """A copy of the mounts at a folder and below it, for ``attach_tree``; a descriptor (open_tree(2))."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    result = _libc.syscall(ctypes.c_long(_SYS_OPEN_TREE), _AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags))
    if result < 0:
        _check(-1, "open_tree")
    return int(result)


def attach_tree(tree: int, path: str) -> None:
    """Mount the copy of ``copy_tree``, even in another mount namespace (move_mount(2))."""
    flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    call = _libc.syscall(ctypes.c_long(_SYS_MOVE_MOUNT), tree, b"", _AT_FDCWD, os.fsencode(path), flags)
    _check(call, f"move_mount to {path}")


_AT_EMPTY_PATH = 0x1000
_MOUNT_ATTR_IDMAP = 0x100000


def map_ids(tree: int, users: int) -> None:
    """Show the files of the copy of ``copy_tree`` with the owners that the user namespace ``users`` maps
    theirs to (mount_setattr(2), Linux 5.12)."""
    attributes = struct.pack("=4Q", _MOUNT_ATTR_IDMAP, 0, 0, users)
    flags = ctypes.c_uint(_AT_EMPTY_PATH | _AT_RECURSIVE)
    arguments = (ctypes.c_long(_SYS_MOUNT_SETATTR), tree, b"", flags, attributes)
    _check(_libc.syscall(*arguments, ctypes.c_size_t(len(attributes))), "mount_setattr")


def make_unchangeable(path: str, flags: int = MS_RDONLY | MS_NOSUID) -> None:
    """Give these flags (MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC) to all mounts at ``path`` and below it, in
    this mount namespace; by default read-only and without set-user-ID.

    mount_setattr(2); before Linux 5.12 mount by mount.
    """
    attributes = struct.pack("=4Q", flags, 0, 0, 0)  # the values of MOUNT_ATTR_* are the same
    arguments = (_AT_FDCWD, os.fsencode(path), ctypes.c_uint(_AT_RECURSIVE), attributes)
    call = _libc.syscall(ctypes.c_long(_SYS_MOUNT_SETATTR), *arguments, ctypes.c_size_t(len(attributes)))
    if call == 0:
        return
    if ctypes.get_errno() != errno.ENOSYS:
        _check(-1, f"mount_setattr {path}")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:  # noqa: PTH123
        rows = [line.split(" ") for line in table]
    for target, has in below(rows, path):
        mount("none", target, None, has | flags | MS_BIND | MS_REMOUNT)


def below(rows: Iterable[Sequence[str]], path: str) -> list[tuple[str, int]]:
    """(mount point, its MS_ flags) of each mount at ``path`` and below it. ``rows``: of mountinfo (proc(5)),
    split into words."""
    mounts = []
    for row in rows:
        target = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), row[4])
        if target == path or target.startswith(path.rstrip("/") + "/"):
            mounts.append((target, sum(_MOUNT_FLAGS.get(word, 0) for word in row[5].split(","))))
    return mounts
