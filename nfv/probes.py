"""Passes health probes beside packets, for functions that read packets from a device's socket one by one.

A probe tests whether a function works, not how busy it is (see ``nfv.contract``).  In the same queue as
packets, it would be late or dropped when the function is busy.
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct

from wire import ethertype

ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
SO_ATTACH_FILTER = 26
LENGTH = 2048
"""Bytes; no probe is longer."""

Steps = list[tuple[int, int, int, int]]


def only(probes: bool) -> Steps:
    """A socket filter (classic BPF, packet(7)) that accepts health probes only, or everything else."""
    whole = 0xFFFFFFFF
    taken, left = (whole, 0) if probes else (0, whole)
    return [(0x28, 0, 0, 12), (0x15, 0, 1, ethertype.PROBE), (0x06, 0, 0, taken), (0x06, 0, 0, left)]


def filtered(descriptor: int, steps: Steps) -> None:
    """Attach the filter to a packet socket; raises OSError."""
    program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    code = array.array("B", program)
    described = struct.pack("HP", len(steps), code.buffer_info()[0])
    with socket.socket(fileno=descriptor) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)
        finally:
            sock.detach()


class Probes:
    """The health probes at two devices: each goes on to the other device when ``pass_on`` is called."""

    def __init__(self, inward: str, outward: str) -> None:
        """Raises OSError."""
        self._ends = _open(inward), _open(outward)
        self.descriptors = self._ends[0].fileno(), self._ends[1].fileno()

    def pass_on(self) -> None:
        """Pass the waiting probes on."""
        for source, target in (self._ends, self._ends[::-1]):
            with contextlib.suppress(OSError):  # none there, or a device is down: then it is not passed
                while True:
                    target.send(source.recv(LENGTH))


def _open(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    filtered(sock.fileno(), only(probes=True))
    sock.bind((device, ETH_P_ALL))
    return sock
