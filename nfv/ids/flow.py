"""A flow: the state of one conversation in both directions."""

from __future__ import annotations

from typing import Any, Protocol

from wire.protocol import ICMP, ICMPV6, TCP, UDP

NEW, ESTABLISHED, CLOSED = "new", "established", "closed"

TIMEOUTS: dict[int, dict[str, float]] = {
    TCP: {NEW: 60, ESTABLISHED: 600, CLOSED: 60},
    UDP: {NEW: 30, ESTABLISHED: 300, CLOSED: 0},
    ICMP: {NEW: 30, ESTABLISHED: 300, CLOSED: 0},
    ICMPV6: {NEW: 30, ESTABLISHED: 300, CLOSED: 0},
}
_DEFAULT: dict[str, float] = {NEW: 30, ESTABLISHED: 300, CLOSED: 0}

Key = tuple[bytes, bytes, int, int, int, tuple[int, ...]]


class First(Protocol):
    """The fields of the first packet that a flow uses (``nfv.ids.decode.packet.Packet``)."""

    ts: float
    num: int
    src: bytes
    dst: bytes
    sp: int
    dp: int
    proto: int
    vlan: tuple[int, ...]
    kind: int
    code: int


class Flow:
    """One conversation; addresses and ports are those of its first packet (the client's side)."""

    __slots__ = (
        "action",
        "alerted",
        "app",
        "app_orig",
        "app_proto",
        "app_tc",
        "app_ts",
        "bits",
        "bytes_tc",
        "bytes_ts",
        "code",
        "done_tc",
        "done_ts",
        "dp",
        "drop",
        "dst",
        "exceptions",
        "generation",
        "icmp_reply",
        "id",
        "ints",
        "ip_only",
        "key",
        "kind",
        "last",
        "noinspect",
        "num",
        "passed",
        "pkts_tc",
        "pkts_ts",
        "probe_tc",
        "probe_ts",
        "proto",
        "rkey",
        "seen_tc",
        "seen_ts",
        "session",
        "sp",
        "src",
        "start",
        "state",
        "vlan",
    )

    def __init__(self, packet: First, number: int, key: Key, rkey: Key) -> None:
        self.id = number
        self.key, self.rkey = key, rkey
        self.src, self.dst, self.sp, self.dp = packet.src, packet.dst, packet.sp, packet.dp
        self.proto, self.vlan = packet.proto, packet.vlan
        self.kind, self.code = packet.kind, packet.code
        self.start = self.last = packet.ts
        self.num = packet.num
        self.state = NEW
        self.pkts_ts = self.pkts_tc = self.bytes_ts = self.bytes_tc = 0
        self.seen_ts = self.seen_tc = False
        self.session: Any = None
        self.app: Any = None
        self.app_proto = self.app_ts = self.app_tc = ""
        self.app_orig = ""  # the protocol that it began with, if it went on with another
        self.probe_ts: bytes | None = b""
        self.probe_tc: bytes | None = b""
        self.done_ts = self.done_tc = False
        self.bits: set[str] | None = None
        self.ints: dict[str, int] | None = None
        self.noinspect = self.passed = self.drop = False
        self.action = ""
        self.alerted = False
        self.icmp_reply = (-1, -1)
        self.exceptions = 0
        self.ip_only = 0
        self.generation = 0

    def swap(self) -> None:
        """Exchange client and server: a flow that was picked up midstream had them the wrong way round."""
        self.src, self.dst, self.sp, self.dp = self.dst, self.src, self.dp, self.sp
        self.pkts_ts, self.pkts_tc = self.pkts_tc, self.pkts_ts
        self.bytes_ts, self.bytes_tc = self.bytes_tc, self.bytes_ts
        self.seen_ts, self.seen_tc = self.seen_tc, self.seen_ts
        self.probe_ts, self.probe_tc = self.probe_tc, self.probe_ts
        self.key, self.rkey = self.rkey, self.key

    def timeout(self) -> float:
        """Seconds without packets after which the flow ends."""
        return TIMEOUTS.get(self.proto, _DEFAULT)[self.state]
