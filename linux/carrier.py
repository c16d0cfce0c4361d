"""Whether packets pass a device: it is up, and its other end, too."""

from __future__ import annotations

import fcntl
import socket
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SIOCGIFFLAGS = 0x8913
IFF_UP_RUNNING = 0x1 | 0x40
PATIENCE = 1.5
"""Seconds to wait for a carrier: kernels before 6.8 may take one. A user may have set the other end down by
hand."""


def is_up(stream: socket.socket, device: str) -> bool:
    """Whether a device of the network namespace that ``stream`` was made in is up and has a carrier
    (netdevice(7), SIOCGIFFLAGS)."""
    request = struct.pack("16sH14x", device.encode(), 0)
    try:
        answer = fcntl.ioctl(stream, SIOCGIFFLAGS, request)
    except OSError:
        return False
    return bool(struct.unpack_from("=H", answer, 16)[0] & IFF_UP_RUNNING == IFF_UP_RUNNING)


def await_carrier(devices: Iterable[str], patience: float = PATIENCE) -> bool:
    """Wait until all these devices have a carrier, or until the time (seconds) is over; whether they have.

    A wire gets its carrier a moment after it is set up. Runs in the devices' network namespace.
    """
    deadline = time.monotonic() + patience
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
        for device in devices:
            while not is_up(stream, device):
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.002)
    return True
