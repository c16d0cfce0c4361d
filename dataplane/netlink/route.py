"""Route netlink: the few messages that a lab needs, many at a time over one raw socket.

A pure function builds a ``Request`` from values; ``Socket.run`` sends requests in batches, and asks the
kernel for an acknowledgement of the last request of each batch only (errors always come). Formats:
netlink(7), rtnetlink(7), linux/if_link.h, linux/if_addr.h.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from typing import NamedTuple

from linux.netlink import (
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    SOL_NETLINK,
    answers,
    attribute,
    message,
    string,
    u32,
)
from wire.mac import mac_octets

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE = 16, 17, 18, 20, 21, 24
RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTCLASS = 36, 37, 40
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 10, 18
IFLA_AF_SPEC, IFLA_NET_NS_FD, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES = 26, 28, 31, 32
IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS = 29, 1 << 3
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_INET6_ADDR_GEN_MODE = 8
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS, IFA_RT_PRIORITY = 1, 2, 4, 8, 9
IFA_F_NODAD = 0x02
IFF_UP = 0x1

SIOCGIFINDEX = 0x8933

_BATCH = 128


class NetlinkError(OSError):
    """The kernel refused a request; ``what`` is a text that says which one."""

    def __init__(self, errno: int, what: str, detail: str = "") -> None:
        super().__init__(errno, f"{what}: {detail or os.strerror(errno)}")
        self.what = what


class Request(NamedTuple):
    """One netlink message without its header: type, flags, payload, and a text for errors."""

    type: int
    flags: int
    payload: bytes
    what: str


def ifinfo(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    """struct ifinfomsg: a device by index (0: by its name), and which of its flags to change."""
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


class End(NamedTuple):
    """One end of a veth pair. ``netns`` is an open nsfs descriptor, None the socket's own namespace."""

    name: str
    netns: int | None = None
    mac: str | None = None
    mtu: int | None = None
    up: bool = False
    master: int | None = None
    ipv6: bool = True

    def attributes(self) -> bytes:
        """The IFLA attributes that this end needs."""
        out = string(IFLA_IFNAME, self.name)
        if self.mac is not None:
            out += attribute(IFLA_ADDRESS, mac_octets(self.mac))
        if self.mtu is not None:
            out += u32(IFLA_MTU, self.mtu)
        if self.master is not None:
            out += u32(IFLA_MASTER, self.master)
        if self.netns is not None:
            out += u32(IFLA_NET_NS_FD, self.netns)
        return out


def add_veth(a: End, b: End) -> Request:
    """A veth pair; both ends are created in their namespaces.

    Only ``a`` can be created up: the kernel (veth_newlink) opens a peer before it is paired, which fails with
    ENOTCONN. So use ``set_link`` afterwards to set ``b`` up.
    """
    if b.up:
        raise ValueError("the second end of a veth pair cannot be created up")
    # One queue per end: a lab's wire has one reader, and every queue needs sysfs entries.
    queues = u32(IFLA_NUM_TX_QUEUES, 1) + u32(IFLA_NUM_RX_QUEUES, 1)
    up = IFF_UP if a.up else 0
    peer = attribute(VETH_INFO_PEER, ifinfo() + b.attributes() + queues)
    info = string(IFLA_INFO_KIND, "veth") + attribute(IFLA_INFO_DATA, peer)
    payload = ifinfo(0, up, up) + a.attributes() + queues + attribute(IFLA_LINKINFO, info)
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, f"create veth {a.name} - {b.name}")


def add_bridge(name: str) -> Request:
    """A Linux bridge, up, without spanning tree."""
    payload = ifinfo(0, IFF_UP, IFF_UP) + string(IFLA_IFNAME, name)
    payload += attribute(IFLA_LINKINFO, string(IFLA_INFO_KIND, "bridge"))
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, f"create bridge {name}")


def set_link(name: str, up: bool) -> Request:
    """Set a device (by name) up or down."""
    payload = ifinfo(0, IFF_UP if up else 0, IFF_UP) + string(IFLA_IFNAME, name)
    return Request(RTM_NEWLINK, 0, payload, f"set {name} {'up' if up else 'down'}")


