"""A bridge between two devices that forwards frames unchanged, except those that the rules drop.

Frames are read and written with their virtio header (PACKET_VNET_HDR).  So a checksum or segmentation that
the sender left to hardware stays in this state, and frames larger than the MTU pass.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from nfv.ids.sources import capture
from wire import ethertype

_AUX = struct.Struct("=IIIHHHH")
_VNET = 10
_VLAN_VALID, _TPID_VALID = 0x10, 0x40
_MAX_FRAME = 65536 + 256
QUEUE = 32 << 20
"""Bytes that may wait in a device's socket while rules are replaced; a frame counts with the kernel's
overhead."""


class Port:
    """One of the two devices."""

    def __init__(self, interface: str, group: int = 0) -> None:
        self.interface = interface
        self._handle = capture.open_socket(interface)
        handle = self._handle
        try:
            handle.setsockopt(capture.SOL_PACKET, capture.PACKET_VNET_HDR, 1)
            handle.setsockopt(capture.SOL_PACKET, capture.PACKET_AUXDATA, 1)
            capture.long_queue(handle, QUEUE)
            handle.bind((interface, capture.ETH_P_ALL))
            capture.promiscuous(handle, interface)
            if group:
                capture.fan_out(handle, group)
            handle.setblocking(False)
        except OSError as error:
            handle.close()
            raise capture.why(interface, error) from None
        self.unsent = 0

    def fileno(self) -> int:
        """For poll."""
        return self._handle.fileno()

    def read(self) -> tuple[bytes, bytes] | None:
        """(virtio header, frame) of the next frame that arrived, None when there is none."""
        while True:
            try:
                data, extra, _, sender = self._handle.recvmsg(_MAX_FRAME, 64)
            except BlockingIOError:
                return None
            except OSError:  # the device went down: frames will come again when it is up
                return None
            if sender[2] == capture.OUTGOING or len(data) < _VNET + 14:
                continue
            header, frame = data[:_VNET], data[_VNET:]
            for level, kind, body in extra:
                if level == capture.SOL_PACKET and kind == capture.PACKET_AUXDATA and len(body) >= _AUX.size:
                    status, _, _, _, _, tci, tpid = _AUX.unpack(body[: _AUX.size])
                    if status & _VLAN_VALID:
                        frame = capture.tagged(frame, tci, tpid if status & _TPID_VALID else ethertype.VLAN)
                        header = _moved(header)
            return header, frame

    def write(self, header: bytes, frame: bytes) -> None:
        """Send a frame; frames that the device refuses are counted."""
        try:
            self._handle.send(header + frame)
        except OSError:
            self.unsent += 1

    def close(self) -> None:
        """Close the socket."""
        self._handle.close()


def _moved(header: bytes) -> bytes:
    """The virtio header of a frame after a tag was added: the offsets of checksum and headers move."""
    flags, kind, length, size, start, offset = struct.unpack("=BBHHHH", header)
    if flags & 1:
        start += 4
    if kind:
        length += 4
    return struct.pack("=BBHHHH", flags, kind, length, size, start, offset)


PLAIN = bytes(_VNET)
"""The virtio header of a frame without offloads."""

Decide = Callable[[bytes, bool], tuple[bool, list[bytes], list[bytes]]]
"""From (frame, whether it comes from the first port) to (whether it passes, frames to its sender, frames to
its receiver).
"""


def pass_on(source: Port, target: Port, first: bool, decide: Decide, most: int = 64) -> int:
    """Read up to ``most`` frames from one port and forward the permitted ones to the other; how many were
    read."""
    for number in range(most):
        got = source.read()
        if got is None:
            return number
        header, frame = got
        through, back, on = decide(frame, first)
        if through:
            target.write(header, frame)
        for answer in back:
            source.write(PLAIN, answer)
        for answer in on:
            target.write(PLAIN, answer)
    return most
