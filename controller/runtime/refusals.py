"""What the sender of a refused packet is told: a TCP reset, or an ICMP error. Octets in, octets out.

The answer comes as if from the packet's destination (MAC and IP address), so that the sender's own connection
tracking knows what it is about, and no address of the firewall's is needed.
"""

from __future__ import annotations

import struct

from controller.runtime.packets import _checksummed, _icmp6, _int
from wire.checksum import checksum
from wire.ethertype import IPV4, IPV6
from wire.protocol import ICMP, ICMPV6, TCP

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_PROHIBITED, _PROHIBITED6 = (3, 13), (1, 1)
"""Type and code of "communication administratively prohibited" (RFC 1812, 5.2.7.1; RFC 4443, 3.1)."""
_EXTENSIONS = frozenset((0, 43, 60))
"""IPv6 headers that name their length and what follows: hop-by-hop, routing and destination options."""


def refusal(frame: bytes) -> bytes | None:
    """The frame that tells the sender of ``frame`` that it is refused.

    None where nothing may be said (RFC 9293, 3.5.2; RFC 1122, 3.2.2; RFC 4443, 2.4 e): about a reset, an
    error message, a later fragment, to or from no single host, or where the frame is no whole IP packet.
    """
    if len(frame) < 34 or frame[0] & 1:
        return None
    kind = _int(frame[12:14])
    if kind == IPV4:
        return _refusal4(frame)
    return _refusal6(frame) if kind == IPV6 and len(frame) >= 54 else None


def _refusal4(frame: bytes) -> bytes | None:
    size, length = (frame[14] & 15) * 4, _int(frame[16:18])
    source, target, protocol = frame[26:30], frame[30:34], frame[23]
    if size < 20 or length < size or len(frame) < 14 + length or _int(frame[20:22]) & 0x1FFF:
        return None
    if source[0] >> 4 == 0xE or target[0] >> 4 == 0xE or not any(source) or target == b"\xff" * 4:
        return None
    packet, body = frame[14 : 14 + length], frame[14 + size : 14 + length]
    if protocol == TCP:
        answer = _reset(body)
        if answer is None:
            return None
        pseudo = target + source + struct.pack("!BBH", 0, TCP, len(answer))
        answer = answer[:16] + checksum(pseudo + answer).to_bytes(2, "big") + answer[18:]
    else:
        if protocol == ICMP and (not body or body[0] not in (0, 8, 13, 14, 15, 16, 17, 18)):
            return None
        # RFC 1812, 4.3.2.3: as much of the packet as fits in 576 octets
        answer, protocol = _checksummed(bytes((*_PROHIBITED, 0, 0, 0, 0, 0, 0)) + packet[:548], b""), ICMP
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(answer), 0, 0x4000, 64, protocol, 0) + target + source
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return frame[6:12] + frame[0:6] + frame[12:14] + head + answer


def _refusal6(frame: bytes) -> bytes | None:
    source, target, after, at = frame[22:38], frame[38:54], frame[20], 54
    end = 54 + _int(frame[18:20])
    if source[0] == 0xFF or target[0] == 0xFF or not any(source) or len(frame) < end:
        return None
    while after in _EXTENSIONS and at + 8 <= end:
        after, at = frame[at], at + 8 + 8 * frame[at + 1]
    if after == 44:
        # of a fragment only the first says what it is part of; the refusal of that one suffices
        if at + 8 > end or _int(frame[at + 2 : at + 4]) & 0xFFF8:
            return None
    elif after == ICMPV6 and (at >= end or frame[at] < 128):
        return None
    if after == TCP:
        answer = _reset(frame[at:end])
        if answer is None:
            return None
        pseudo = target + source + struct.pack("!II", len(answer), TCP)
        answer = answer[:16] + checksum(pseudo + answer).to_bytes(2, "big") + answer[18:]
        head = struct.pack("!IHBB", 6 << 28, len(answer), TCP, 64) + target + source
        return frame[6:12] + frame[0:6] + frame[12:14] + head + answer
    # RFC 4443, 2.4 c: as much of the packet as fits in the smallest MTU, 1280 octets
    message = bytes((*_PROHIBITED6, 0, 0, 0, 0, 0, 0)) + frame[14:end][:1232]
    return _icmp6(_int(frame[6:12]), _int(frame[0:6]), _int(target), _int(source), message, 64)


def _reset(segment: bytes) -> bytes | None:
    """The reset for a segment of no connection, its checksum 0 (RFC 9293, 3.10.7.1)."""
    if len(segment) < 20 or segment[13] & _RST:
        return None
    flags, offset = segment[13], (segment[12] >> 4) * 4
    if flags & _ACK:
        seq, ack, said = _int(segment[8:12]), 0, _RST
    else:
        length = max(len(segment) - offset, 0) + bool(flags & _SYN) + bool(flags & _FIN)
        seq, ack, said = 0, (_int(segment[4:8]) + length) & 0xFFFFFFFF, _RST | _ACK
    return segment[2:4] + segment[0:2] + struct.pack("!IIBBHHH", seq, ack, 0x50, said, 0, 0, 0)
