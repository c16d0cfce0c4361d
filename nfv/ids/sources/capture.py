"""Frames from a device: AF_PACKET with a TPACKET_V3 ring, shared by several processes through PACKET_FANOUT.

packet(7) and Linux's Documentation/networking/packet_mmap.rst.  The ring is memory shared with the kernel:
frames are taken a block at a time, without a system call each.  Needs CAP_NET_RAW in the network namespace of
the device.
"""

from __future__ import annotations

import errno
import mmap
import select
import socket
import struct
from collections.abc import Iterator

from wire import ethertype

SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_VERSION = 5, 6, 8, 10
PACKET_VNET_HDR, PACKET_FANOUT, PACKET_IGNORE_OUTGOING = 15, 18, 23
SO_RCVBUFFORCE = 33
_TPACKET_V3 = 2
_HASH, _FLAG_DEFRAG = 0, 0x8000
ETH_P_ALL = 0x0003
_STATUS_USER, _VLAN_VALID, _TPID_VALID = 1, 0x10, 0x40
OUTGOING = 4
"""Packet type of frames that this machine sends itself."""

_BLOCK = struct.Struct("=IIII").unpack_from  # status, packets, offset of the first, length
_HEAD = struct.Struct("=IIIIIIHHIIH").unpack_from
_STATUS_AT = 8


class CaptureFailed(Exception):
    """A device can't be captured; the message says why, and what to do."""


def why(interface: str, error: OSError) -> CaptureFailed:
    """An operating system's error in words."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return CaptureFailed(
            f"no right to capture on {interface}: needs CAP_NET_RAW (root) in its network namespace"
        )
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return CaptureFailed(f"there is no device {interface} here: see 'ip link' for those there are")
    if error.errno == errno.ENETDOWN:
        return CaptureFailed(f"{interface} is down: ip link set {interface} up")
    return CaptureFailed(f"{interface}: {error.strerror}")


def open_socket(interface: str) -> socket.socket:
    """A raw socket for the frames of a device. It is not bound yet, so no frame is queued before ``bind``."""
    try:
        handle = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except OSError as error:
        raise why(interface, error) from None
    handle.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    return handle


def long_queue(handle: socket.socket, size: int) -> None:
    """Set a socket's buffer to so many bytes, beyond the system's limit if this is allowed (socket(7))."""
    try:
        handle.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except OSError:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def promiscuous(handle: socket.socket, interface: str) -> None:
    """Let the device accept all frames, as long as the socket is open (promiscuous mode)."""
    request = struct.pack("=iHH8s", socket.if_nametoindex(interface), 1, 0, b"")
    handle.setsockopt(SOL_PACKET, 1, request)


def fan_out(handle: socket.socket, group: int) -> None:
    """Share the device's frames with the other sockets of the group, both directions of a flow to one of
    them.
    """
    value = (group & 0xFFFF) | (_HASH | _FLAG_DEFRAG) << 16
    handle.setsockopt(SOL_PACKET, PACKET_FANOUT, struct.pack("=I", value))


class Ring:
    """A ring of blocks that the kernel fills.

    ``block`` and ``blocks`` are its size (default: 16 MiB), ``patience`` the milliseconds after which the
    kernel passes a block on that is not full.
    """

    def __init__(
        self, interface: str, group: int = 0, block: int = 1 << 20, blocks: int = 16, patience: int = 20
    ) -> None:
        self.interface = interface
        self._handle = open_socket(interface)
        try:
            self._handle.setsockopt(SOL_PACKET, PACKET_VERSION, _TPACKET_V3)
            frame = 2048
            request = struct.pack("=IIIIIII", block, blocks, frame, block // frame * blocks, patience, 0, 0)
            self._handle.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
            self._memory = mmap.mmap(
                self._handle.fileno(), block * blocks, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
            )
            self._handle.bind((interface, ETH_P_ALL))
            promiscuous(self._handle, interface)
            if group:
                fan_out(self._handle, group)
        except OSError as error:
            self._handle.close()
            raise why(interface, error) from None
        self._block, self._blocks = block, blocks
        self._next = 0

    def fileno(self) -> int:
        """For poll."""
        return self._handle.fileno()

    def wait(self, milliseconds: int) -> bool:
        """Wait for a block; False if none came in time."""
        waiter = select.poll()
        waiter.register(self._handle, select.POLLIN | select.POLLERR)
        return bool(waiter.poll(milliseconds))

    def frames(self) -> Iterator[tuple[float, bytes]]:
        """(seconds since 1970, frame) of all present blocks."""
        memory = self._memory
        while True:
            base = self._next * self._block
            status, count, offset, _ = _BLOCK(memory, base + _STATUS_AT)
            if not status & _STATUS_USER:
                return
            at = base + offset
            for _ in range(count):
                following, sec, nsec, size, _, flags, mac, _, _, tci, tpid = _HEAD(memory, at)
                start = at + mac
                frame = memory[start : start + size]
                if flags & _VLAN_VALID:
                    frame = tagged(frame, tci, tpid if flags & _TPID_VALID else ethertype.VLAN)
                yield sec + nsec * 1e-9, frame
                at += following
            struct.pack_into("=I", memory, base + _STATUS_AT, 0)
            self._next = (self._next + 1) % self._blocks

    def lost(self) -> tuple[int, int]:
        """(frames seen, frames lost because the ring was full) since the last call."""
        packets, drops, _ = struct.unpack("=III", self._handle.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12))
        return packets, drops

    def close(self) -> None:
        """Release the ring."""
        self._memory.close()
        self._handle.close()


def tagged(frame: bytes, tci: int, tpid: int) -> bytes:
    """Insert the VLAN tag again that the kernel has removed from a frame."""
    return frame[:12] + tpid.to_bytes(2, "big") + (tci & 0xFFFF).to_bytes(2, "big") + frame[12:]
