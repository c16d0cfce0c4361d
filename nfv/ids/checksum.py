"""Verifies TCP checksums (RFC 1071; RFC 9293, section 3.1), fast enough for every packet."""

from __future__ import annotations

from nfv.ids.decode.packet import Packet


def segment_is_right(data: bytes, end: int) -> bool:
    """Whether TCP's checksum is right in an Ethernet frame with a plain IPv4 header; the packet ends at
    ``end``."""
    body = data[26:end] if end % 2 == 0 else data[26:end] + b"\0"
    return (int.from_bytes(body, "big") + 6 + end - 34) % 65535 == 0


def tcp_is_right(packet: Packet) -> bool:
    """Whether the checksum is right.  A one's complement sum equals the bytes as one number modulo 65,535."""
    data, at, end = packet.data, packet.l4, packet.end
    body = data[at:end] if (end - at) % 2 == 0 else data[at:end] + b"\0"
    total = int.from_bytes(packet.src + packet.dst, "big") + 6 + (end - at) + int.from_bytes(body, "big")
    return total % 65535 == 0
