"""ARP for IPv4 on Ethernet (RFC 826), as frames. Addresses are octets."""

from __future__ import annotations

import struct

from wire import ethertype

REQUEST, REPLY = 1, 2
_BODY = struct.Struct("!HHBBH6s4s6s4s")
_BROADCAST = b"\xff" * 6


def request(sender_mac: bytes, sender: bytes, target: bytes) -> bytes:
    """Who has ``target``? A broadcast frame of 42 octets."""
    return _frame(_BROADCAST, sender_mac, REQUEST, sender, bytes(6), target)


def reply(mac: bytes, address: bytes, asker_mac: bytes, asker: bytes) -> bytes:
    """Tells ``asker`` that ``address`` is at ``mac``."""
    return _frame(asker_mac, mac, REPLY, address, asker_mac, asker)


def _frame(to: bytes, sender_mac: bytes, operation: int, sender: bytes, mac: bytes, target: bytes) -> bytes:
    body = _BODY.pack(1, ethertype.IPV4, 6, 4, operation, sender_mac, sender, mac, target)
    return to + sender_mac + ethertype.octets(ethertype.ARP) + body


def read(body: bytes) -> tuple[int, bytes, bytes, bytes] | None:
    """(operation, sender's MAC address, sender's IP address, target) of the octets after a frame's EtherType;
    None if they are no ARP packet, or one for other protocols."""
    if len(body) < _BODY.size:
        return None
    hardware, protocol, hlen, plen, operation, mac, sender, _, target = _BODY.unpack_from(body)
    if (hardware, protocol, hlen, plen) != (1, ethertype.IPV4, 6, 4) or operation not in (REQUEST, REPLY):
        return None
    return operation, mac, sender, target
