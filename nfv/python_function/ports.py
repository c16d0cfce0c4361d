"""The two ports of a user's function, as sockets with frames as on a real wire.

The lab's wires carry TCP super-packets of up to 64 KiB with unfinished checksums (TSO); a user's code should
not have to handle them.  Their senders are in another namespace.  So a bridge connects each device to a veth
pair of our own without these offloads, and the kernel segments and checksums the packets on their way through
it.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import struct

from nfv import devices
from nfv.lines import INWARD, OUTWARD
from nfv.probes import ETH_P_ALL, PACKET_IGNORE_OUTGOING, SOL_PACKET, Probes, filtered, only

SO_RCVBUFFORCE = 33
SIOCETHTOOL = 0x8946
OFF = {"checksums": 0x17, "scatter-gather": 0x19, "TSO": 0x1F, "GSO": 0x24}
"""Commands of linux/ethtool.h that set one feature."""
QUEUE = 8 << 20
Ends = tuple[socket.socket, socket.socket, int]
"""Sockets at ``in`` and ``out``, and the longest frame in bytes."""


def open_ports() -> tuple[Ends, Probes]:
    """The sockets for frames, and those for probes; raises ``Failed`` or OSError."""
    mtu = make_users()
    ends = _open(user(INWARD)), _open(user(OUTWARD))
    probes = Probes(user(INWARD), user(OUTWARD))
    join_users(mtu)
    return (*ends, mtu + 18), probes


def user(device: str) -> str:
    """The device at which a device's frames are segmented and checksummed."""
    return f"{device}-user"


def make_users() -> int:
    """Make the veth pairs, not connected yet; their MTU in bytes."""
    devices.be_quiet()
    for name in ("iptables", "ip6tables", "arptables"):
        devices.set_sysctl(f"bridge/bridge-nf-call-{name}", 0)
    mtu = devices.mtu(INWARD)
    lines = []
    for device in (INWARD, OUTWARD):
        lines += [
            f"link add {device}-kernel mtu {mtu} type veth peer name {user(device)} mtu {mtu}",
            f"link set dev {user(device)} up",
            f"link set dev {device}-kernel up",
            *devices.noticed([user(device)]),
        ]
    devices.ip(lines)
    for device in (INWARD, OUTWARD):
        without_offloads(f"{device}-kernel")
    return mtu


def join_users(mtu: int) -> None:
    """Connect the pairs to ``in`` and ``out``; from then on frames come."""
    devices.ip(
        line
        for device in (INWARD, OUTWARD)
        for line in devices.joined(f"br-{device}", (device, f"{device}-kernel"), mtu)
    )
    devices.await_running((user(INWARD), user(OUTWARD), INWARD, OUTWARD))


def without_offloads(device: str) -> None:
    """Switch a device's offloads off: it then sends frames up to its MTU, with checksums."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in OFF.values():
            value = array.array("I", [command, 0])
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP16x", device.encode(), value.buffer_info()[0]))


def _open(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    filtered(sock.fileno(), only(probes=False))
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE)
    sock.bind((device, ETH_P_ALL))
    return sock
