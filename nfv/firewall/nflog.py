"""Packets from nftables' ``log group``: netlink's NFLOG (linux/netfilter/nfnetlink_log.h).

A network namespace can't use the kernel's own log; NFLOG is for the namespace's owner.
"""

from __future__ import annotations

import errno
import socket
import struct

from linux.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    answers,
    attribute,
    attributes,
    message,
    messages,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SUBSYSTEM = 4 << 8  # NFNL_SUBSYS_ULOG
MSG_PACKET, MSG_CONFIG = SUBSYSTEM | 0, SUBSYSTEM | 1
CFG_CMD, CFG_MODE, CFG_QTHRESH = 1, 2, 5
CMD_BIND, COPY_PACKET = 1, 2
IN, PHYSICAL_IN, PAYLOAD, PREFIX, HARDWARE_HEADER = 4, 6, 9, 10, 16


class Logged:
    """A packet. ``prefix``: the rule's. ``device``: index of the one it came in by (0: unknown).

    ``header``: the link layer's header; ``data``: the packet from its network layer on; both as far as
    copied.
    """

    __slots__ = ("data", "device", "header", "prefix")

    def __init__(self, prefix: str, device: int, header: bytes, data: bytes) -> None:
        self.prefix, self.device, self.header, self.data = prefix, device, header, data


class Log:
    """The packets of one group in this network namespace. Raises OSError if the kernel has no NFLOG."""

    def __init__(self, group: int, copied: int) -> None:
        self._sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for kind, value in (
            (CFG_CMD, struct.pack("B", CMD_BIND)),
            (CFG_MODE, struct.pack("!IBx", copied, COPY_PACKET)),
            (CFG_QTHRESH, struct.pack("!I", 1)),  # send each packet immediately, not after a second
        ):
            self._ask(group, kind, value)
        self._sock.setblocking(False)

    def fileno(self) -> int:
        return self._sock.fileno()

    def _ask(self, group: int, kind: int, value: bytes) -> None:
        body = struct.pack("!BBH", socket.AF_UNSPEC, 0, group) + attribute(kind, value)
        self._sock.send(message(MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, 0, body))
        for _, code, _ in answers(self._sock.recv(65536)):
            if code:
                raise OSError(code, "NFLOG")

    def read(self) -> list[Logged]:
        """The packets that wait now. Packets that came faster than we read are lost."""
        packets: list[Logged] = []
        while len(packets) < 1000:
            try:
                data = self._sock.recv(1 << 17)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue
            packets += parse(data)
        return packets


def parse(data: bytes) -> Iterator[Logged]:
    """The packets of one received datagram."""
    for kind, _, _, payload in messages(data):
        if kind == MSG_PACKET:
            yield _logged(dict(attributes(payload[4:])))


def _logged(attributes_by_kind: dict[int, bytes]) -> Logged:
    device = attributes_by_kind.get(PHYSICAL_IN) or attributes_by_kind.get(IN) or bytes(4)
    return Logged(
        attributes_by_kind.get(PREFIX, b"").rstrip(b"\0").decode(errors="replace"),
        int(struct.unpack("!I", device)[0]),
        attributes_by_kind.get(HARDWARE_HEADER, b""),
        attributes_by_kind.get(PAYLOAD, b""),
    )
