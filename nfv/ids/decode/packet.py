"""A decoded packet: offsets into its bytes, and results of later stages."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from nfv.ids.flow import Flow
from wire.protocol import AUTHENTICATION, ESP, GRE, ICMP, ICMPV6, IP_IN_IP, IPV6, SCTP, TCP, UDP

PROTOCOL_NAMES = {
    TCP: "TCP",
    UDP: "UDP",
    ICMP: "ICMP",
    ICMPV6: "IPv6-ICMP",
    SCTP: "SCTP",
    GRE: "GRE",
    ESP: "ESP",
    AUTHENTICATION: "AH",
    2: "IGMP",
    IP_IN_IP: "IP-in-IP",
    IPV6: "IPv6",
    0: "IP",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
}
"""Names of IP protocols (IANA's registry of protocol numbers) as EVE writes them."""


class Packet:
    """One IP packet.  ``data`` are the bytes that all offsets refer to; a payload is ``data[pay:end]``.

    ``version`` is 0 if there is no valid IP header.  Addresses are packed (4 or 16 bytes), times are in
    seconds.
    """

    __slots__ = (
        "ack",
        "begin",
        "blocked_by",
        "code",
        "data",
        "dp",
        "drop_reason",
        "dropped",
        "dst",
        "end",
        "established",
        "events",
        "exts",
        "flags",
        "flow",
        "frag",
        "fragment",
        "icmp_id",
        "icmp_seq",
        "inner",
        "kind",
        "l3",
        "l4",
        "linktype",
        "mss",
        "num",
        "options",
        "outer",
        "passed",
        "pay",
        "proto",
        "pseudo",
        "reject",
        "sack",
        "seq",
        "size",
        "sp",
        "src",
        "stream_add",
        "stream_eof",
        "stream_est",
        "tfo",
        "tos",
        "toserver",
        "ts",
        "tsval",
        "ttl",
        "version",
        "vlan",
        "win",
        "wscale",
    )
    data: bytes
    flow: Flow | None
    blocked_by: Any

    def __init__(self, data: bytes, ts: float, num: int) -> None:
        self.data = data
        self.ts = ts
        self.num = num
        self.size = len(data)
        self.version = 0
        self.proto = 0
        self.src = self.dst = b""
        self.sp = self.dp = 0
        self.begin = 0  # where its own frame begins: that of an inner one lies within the outer's
        self.l3 = self.l4 = self.pay = self.end = 0
        self.ttl = self.tos = self.frag = 0
        self.kind = self.code = -1
        self.icmp_id = self.icmp_seq = -1
        self.flags = self.seq = self.ack = self.win = 0
        self.options: bytes = b""
        self.exts: tuple[int, ...] = ()
        self.vlan: tuple[int, ...] = ()
        self.events: list[str] | None = None
        self.inner: list[Packet] | None = None
        self.outer: Packet | None = None
        self.flow = None
        self.toserver = True
        self.established = False
        self.stream_est = False
        self.stream_add = False
        self.stream_eof = False
        self.passed = False
        self.dropped = False
        self.drop_reason = ""
        self.reject = False
        self.blocked_by = None  # the verdict.Alert that dropped it
        self.pseudo = False
        self.fragment = False
        self.linktype = 1
        self.mss = self.wscale = self.tsval = -1
        self.sack = False
        self.tfo = False

    @property
    def payload(self) -> bytes:
        """The payload of the transport header (or, without one, of the IP header)."""
        return self.data[self.pay : self.end]

    def event(self, name: str) -> None:
        """Record an error under the name of Suricata's decoder event."""
        if self.events is None:
            self.events = []
        if len(self.events) < 16:
            self.events.append(name)


def text(address: bytes) -> str:
    """An address in EVE's form: IPv6 in full groups (Suricata's PrintInet does not shorten)."""
    if len(address) == 4:
        return ".".join(map(str, address))
    return ip_address(address).exploded


def protocol_name(proto: int) -> str:
    """The name of an IP protocol; its number in three digits if it has no name."""
    return PROTOCOL_NAMES.get(proto) or f"{proto:03d}"
