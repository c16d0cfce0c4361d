"""The system calls that a user's function may use: only those that Python's interpreter needs.

It is an allow-list for seccomp(2), in classic BPF over ``struct seccomp_data`` (linux/seccomp.h).  Every
other call is refused, also new calls of later kernels.  Numbers are those of asm/unistd.h: x86-64's own, and
the common ones (asm-generic) of aarch64 and riscv64.
"""

from __future__ import annotations

import ctypes
import os
import struct

from linux.syscalls import PR_SET_SECCOMP, prctl

# name: (x86-64, common); None: the machine has no such call
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # frames, messages, open files; the mounts decide which files can be opened
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "open": (2, None), "openat": (257, 56), "close": (3, 57), "close_range": (436, 436),
    "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "lseek": (8, 62), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, None), "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    "recvfrom": (45, 207), "getsockopt": (55, 209),
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216), "brk": (12, 214),
    "madvise": (28, 233), "membarrier": (324, 283),
    # time and chance
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "getrandom": (318, 278),
    "getitimer": (36, 102), "setitimer": (38, 103), "alarm": (37, None), "times": (100, 153),
    # itself
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
    "futex": (202, 98), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "rseq": (334, 293),
    "set_robust_list": (273, 99), "set_tid_address": (218, 96), "arch_prctl": (158, None),
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "uname": (63, 160),
    "getrlimit": (97, 163), "getrusage": (98, 165), "sysinfo": (99, 179),
}  # fmt: skip
SENDTO, FCNTL = (44, 206), (72, 25)
"""Allowed with certain arguments only."""
ADDRESS = 4
"""sendto's address argument; it could name another device than that of the socket."""
FCNTL_COMMANDS = (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC: none changes state that another process shares."""
NEWEST = 462
"""The newest call that was known when this list was made (Linux 6.10's mseal). A later call gives ENOSYS, and
the C library then uses an older one."""
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
"""Machine name (uname) -> AUDIT_ARCH of linux/audit.h."""
KILL, EPERM, ENOSYS, ALLOW = 0x80000000, 0x00050001, 0x00050026, 0x7FFF0000
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
X32 = 0x40000000

Step = tuple[int, int, int, int]


class Unfiltered(OSError):
    """This machine's system calls can't be filtered."""


def allowed_filter(machine: str, pointer_bytes: int = 8) -> bytes:
    """The seccomp program for a machine (its uname name, and the size of our pointers in bytes).

    Raises ``Unfiltered`` for a machine whose calls we don't know: there is no safe filter for it.
    """
    if machine not in ARCHITECTURES or pointer_bytes != 8:
        raise Unfiltered(
            f"system calls can't be filtered on {machine} with {pointer_bytes * 8}-bit programs;"
            f" known are 64-bit programs on {', '.join(ARCHITECTURES)}"
        )
    column = 0 if machine == "x86_64" else 1
    refuse: Step = (RETURN, 0, 0, EPERM)
    allow: Step = (RETURN, 0, 0, ALLOW)
    program: list[Step] = [
        (LOAD, 0, 0, 4),  # the architecture of this very call
        (EQUAL, 1, 0, ARCHITECTURES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),  # the call's number
        (AT_LEAST, 0, 1, X32),  # x86-64's calls with 32-bit pointers, numbered on their own
        refuse,
        (AT_LEAST, 0, 1, NEWEST + 1),
        (RETURN, 0, 0, ENOSYS),
    ]
    for numbers in ALLOWED.values():
        number = numbers[column]
        if number is not None:
            program += [(EQUAL, 0, 1, number), allow]
    program += _when(SENDTO[column], [*_zero(ADDRESS), allow, refuse])
    program += _when(FCNTL[column], [*_one_of(1, FCNTL_COMMANDS), refuse])
    program.append(refuse)
    return b"".join(struct.pack("=HBBI", *step) for step in program)


def _when(number: int, then: list[Step]) -> list[Step]:
    return [(EQUAL, 0, len(then), number), *then]


def _halves(argument: int) -> tuple[int, int]:
    """Offsets of a 64-bit argument's lower and upper half; all our machines are little-endian."""
    return 16 + 8 * argument, 20 + 8 * argument


def _zero(argument: int) -> list[Step]:
    """Continue with the next step if an argument is 0, otherwise with the one after it."""
    low, high = _halves(argument)
    return [(LOAD, 0, 0, low), (EQUAL, 0, 3, 0), (LOAD, 0, 0, high), (EQUAL, 0, 1, 0)]


def _one_of(argument: int, values: tuple[int, ...]) -> list[Step]:
    """Allow these values of an int argument, whose upper half the kernel ignores."""
    steps: list[Step] = [(LOAD, 0, 0, _halves(argument)[0])]
    for value in values:
        steps += [(EQUAL, 0, 1, value), (RETURN, 0, 0, ALLOW)]
    return steps


def forbid_calls() -> None:
    """Install the filter for this process, irrevocably; raises OSError (``Unfiltered``) if this is
    impossible."""
    program = allowed_filter(os.uname().machine, struct.calcsize("P"))
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    prctl(PR_SET_SECCOMP, 2, described)
