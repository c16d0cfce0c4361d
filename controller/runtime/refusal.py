"""Refusing a packet as its destination could have: TCP by a reset, anything else by an ICMP error.

Nothing here raises on a malformed packet.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from controller.runtime.packets import icmp_error, ipv4_packet, ones_complement

_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP, _SCTP = 6, 17, 132
_NAMES = {1: "icmp", _TCP: "tcp", _UDP: "udp", 58: "icmpv6", _SCTP: "sctp"}
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _OPTIONS = 0, 43, 44, 60
_MOST_HEADERS = 8

PROHIBITED4 = (3, 13)
"""ICMP: communication administratively prohibited (RFC 1812, 5.2.7.1)."""
PROHIBITED6 = (1, 1)
"""ICMPv6: the same (RFC 4443, 3.1)."""


class _Ip(NamedTuple):
    """An IP packet's addresses and payload. ``payload`` is empty in all fragments but a first."""

    family: int
    source: int
    target: int
    protocol: int
    payload: bytes


def refusal(frame: bytes) -> bytes | None:
    """The frame that refuses ``frame``, to its sender; None where there is nothing that may be answered.

    A reset as RFC 9293, 3.10.7.1 has it for a closed port; it is not sent about a reset.
    """
    packet = _read(frame)
    if packet is None or frame[0] & 1:
        return None
    mac = int.from_bytes(frame[0:6], "big")
    if packet.protocol == _TCP:
        segment = _reset(packet)
        if segment is None:
            return None
        ends = frame[6:12] + frame[0:6]
        if packet.family == 4:
            return ends + frame[12:14] + ipv4_packet(_TCP, packet.target, packet.source, segment)
        header = struct.pack("!IHBB", 6 << 28, len(segment), _TCP, 64)
        header += packet.target.to_bytes(16, "big") + packet.source.to_bytes(16, "big")
        return ends + frame[12:14] + header + segment
    if packet.family == 4:
        multicast = packet.target >> 28 >= 0xE
        return None if multicast else icmp_error(frame, PROHIBITED4, PROHIBITED6, mac, packet.target, None)
    if packet.target >> 120 == 0xFF:
        return None
    return icmp_error(frame, PROHIBITED4, PROHIBITED6, mac, None, packet.target)


def read(frame: bytes) -> dict[str, object]:
    """Protocol, addresses and ports for people, in EVE's names; empty when it is not IP."""
    packet = _read(frame)
    if packet is None:
        return {}
    address = IPv4Address if packet.family == 4 else IPv6Address
    found: dict[str, object] = {
        "proto": _NAMES.get(packet.protocol, str(packet.protocol)),
        "src_ip": str(address(packet.source)),
        "dest_ip": str(address(packet.target)),
    }
    if packet.protocol in (_TCP, _UDP, _SCTP) and len(packet.payload) >= 4:
        found["src_port"], found["dest_port"] = struct.unpack_from("!HH", packet.payload)
    elif packet.protocol in (1, 58) and len(packet.payload) >= 2:
        found["icmp_type"], found["icmp_code"] = packet.payload[0], packet.payload[1]
    return found


def _read(frame: bytes) -> _Ip | None:
    kind = int.from_bytes(frame[12:14], "big")
    if kind == _IPV4 and len(frame) >= 34:
        size, length = (frame[14] & 15) * 4, int.from_bytes(frame[16:18], "big")
        if frame[14] >> 4 != 4 or size < 20 or length < size:
            return None
        later = int.from_bytes(frame[20:22], "big") & 0x1FFF
        payload = b"" if later else frame[14 + size : 14 + length]
        source, target = int.from_bytes(frame[26:30], "big"), int.from_bytes(frame[30:34], "big")
        return _Ip(4, source, target, frame[23], payload)
    if kind == _IPV6 and len(frame) >= 54 and frame[14] >> 4 == 6:
        end = 54 + int.from_bytes(frame[18:20], "big")
        protocol, payload = _past_extensions(frame[20], frame[54:end])
        source, target = int.from_bytes(frame[22:38], "big"), int.from_bytes(frame[38:54], "big")
        return _Ip(6, source, target, protocol, payload)
    return None


def _past_extensions(protocol: int, payload: bytes) -> tuple[int, bytes]:
    """The upper-layer protocol and its packet (RFC 8200, 4)."""
    for _ in range(_MOST_HEADERS):
        if protocol not in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _OPTIONS) or len(payload) < 8:
            break
        size = 8 if protocol == _FRAGMENT else (payload[1] + 1) * 8
        later = protocol == _FRAGMENT and int.from_bytes(payload[2:4], "big") >> 3
        protocol, payload = payload[0], payload[size:]
        if later:
            return protocol, b""
    return protocol, payload


def _reset(packet: _Ip) -> bytes | None:
    segment = packet.payload
    if len(segment) < 20:
        return None
    source, target, sequence, acknowledged = struct.unpack_from("!HHII", segment)
    flags, data = segment[13], len(segment) - (segment[12] >> 4) * 4
    if flags & _RST or data < 0:
        return None
    if flags & _ACK:
        numbers = acknowledged, 0, _RST
    else:
        length = data + bool(flags & _SYN) + bool(flags & _FIN)
        numbers = 0, sequence + length & 0xFFFFFFFF, _RST | _ACK
    head = struct.pack("!HHIIBBHHH", target, source, numbers[0], numbers[1], 5 << 4, numbers[2], 0, 0, 0)
    width = 4 if packet.family == 4 else 16
    pseudo = packet.target.to_bytes(width, "big") + packet.source.to_bytes(width, "big")
    pseudo += struct.pack("!HH", _TCP, 20) if width == 4 else struct.pack("!II", 20, _TCP)
    return head[:16] + ones_complement(pseudo + head).to_bytes(2, "big") + head[18:]
