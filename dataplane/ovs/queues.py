"""The packet sockets of an ovs-vswitchd, with room for the queues of shaped wires.

Open vSwitch's userspace datapath sends all frames of all ports through one packet socket, and receives those
of each port by another one (lib/netdev-linux.c).  A frame that waits in a queueing discipline counts against
the buffer of the socket that sent it (socket(7): SO_SNDBUF), of which Linux allows 208 KiB: 100 frames.  When
they wait at one port, frames for all other ports are lost.  Frames that come while ovs-vswitchd waits for a
processor wait in the other sockets.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from linux import syscalls

SENDING, RECEIVING = 64 << 20, 4 << 20
"""Bytes. An ordinary user gets as much as net.core.wmem_max and rmem_max allow."""
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # linux/asm-generic/socket.h
WAKING = "0180c200000e" + "020000000000" + "88b5" + "00" * 46
"""A frame that no switch forwards (IEEE 802.1Q, table 8-1), of the EtherType for local experiments."""


def widen(pid: int) -> bool:
    """Give the packet sockets of this process room. Whether it has the one that sends already: it makes that
    with the first frame.

    Nothing happens if the process has ended, or its sockets are not for the caller.
    """
    sends = False
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            for one in _packet_sockets(pid, pidfd):
                with contextlib.closing(one):
                    _enlarge(one, SO_SNDBUFFORCE, socket.SO_SNDBUF, SENDING)
                    _enlarge(one, SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVING)
                    sends |= not one.getsockname()[0]
        finally:
            os.close(pidfd)
    return sends


def _packet_sockets(pid: int, pidfd: int) -> Iterator[socket.socket]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if entry.readlink().as_posix().startswith("socket:"):
                one = socket.socket(fileno=syscalls.pidfd_getfd(pidfd, int(entry.name)))
                if one.family == socket.AF_PACKET:
                    yield one
                else:
                    one.close()


def _enlarge(one: socket.socket, force: int, plain: int, size: int) -> None:
    if one.getsockopt(socket.SOL_SOCKET, plain) >= size:
        return
    try:
        one.setsockopt(socket.SOL_SOCKET, force, size)
    except PermissionError:
        one.setsockopt(socket.SOL_SOCKET, plain, size)