def set_index(index: int, up: bool) -> Request:
    """Set a device (by index; 1 is every namespace's lo) up or down."""
    return Request(RTM_NEWLINK, 0, ifinfo(index, IFF_UP if up else 0, IFF_UP), f"set device {index}")


def notice_carrier(name: str) -> Request:
    """Let the kernel act at once on a carrier that a device has got; until then it drops what is sent there.

    The kernel works such events off in the background (net/core/link_watch.c), a hundred devices at a time,
    and may wait for a second between two times. Since Linux 6.8, a question about a device comes first.
    """
    payload = ifinfo() + string(IFLA_IFNAME, name) + u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return Request(RTM_GETLINK, 0, payload, f"look at {name}")


def delete_link(name: str) -> Request:
    """Delete a device by name (with a veth, its peer is deleted, too)."""
    return Request(RTM_DELLINK, 0, ifinfo() + string(IFLA_IFNAME, name), f"delete {name}")


def add_address(index: int, address: IPv4Interface | IPv6Interface, metric: int = 0) -> Request:
    """Add an address to a device. IPv6 without duplicate address detection: the file's addresses are
    unique. ``metric``: that of the route to its subnet, of which the lowest counts; 0: the kernel's default.
    """
    packed = address.ip.packed
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    flags = IFA_F_NODAD if address.version == 6 else 0
    payload = struct.pack("=BBBBI", family, address.network.prefixlen, flags, 0, index)
    payload += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    if isinstance(address, IPv4Interface) and address.network.prefixlen < 31:
        payload += attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    if metric:
        payload += attribute(IFA_RT_PRIORITY, struct.pack("=I", metric))
    return Request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, payload, f"add address {address}")


def delete_address(index: int, address: IPv4Interface | IPv6Interface) -> Request:
    """Remove an address from a device."""
    packed = address.ip.packed
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    payload = struct.pack("=BBBBI", family, address.network.prefixlen, 0, 0, index)
    payload += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    return Request(RTM_DELADDR, 0, payload, f"delete address {address}")


def encode(requests: Sequence[Request], first_seq: int) -> bytes:
    """One datagram of several messages; the last one asks for an acknowledgement."""
    out = bytearray()
    last = len(requests) - 1
    for i, request in enumerate(requests):
        flags = NLM_F_REQUEST | request.flags | (NLM_F_ACK if i == last else 0)
        out += message(request.type, flags, first_seq + i, request.payload)
    return bytes(out)


class Socket:
    """A netlink socket of the network namespace in which the calling thread creates it."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._seq = 1

    def run(self, requests: Iterable[Request], ignore: frozenset[int] = frozenset()) -> None:
        """Let the kernel do all requests, in order.

        Raises ``NetlinkError`` for the first refused one, unless its errno is in ``ignore``. The other
        requests of its batch are done.
        """
        todo = list(requests)
        for start in range(0, len(todo), _BATCH):
            batch = todo[start : start + _BATCH]
            first, self._seq = self._seq, self._seq + len(batch)
            self._socket.send(encode(batch, first))
            self._collect(batch, first, ignore)

    def _collect(self, batch: Sequence[Request], first: int, ignore: frozenset[int]) -> None:
        failure: NetlinkError | None = None
        last = first + len(batch) - 1
        while True:
            said = answers(self._socket.recv(1 << 16))
            for seq, errno, words in said:
                if errno and errno not in ignore and first <= seq <= last and failure is None:
                    failure = NetlinkError(errno, batch[seq - first].what, words)
            if any(seq == last for seq, _, _ in said):
                break
        if failure is not None:
            raise failure

    def index_of(self, name: str) -> int:
        """The index of a device in this socket's namespace. Raises OSError (ENODEV) if there is none."""
        answer = fcntl.ioctl(self._socket, SIOCGIFINDEX, struct.pack("16si20x", name.encode(), 0))
        return int(struct.unpack_from("=i", answer, 16)[0])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
