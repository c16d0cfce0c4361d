"""Entries of the kernel's neighbour tables (rtnetlink(7), linux/neighbour.h)."""

from __future__ import annotations

import contextlib
import socket
import struct

from linux.netlink import (
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    attribute,
    message,
    messages,
)

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
NDA_DST = 1
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
_STATE = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index, state, flags, type."""


def of_neighbour(kind: int, index: int, address: bytes) -> bytes:
    """A request of this type about a device's neighbour with an IPv4 or IPv6 address."""
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    payload = _STATE.pack(family, index, 0, 0, 0) + attribute(NDA_DST, address)
    return message(kind, NLM_F_REQUEST | NLM_F_ACK, kind, payload)


def was_resolved(answer: bytes) -> bool:
    """Whether an answer to ``RTM_GETNEIGH`` tells of an entry that the kernel made by itself, and no user."""
    for kind, _, _, payload in messages(answer):
        if kind == RTM_NEWNEIGH and len(payload) >= _STATE.size:
            return not _STATE.unpack_from(payload)[2] & (NUD_PERMANENT | NUD_NOARP)
    return False


def forget(device: str, address: bytes) -> None:
    """Delete what the kernel has resolved for a neighbour of a device, in the calling thread's network
    namespace. An entry of a user stays. Nothing happens if there is no such device or entry."""
    with (
        contextlib.suppress(OSError),
        socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        ) as netlink,
    ):
        index = socket.if_nametoindex(device)
        netlink.send(of_neighbour(RTM_GETNEIGH, index, address))
        said = b""
        while not _ended(said):
            said += netlink.recv(1 << 16)
        if was_resolved(said):
            netlink.send(of_neighbour(RTM_DELNEIGH, index, address))
            netlink.recv(1 << 16)


def _ended(said: bytes) -> bool:
    return any(kind == NLMSG_ERROR for kind, _, _, _ in messages(said))
