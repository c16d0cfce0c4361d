"""The capabilities that root in a host has (capabilities(7)): over its own devices and processes."""

from __future__ import annotations

from linux import syscalls

CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP = 0, 1, 3, 4, 5, 6, 7, 8
NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_CHROOT, SYS_NICE = 10, 12, 13, 18, 23

OF_HOSTS = frozenset(
    {
        *(CHOWN, DAC_OVERRIDE, FOWNER, FSETID),  # for files of the ids that a host has
        *(KILL, SETGID, SETUID, SETPCAP, SYS_CHROOT, SYS_NICE),  # daemons that give up rights
        *(NET_BIND_SERVICE, NET_ADMIN, NET_RAW),  # servers; ip, tc, nft, sysctl; ping, tcpdump, scapy
    }
)
"""A host has none of these: SYS_ADMIN (mounts, other namespaces), SYS_PTRACE, SYS_MODULE, MKNOD,
DAC_READ_SEARCH, BPF, and no capability that concerns a whole machine."""


def confine(kept: frozenset[int] = OF_HOSTS) -> None:
    """Drop all other capabilities; a program that is executed can't get them back. Raises OSError."""
    syscalls.keep_capabilities(kept)
