"""Who a packet is from and to, for people, in the words of Suricata's EVE.

Nothing here raises on a malformed packet.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from wire.ethertype import IPV4, IPV6
from wire.protocol import DESTINATION, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, NAMES, ROUTING, SCTP, TCP, UDP

_MOST_HEADERS = 8


class _Ip(NamedTuple):
    """An IP packet's addresses and payload. ``payload`` is empty in all fragments but a first."""

    family: int
    source: int
    target: int
    protocol: int
    payload: bytes


def endpoints(frame: bytes) -> dict[str, object]:
    """Protocol, addresses and ports for people, in EVE's names; empty when it is not IP."""
    packet = _read(frame)
    if packet is None:
        return {}
    address = IPv4Address if packet.family == 4 else IPv6Address
    found: dict[str, object] = {
        "proto": NAMES.get(packet.protocol, str(packet.protocol)),
        "src_ip": str(address(packet.source)),
        "dest_ip": str(address(packet.target)),
    }
    if packet.protocol in (TCP, UDP, SCTP) and len(packet.payload) >= 4:
        found["src_port"], found["dest_port"] = struct.unpack_from("!HH", packet.payload)
    elif packet.protocol in (ICMP, ICMPV6) and len(packet.payload) >= 2:
        found["icmp_type"], found["icmp_code"] = packet.payload[0], packet.payload[1]
    return found


def _read(frame: bytes) -> _Ip | None:
    kind = int.from_bytes(frame[12:14], "big")
    if kind == IPV4 and len(frame) >= 34:
        size, length = (frame[14] & 15) * 4, int.from_bytes(frame[16:18], "big")
        if frame[14] >> 4 != 4 or size < 20 or length < size:
            return None
        later = int.from_bytes(frame[20:22], "big") & 0x1FFF
        payload = b"" if later else frame[14 + size : 14 + length]
        source, target = int.from_bytes(frame[26:30], "big"), int.from_bytes(frame[30:34], "big")
        return _Ip(4, source, target, frame[23], payload)
    if kind == IPV6 and len(frame) >= 54 and frame[14] >> 4 == 6:
        end = 54 + int.from_bytes(frame[18:20], "big")
        protocol, payload = _past_extensions(frame[20], frame[54:end])
        source, target = int.from_bytes(frame[22:38], "big"), int.from_bytes(frame[38:54], "big")
        return _Ip(6, source, target, protocol, payload)
    return None


def _past_extensions(protocol: int, payload: bytes) -> tuple[int, bytes]:
    """The upper-layer protocol and its packet (RFC 8200, 4)."""
    for _ in range(_MOST_HEADERS):
        if protocol not in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION) or len(payload) < 8:
            break
        size = 8 if protocol == FRAGMENT else (payload[1] + 1) * 8
        later = protocol == FRAGMENT and int.from_bytes(payload[2:4], "big") >> 3
        protocol, payload = payload[0], payload[size:]
        if later:
            return protocol, b""
    return protocol, payload
