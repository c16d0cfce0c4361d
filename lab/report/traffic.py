"""Summarises captured packets: who spoke to whom, by which protocol. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

from nfv.ids.counters import Counters
from nfv.ids.decode.frames import Decoder
from nfv.ids.decode.packet import PROTOCOL_NAMES, Packet
from wire import ethertype
from wire.protocol import SCTP, TCP, UDP

_WITH_PORTS = {TCP, UDP, SCTP}
_NAMES = {ethertype.ARP: "ARP"}
MOST = 10_000
"""Most conversations that are told apart; packets of others are only counted."""


class Conversation(NamedTuple):
    """Packets of one protocol from one end to another. ``octets`` counts whole frames."""

    protocol: str
    source: str
    destination: str
    packets: int
    octets: int


class _Key(NamedTuple):
    protocol: str
    source: str
    destination: str


def conversations(
    frames: Iterable[tuple[float, bytes, int]], largest: int
) -> tuple[int, tuple[Conversation, ...]]:
    """The number of frames, and the ``largest`` conversations by their bytes.

    ``frames``: time, frame and link type (as in pcap files) of each.  A frame in a tunnel counts for the
    conversation inside it, whose protocol then names the tunnel.
    """
    decoder = Decoder(Counters())
    counts: dict[_Key, list[int]] = {}
    total = 0
    for when, data, link_type in frames:
        total += 1
        key = _key(decoder.frame(data, when, total, link_type), data, link_type)
        if key in counts or len(counts) < MOST:
            count = counts.setdefault(key, [0, 0])
            count[0] += 1
            count[1] += len(data)
    ordered = sorted(counts.items(), key=lambda item: (-item[1][1], item[0]))
    return total, tuple(Conversation(*key, packets, octets) for key, (packets, octets) in ordered[:largest])


def _key(packet: Packet, data: bytes, link_type: int) -> _Key:
    within = ""
    if packet.inner:  # the innermost is the first one; a reassembled datagram is also one, in no tunnel
        within = f" in {_protocol(packet)}" if packet.inner[0].outer is not None else ""
        packet = packet.inner[0]
    if not packet.version:
        kind = int.from_bytes(data[12:14], "big") if link_type == 1 else 0
        return _Key(_NAMES.get(kind, f"Ethernet {kind:#06x}" if kind else "other") + within, "", "")
    source, destination = (str(ip_address(address)) for address in (packet.src, packet.dst))
    return _Key(_protocol(packet) + within, source, destination)


def _protocol(packet: Packet) -> str:
    """The protocol, with the port of the side that serves: the lower one."""
    name = PROTOCOL_NAMES.get(packet.proto, f"IP protocol {packet.proto}")
    return f"{name} {min(packet.sp, packet.dp)}" if packet.proto in _WITH_PORTS and packet.sp else name
