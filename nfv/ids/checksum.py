"""Is the checksum of TCP right (RFC 1071; RFC 9293, section 3.1)? Fast enough for every packet."""

from __future__ import annotations

from nfv.ids.decode.packet import Packet


def segment_is_right(data: bytes, end: int) -> bool:
    """Is TCP's right in an Ethernet frame with a plain IPv4 header, of which the packet ends at ``end``?"""
    body = data[26:end] if end % 2 == 0 else data[26:end] + b"\0"
    return (int.from_bytes(body, "big") + 6 + end - 34) % 65535 == 0


def tcp_is_right(packet: Packet) -> bool:
    """Is it right?  One's complement sums of 16 bits are what remains modulo 65,535 of the bytes as one
    number.
    """
    data, at, end = packet.data, packet.l4, packet.end
    body = data[at:end] if (end - at) % 2 == 0 else data[at:end] + b"\0"
    total = int.from_bytes(packet.src + packet.dst, "big") + 6 + (end - at) + int.from_bytes(body, "big")
    return total % 65535 == 0
