"""Keeps frames of devices from the kernel's own protocol stack: a drop at the netdev ingress hook (nft(8)).

Open vSwitch's userspace datapath reads a switch port through a packet socket.  The IP stack of the port's
namespace gets every frame as well, and would answer for the addresses there.  The hook comes after packet
sockets and before the stack, so Open vSwitch and ``capture`` miss nothing.  (The kernel's datapath takes a
port's frames after the hook and before the stack: there, nothing must be dropped, and the stack hears
nothing.)  It is the second protection. The first one is that such a namespace has no address that tenants can
reach (see ``namespaces.DEAF``); this also works if a kernel lacks the hook (NETFILTER_INGRESS, nf_tables).

In a function's namespace, a bridge or process gets the frames.  A drop at the devices would take them from
the bridge, too, so the drop is at the hook ``input`` there.

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
"""Devices of one batch: the kernel applies a batch as a whole, and the batch must fit a socket's buffer."""


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!i", value))


def _message(kind: int, flags: int, sequence: int, family: int, resource: int, payload: bytes) -> bytes:
    head = struct.pack("=BBH", family, 0, socket.htons(resource))
    return message(kind, NLM_F_REQUEST | flags, sequence, head + payload)


class _Chain(NamedTuple):
    """A chain that drops everything: its table's family and name, its own name, hook, and device if any."""

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
    """A batch with a chain for each device, with the device's name, which drops all its incoming frames.

    An existing chain stays as it is. Sequence numbers count from 0; the last chain asks for an
    acknowledgement.
    """
    return _batch([_Chain(NFPROTO_NETDEV, TABLE, device, INGRESS, device) for device in devices])


def closing() -> bytes:
    """A batch of one chain, which drops all packets to the namespace's own IP stack."""
    return _batch([_Chain(NFPROTO_INET, CLOSED, "input", LOCAL_IN)])


def _batch(chains: Sequence[_Chain]) -> bytes:
    """The batch for chains of one table: begin, the table, the chains, end."""
    first = chains[0]
    out = _message(BATCH_BEGIN, 0, 0, 0, SUBSYSTEM, b"")
    out += _message(NEW_TABLE, NLM_F_CREATE, 1, first.family, 0, string(TABLE_NAME, first.table))
    for number, chain in enumerate(chains, 1):
        out += chain.message(number + 1, number == len(chains))
    return out + _message(BATCH_END, 0, len(chains) + 2, 0, SUBSYSTEM, b"")


def deafen(space: Namespace, devices: Sequence[str]) -> bool:
    """Drop frames of these devices before the namespace's IP stack. False: this kernel can't."""
    batches = [devices[start : start + _MOST] for start in range(0, len(devices), _MOST)]
    return _carried_out(space, [(dropping(batch), len(batch)) for batch in batches])


def close(space: Namespace) -> bool:
    """Drop all packets to the namespace's IP stack. False: this kernel can't."""
    return _carried_out(space, [(closing(), 1)])


def _carried_out(space: Namespace, batches: Sequence[tuple[bytes, int]]) -> bool:
    try:
        run_in(space.fd, lambda: _send(batches))
    except OSError:
        return False
    return True


def _send(batches: Sequence[tuple[bytes, int]]) -> None:
    """Send batches, each with the number of its chains, and wait until the kernel has applied them."""
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
