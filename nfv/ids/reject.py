"""What a rejected packet is answered with: TCP resets (RFC 9293, section 3.10.7.1), else ICMP unreachables
(RFC 792, 4443).
"""

from __future__ import annotations

import struct

from nfv.ids.packet import TCP, Packet
from wire.checksum import checksum


def answers(packet: Packet) -> tuple[list[bytes], list[bytes]]:
    """Frames (back to the sender, on to the receiver) of an Ethernet frame that was rejected."""
    if packet.outer is not None or packet.linktype != 1 or packet.version == 0 or packet.l3 < 14:
        return [], []
    data = packet.data
    ethernet = data[: packet.l3]
    back = ethernet[6:12] + ethernet[:6] + ethernet[12:]
    if packet.proto == TCP:
        if packet.flags & 4:
            return [], []
        length = packet.end - packet.pay + bool(packet.flags & 2) + bool(packet.flags & 1)
        following = packet.seq + length & 0xFFFFFFFF
        if packet.flags & 16:
            reset = _tcp(packet.dp, packet.sp, packet.ack, 0, 4)
        else:
            reset = _tcp(packet.dp, packet.sp, 0, following, 4 | 16)
        onward = _tcp(packet.sp, packet.dp, packet.seq, packet.ack, 4 | (packet.flags & 16))
        return (
            [back + _ip(packet.version, packet.dst, packet.src, TCP, reset)],
            [ethernet + _ip(packet.version, packet.src, packet.dst, TCP, onward)],
        )
    quoted = data[packet.l3 : min(packet.end, packet.l3 + 28 + 64)]
    if packet.version == 4:
        body = _icmp(3, 3, quoted[:28])
        return [back + _ip(4, packet.dst, packet.src, 1, body)], []
    return [back + _ip(6, packet.dst, packet.src, 58, bytes((1, 4, 0, 0, 0, 0, 0, 0)) + quoted)], []


def _tcp(sp: int, dp: int, seq: int, ack: int, flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", sp, dp, seq, ack, 5 << 4, flags, 0, 0, 0)


def _icmp(kind: int, code: int, quoted: bytes) -> bytes:
    body = bytes((kind, code, 0, 0, 0, 0, 0, 0)) + quoted
    return body[:2] + checksum(body).to_bytes(2, "big") + body[4:]


def _ip(version: int, src: bytes, dst: bytes, proto: int, body: bytes) -> bytes:
    at = {6: 16, 58: 2}.get(proto)
    if at is not None:
        pseudo = src + dst + struct.pack("!II", len(body), proto)
        body = body[:at] + checksum(pseudo + body).to_bytes(2, "big") + body[at + 2 :]
    if version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), proto, 64) + src + dst + body
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, proto, 0) + src + dst
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + body
