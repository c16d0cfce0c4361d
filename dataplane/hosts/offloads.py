"""Sets whether other devices segment (TSO, GSO) and checksum what a device sends, as ethtool does."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

SIOCETHTOOL = 0x8946
FEATURES = {"tx": 0x17, "tso": 0x1F, "gso": 0x24}
"""Commands of linux/ethtool.h that set one feature: ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO."""


def set_offloads(device: str, on: bool) -> None:
    """Set all of them for a device of the calling thread's network namespace. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in FEATURES.values():
            value = array.array("I", [command, on])
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP16x", device.encode(), value.buffer_info()[0]))
