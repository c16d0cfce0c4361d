"""Devices that the kernel's own protocol stack does not hear: a drop at the netdev ingress hook (nft(8)).

A switch port belongs to Open vSwitch, which reads it through a packet socket (or, in the kernel, its receive
handler).  The stack of the namespace that the port is in gets every frame as well, and would answer for the
addresses there.  The hook comes after packet sockets and before the stack, so Open vSwitch and ``capture``
miss nothing.  It is the second wall: the first is that such a namespace has nothing to be reached (see
``namespaces.DEAF``), which holds where a kernel lacks the hook (NETFILTER_INGRESS, nf_tables), too.

The stack of a function's namespace, whose bridge or process the frames are for, is closed at its own door
(hook ``input``): at the devices, a drop would take them from the bridge, too.

Formats: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from dataplane.netlink.route import NetlinkError
from dataplane.sandbox.namespaces import Namespace, run_in
from linux.netlink import (
    NETLINK_CAP_ACK,
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    SOL_NETLINK,
    answers,
    attribute,
    message,
    string,
)

BATCH_BEGIN, BATCH_END, SUBSYSTEM = 0x10, 0x11, 10
NEW_TABLE, NEW_CHAIN = SUBSYSTEM << 8 | 0, SUBSYSTEM << 8 | 3
NFPROTO_INET, NFPROTO_NETDEV = 1, 5
TABLE_NAME = 1
CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY, CHAIN_TYPE = 1, 3, 4, 5, 7
HOOK_NUMBER, HOOK_PRIORITY, HOOK_DEVICE = 1, 2, 3
INGRESS, LOCAL_IN, FIRST, DROP = 0, 1, -500, 0
TABLE, CLOSED = "sdnlab", "sdnlab-closed"
_MOST = 100
"""Devices of one batch: the kernel takes a batch whole, and it must fit a socket's buffer."""


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!i", value))


def _message(kind: int, flags: int, sequence: int, family: int, resource: int, payload: bytes) -> bytes:
    head = struct.pack("=BBH", family, 0, socket.htons(resource))
    return message(kind, NLM_F_REQUEST | flags, sequence, head + payload)


class _Chain(NamedTuple):
    """A chain that drops all it gets: its table's family and name, its own name, hook, and device if any."""

    family: int
    table: str
    name: str
    hook: int
    device: str = ""

    def message(self, sequence: int, last: bool) -> bytes:
        hook = _be32(HOOK_NUMBER, self.hook) + _be32(HOOK_PRIORITY, FIRST)
        hook += string(HOOK_DEVICE, self.device) if self.device else b""
        text = string(CHAIN_TABLE, self.table) + string(CHAIN_NAME, self.name) + string(CHAIN_TYPE, "filter")
        text += attribute(CHAIN_HOOK, hook) + _be32(CHAIN_POLICY, DROP)
        flags = NLM_F_CREATE | (NLM_F_ACK if last else 0)
        return _message(NEW_CHAIN, flags, sequence, self.family, 0, text)


def dropping(devices: Sequence[str]) -> bytes:
    """A batch that gives each device a chain of its own name, which drops all that comes in there.

    One already there stays as it is. Sequence numbers count from 0; the last chain asks for an answer.
    """
    return _batch([_Chain(NFPROTO_NETDEV, TABLE, device, INGRESS, device) for device in devices])


def closing() -> bytes:
    """The same for a batch of one chain: of all that is for the namespace's own IP stack."""
    return _batch([_Chain(NFPROTO_INET, CLOSED, "input", LOCAL_IN)])


def _batch(chains: Sequence[_Chain]) -> bytes:
    """All of one table; a begin, the table, the chains, an end."""
    first = chains[0]
    out = _message(BATCH_BEGIN, 0, 0, 0, SUBSYSTEM, b"")
    out += _message(NEW_TABLE, NLM_F_CREATE, 1, first.family, 0, string(TABLE_NAME, first.table))
    for number, chain in enumerate(chains, 1):
        out += chain.message(number + 1, number == len(chains))
    return out + _message(BATCH_END, 0, len(chains) + 2, 0, SUBSYSTEM, b"")


def deafen(space: Namespace, devices: Sequence[str]) -> bool:
    """Let the namespace's stack hear nothing from these devices of it; whether the kernel can do that."""
    some = [devices[start : start + _MOST] for start in range(0, len(devices), _MOST)]
    return _carried_out(space, [(dropping(each), len(each)) for each in some])


def close(space: Namespace) -> bool:
    """Let the namespace's stack take nothing that is sent to it; whether the kernel can do that."""
    return _carried_out(space, [(closing(), 1)])


def _carried_out(space: Namespace, batches: Sequence[tuple[bytes, int]]) -> bool:
    try:
        run_in(space.fd, lambda: _send(batches))
    except OSError:
        return False
    return True


def _send(batches: Sequence[tuple[bytes, int]]) -> None:
    """Send batches, each with the number of its chains, and wait until the kernel has taken them."""
    with contextlib.closing(
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    ) as netfilter:
        netfilter.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        for batch, chains in batches:
            netfilter.send(batch)
            answered = False
            while not answered:
                for sequence, errno, words in answers(netfilter.recv(1 << 16)):
                    if errno:
                        raise NetlinkError(errno, "drop what comes in", words)
                    answered = answered or sequence == chains + 1
