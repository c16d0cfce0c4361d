"""The few packets the controller itself reads and writes: ARP (RFC 826) and ND (RFC 4861).

Addresses are integers (MAC 48 bit, IPv4 32 bit, IPv6 128 bit), as in the flow tables.
Nothing here raises on a malformed packet: `read` returns None, or leaves out what it
could not read.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from wire.checksum import checksum
from wire.ethertype import ARP, IPV4, IPV6
from wire.mac import BROADCAST
from wire.nd import ADVERTISEMENT, SOLICITATION
from wire.protocol import ICMPV6

_ARP_BODY = struct.Struct("!HHBBH6s4s6s4s")


class Packet(NamedTuple):
    """What the controller reads of a frame.

    ``kind`` is ``ask`` (ARP request, neighbour solicitation), ``answer`` (ARP reply,
    neighbour advertisement) or ``data``; ``sender`` is the sender's IP address or 0,
    ``target`` the address asked for or 0; ``family`` 4, 6 or 0.
    """

    eth_src: int
    eth_dst: int
    kind: Literal["ask", "answer", "data"] = "data"
    family: Literal[0, 4, 6] = 0
    sender: int = 0
    target: int = 0


def read(frame: bytes) -> Packet | None:
    """Read an Ethernet frame; None when it is shorter than an Ethernet header."""
    if len(frame) < 14:
        return None
    dst, src = _int(frame[0:6]), _int(frame[6:12])
    kind = _int(frame[12:14])
    if kind == ARP and len(frame) >= 14 + _ARP_BODY.size:
        hardware, protocol, hlen, plen, op, _sha, spa, _tha, tpa = _ARP_BODY.unpack_from(frame, 14)
        if (hardware, protocol, hlen, plen) == (1, IPV4, 6, 4) and op in (1, 2):
            return Packet(src, dst, "ask" if op == 1 else "answer", 4, _int(spa), _int(tpa))
    elif kind == IPV4 and len(frame) >= 34:
        return Packet(src, dst, "data", 4, _int(frame[26:30]), _int(frame[30:34]))
    elif kind == IPV6 and len(frame) >= 54:
        sender, target = _int(frame[22:38]), _int(frame[38:54])
        # RFC 4861, 7.1: neighbour discovery is valid only with hop limit 255 (same link).
        if frame[20] == ICMPV6 and frame[21] == 255 and len(frame) >= 78:
            if frame[54] == SOLICITATION:
                return Packet(src, dst, "ask", 6, sender, _int(frame[62:78]))
            if frame[54] == ADVERTISEMENT:
                # The address that an advertisement speaks for is its target, not its source.
                return Packet(src, dst, "answer", 6, _int(frame[62:78]), target)
        return Packet(src, dst, "data", 6, sender, target)
    return Packet(src, dst)


def arp_request(sender_mac: int, sender: int, target: int) -> bytes:
    """Who has ``target``? A broadcast frame of 42 bytes."""
    return _arp(BROADCAST, sender_mac, 1, sender, 0, target)


def arp_reply(mac: int, address: int, asker_mac: int, asker: int) -> bytes:
    """``address`` is at ``mac``, said to ``asker``."""
    return _arp(asker_mac, mac, 2, address, asker_mac, asker)


def _arp(dst: int, src: int, op: int, spa: int, tha: int, tpa: int) -> bytes:
    body = _ARP_BODY.pack(1, IPV4, 6, 4, op, _mac(src), _ip4(spa), _mac(tha), _ip4(tpa))
    return _mac(dst) + _mac(src) + ARP.to_bytes(2, "big") + body


def solicitation(sender_mac: int, sender: int, target: int) -> bytes:
    """Neighbour solicitation to the target's solicited-node group (RFC 4861, 4.3)."""
    group = 0xFF0200000000000000000001FF000000 | target & 0xFFFFFF
    # RFC 4861, 4.3: a duplicate-address probe (unspecified source) carries no link-layer option.
    option = b"\x01\x01" + _mac(sender_mac) if sender else b""
    message = bytes([SOLICITATION, 0, 0, 0, 0, 0, 0, 0]) + _ip6(target) + option
    return _icmp6(0x333300000000 | group & 0xFFFFFFFF, sender_mac, sender, group, message)


