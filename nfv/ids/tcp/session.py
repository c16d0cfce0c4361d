"""The data of a TCP connection: its state, its two streams, its options (RFC 9293, section 3.3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from nfv.ids.tcp.stream import Stream

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

(
    NONE,
    SYN_SENT,
    SYN_RECV,
    ESTABLISHED,
    FIN_WAIT1,
    FIN_WAIT2,
    TIME_WAIT,
    LAST_ACK,
    CLOSE_WAIT,
    CLOSING,
    CLOSED,
) = range(11)
STATES = (
    "none",
    "syn_sent",
    "syn_recv",
    "established",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "last_ack",
    "close_wait",
    "closing",
    "closed",
)
"""EVE's names of the states."""


@dataclass(slots=True)
class Options:
    """Suricata's settings ``stream.*``."""

    midstream: bool = False
    async_oneside: bool = False
    inline: bool = False
    checksums: bool = True
    depth: int = 1 << 20
    chunk: int = 2560
    memcap: int = 256 << 20
    buffered: int = 0
    """Bytes that all streams keep now; beyond ``memcap`` no segment is added."""
    refused: int = 0


MOST_HELLOS = 5
"""Limit of the SYNs, and of the SYN/ACKs, that a connection keeps until one is acknowledged (Suricata's
``stream.max-synack-queued``)."""


class Hello(NamedTuple):
    """The fields of a SYN or SYN/ACK."""

    isn: int
    ack: int
    wscale: int
    win: int


class Session:
    """One connection; ``client`` is the sender of the first SYN.

    An attacker may send further SYNs and SYN/ACKs with other numbers. An acknowledgement shows which ones are
    valid, so all are kept in ``syns`` and ``synacks`` until the connection is established.
    """

    __slots__ = (
        "client",
        "events",
        "flags_tc",
        "flags_ts",
        "four_way",
        "midstream",
        "one_sided",
        "over",
        "reset",
        "server",
        "state",
        "synacks",
        "syns",
        "tfo",
    )

    def __init__(self) -> None:
        self.client, self.server = Stream(), Stream()
        self.state = NONE
        self.flags_ts = self.flags_tc = 0
        self.midstream = self.one_sided = self.four_way = self.tfo = False
        self.over = self.reset = False
        self.events: list[str] = []
        self.syns: list[Hello] = []
        self.synacks: list[Hello] = []

    def swap(self) -> None:
        """Exchange client and server."""
        self.client, self.server = self.server, self.client
        self.flags_ts, self.flags_tc = self.flags_tc, self.flags_ts
