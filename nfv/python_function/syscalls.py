"""System calls that Python has no function for, and the filter that takes most of them away.

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
NUMBERS = {
    "pivot_root": (155, 41), "capset": (126, 91),
    # processes
    "clone": (56, 220), "clone3": (435, 435), "fork": (57, None), "vfork": (58, None),
    "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kcmp": (312, 272),
    "setpriority": (141, 140), "prlimit64": (302, 261), "setrlimit": (160, 164),
    "sched_setscheduler": (144, 119),
    # sockets beyond the two
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "setsockopt": (54, 208), "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    # files
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "mount_setattr": (442, 442),
    "chroot": (161, 51), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "memfd_create": (319, 279), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
    # namespaces, identity, keys
    "unshare": (272, 97), "setns": (308, 268), "setuid": (105, 146), "setgid": (106, 144),
    "setresuid": (117, 147), "setresgid": (119, 149), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "personality": (135, 92),
    # doors into the kernel
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "reboot": (169, 142),
    "seccomp": (317, 277), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "syslog": (103, 116), "acct": (163, 89), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "sethostname": (170, 161),
}  # fmt: skip
NEEDED_BEFORE = frozenset({"pivot_root", "capset"})
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}


def number(name: str) -> int | None:
    """A call's number on this machine; None: it has none, or we don't know the machine."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        return None
    return NUMBERS[name][0 if machine == "x86_64" else 1]


def denied_filter() -> bytes | None:
    """A seccomp program (classic BPF) that answers EPERM to all of ``NUMBERS``; None on a machine unknown."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        return None
    numbers = [found for name in NUMBERS if (found := number(name)) is not None]
    kill, eperm, allow = 0x80000000, 0x00050001, 0x7FFF0000
    program = [
        (0x20, 0, 0, 4),  # the architecture
        (0x15, 1, 0, ARCHITECTURES[machine]),
        (0x06, 0, 0, kill),
        (0x20, 0, 0, 0),  # the call's number
        (0x35, 0, 1, 0x40000000),  # x32's own
        (0x06, 0, 0, eperm),
    ]
    for each in numbers:
        program += [(0x15, 0, 1, each), (0x06, 0, 0, eperm)]
    program.append((0x06, 0, 0, allow))
    return b"".join(struct.pack("=HBBI", *each) for each in program)


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


def forbid_calls() -> bool:
    """Install the filter; false where we don't know the machine's numbers."""
    program = denied_filter()
    if program is None:
        return False
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    prctl(PR_SET_SECCOMP, 2, described)
    return True