def advertisement(mac: int, address: int, asker_mac: int, asker: int) -> bytes:
    """Neighbour advertisement, solicited and overriding (RFC 4861, 4.4).

    An asker without address (duplicate address detection) is told by multicast, unsolicited.
    """
    solicited = 0x40 if asker else 0
    message = bytes([ADVERTISEMENT, 0, 0, 0, solicited | 0x20, 0, 0, 0])
    message += _ip6(address) + b"\x02\x01" + _mac(mac)
    everyone = 0xFF020000000000000000000000000001
    return _icmp6(asker_mac if asker else 0x333300000001, mac, address, asker or everyone, message)


def time_exceeded(frame: bytes, mac: int, ipv4: int | None, ipv6: int | None) -> bytes | None:
    """What a router tells the sender of a packet that has no hop left (RFC 792; RFC 4443, 3.3).

    ``mac``, ``ipv4`` and ``ipv6`` are the router's.  None where it must keep silent (RFC 1812, 4.3.2.7; RFC
    4443, 2.4 e): about an error message, about what went to or came from no single host, or where the
    router has no address of the family.
    """
    if len(frame) < 34 or frame[0] & 1:
        return None
    sender, kind = _int(frame[6:12]), _int(frame[12:14])
    if kind == IPV4 and ipv4 is not None:
        size = (frame[14] & 15) * 4
        source, protocol = _int(frame[26:30]), frame[23]
        later_fragment = _int(frame[20:22]) & 0x1FFF
        error = protocol == 1 and len(frame) > 14 + size and frame[14 + size] not in (0, 8, 13, 15, 17)
        if size < 20 or later_fragment or error or source == 0 or source >> 28 >= 0xE:
            return None
        # RFC 1812, 4.3.2.3: as much of the packet as fits in 576 octets
        message = _checksummed(bytes((11, 0, 0, 0, 0, 0, 0, 0)) + frame[14 : 14 + 548], b"")
        header = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(message), 0, 0, 64, 1, 0)
        header += _ip4(ipv4) + _ip4(source)
        header = header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
        return _mac(sender) + _mac(mac) + IPV4.to_bytes(2, "big") + header + message
    if kind == IPV6 and ipv6 is not None and len(frame) >= 54:
        source = _int(frame[22:38])
        error = frame[20] == ICMPV6 and len(frame) > 54 and frame[54] < 128
        if error or source == 0 or source >> 120 == 0xFF:
            return None
        message = bytes((3, 0, 0, 0, 0, 0, 0, 0)) + frame[14 : 14 + 1232]
        return _icmp6(sender, mac, ipv6, source, message, 64)
    return None


def _checksummed(message: bytes, pseudo: bytes) -> bytes:
    """An ICMP message with its checksum, which covers the pseudo header, too, if there is one."""
    return message[:2] + checksum(pseudo + message).to_bytes(2, "big") + message[4:]


def _icmp6(dst_mac: int, src_mac: int, src: int, dst: int, message: bytes, hops: int = 255) -> bytes:
    pseudo = _ip6(src) + _ip6(dst) + struct.pack("!II", len(message), ICMPV6)
    message = _checksummed(message, pseudo)
    header = struct.pack("!IHBB", 6 << 28, len(message), ICMPV6, hops) + _ip6(src) + _ip6(dst)
    return _mac(dst_mac) + _mac(src_mac) + IPV6.to_bytes(2, "big") + header + message


def _int(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _mac(value: int) -> bytes:
    return value.to_bytes(6, "big")


def _ip4(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _ip6(value: int) -> bytes:
    return value.to_bytes(16, "big")
