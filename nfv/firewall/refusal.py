"""What the sender of a refused packet is told: a TCP reset, or that it is prohibited. Pure.

The kernel's own ``reject`` asks its routing tables and ARP for the way back, which a transparent function
does not have; so the answer is made here, as if the destination had given it, and goes out where the packet
came in.
"""

from __future__ import annotations

import struct

from nfv.firewall.packets import Packet, parse, pseudo
from wire import ethertype
from wire.checksum import checksum
from wire.protocol import ICMP, ICMPV6, TCP

FIN, SYN, RST, ACK = 1, 2, 4, 16
TTL = 64
MOST4, MOST6 = 576, 1280
"""The longest error message (RFC 1812, 4.3.2.3; RFC 4443, 2.4 (c))."""


def refusal(header: bytes, data: bytes) -> bytes | None:
    """The frame to send back for the IP packet ``data`` that came with the Ethernet ``header``.

    None where none may be sent: for errors, resets, later fragments, and what is not from and to one host
    (RFC 1122, 3.2.2; RFC 4443, 2.4 (e)).
    """
    packet = parse(data)
    if packet is None or packet.later or len(header) < 14 or header[0] & 1 or not _unicast(packet):
        return None
    if packet.protocol == TCP:
        segment = _reset(packet, _length(data, packet))
        if segment is None:
            return None
        reply = _ip(packet, TCP, segment)
    elif packet.version == 4:
        if packet.protocol == ICMP and (not packet.body or packet.body[0] not in (0, 8, 13, 14)):
            return None
        quoted = data[: MOST4 - 28]
        # communication administratively prohibited (RFC 1812, 5.2.7.1)
        message = struct.pack("!BBHI", 3, 13, 0, 0) + quoted
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        reply = _ip(packet, ICMP, message)
    else:
        if packet.protocol == ICMPV6 and (not packet.body or packet.body[0] < 128):
            return None
        message = struct.pack("!BBHI", 1, 1, 0, 0) + data[: MOST6 - 48]  # RFC 4443, 3.1
        whole = pseudo(packet.destination, packet.source, ICMPV6, len(message)) + message
        message = message[:2] + struct.pack("!H", checksum(whole)) + message[4:]
        reply = _ip(packet, ICMPV6, message)
    return header[6:12] + header[:6] + ethertype.octets(ethertype.OF_VERSION[packet.version]) + reply


def _unicast(packet: Packet) -> bool:
    if packet.version == 4:
        return packet.destination[0] < 224 and 0 < packet.source[0] < 224
    return packet.destination[0] != 0xFF and packet.source[0] != 0xFF and any(packet.source)


def _length(data: bytes, packet: Packet) -> int:
    """Octets of the protocol's part in the whole packet, of which ``data`` may be the beginning."""
    if packet.version == 4:
        total = int(struct.unpack_from("!H", data, 2)[0])
    else:
        total = 40 + int(struct.unpack_from("!H", data, 4)[0])
    return max(total - (len(data) - len(packet.body)), len(packet.body))


def _reset(packet: Packet, length: int) -> bytes | None:
    """RFC 9293, 3.10.7.1."""
    if packet.ports is None or len(packet.body) < 20:
        return None
    sequence, acknowledged, offset, flags = struct.unpack_from("!IIBB", packet.body, 4)
    if flags & RST:
        return None
    if flags & ACK:
        own, seen, answer = acknowledged, 0, RST
    else:
        taken = length - (offset >> 4) * 4 + bool(flags & SYN) + bool(flags & FIN)
        own, seen, answer = 0, (sequence + taken) & 0xFFFFFFFF, RST | ACK
    port, other = packet.ports
    segment = struct.pack("!HHIIBBHHH", other, port, own, seen, 5 << 4, answer, 0, 0, 0)
    whole = pseudo(packet.destination, packet.source, TCP, len(segment)) + segment
    return segment[:16] + struct.pack("!H", checksum(whole)) + segment[18:]


def _ip(packet: Packet, protocol: int, body: bytes) -> bytes:
    """The answer's IP packet: from the packet's destination to its source."""
    if packet.version == 6:
        return (
            struct.pack("!IHBB", 6 << 28, len(body), protocol, TTL)
            + packet.destination
            + packet.source
            + body
        )
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, TTL, protocol, 0)
    head += packet.destination + packet.source
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body
