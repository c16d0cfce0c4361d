"""An IP packet's connection, and the packet sent elsewhere: octets in, octets out."""

from __future__ import annotations

import struct
from typing import NamedTuple

from controller.runtime.packets import _int
from wire.checksum import checksum
from wire.ethertype import IPV4, IPV6
from wire.protocol import TCP, UDP

_CHECKSUM = {TCP: 16, UDP: 6}
"""Where the checksum is in each protocol's header (RFC 9293, 3.1; RFC 768)."""


class Parts(NamedTuple):
    """A whole TCP or UDP packet. ``at``, ``end``: where in the frame it is, without its IP header."""

    version: int
    source: int
    destination: int
    protocol: int
    tp_src: int
    tp_dst: int
    at: int
    end: int


def parts(frame: bytes) -> Parts | None:
    """Of an Ethernet frame; None: no whole TCP or UDP packet, or behind IPv6 extension headers."""
    kind = _int(frame[12:14])
    if kind == IPV4 and len(frame) >= 34:
        at, end, protocol = 14 + (frame[14] & 15) * 4, 14 + _int(frame[16:18]), frame[23]
        version, source, destination = 4, _int(frame[26:30]), _int(frame[30:34])
        if _int(frame[20:22]) & 0x3FFF or at < 34:
            return None
    elif kind == IPV6 and len(frame) >= 54:
        at, end, protocol = 54, 54 + _int(frame[18:20]), frame[20]
        version, source, destination = 6, _int(frame[22:38]), _int(frame[38:54])
    else:
        return None
    least = {TCP: 20, UDP: 8}.get(protocol)
    if least is None or end > len(frame) or end - at < least:
        return None
    tp_src, tp_dst = struct.unpack_from("!HH", frame, at)
    return Parts(version, source, destination, protocol, tp_src, tp_dst, at, end)


def sent_to(frame: bytes, what: Parts, mac: bytes, address: int, port: int) -> bytes:
    """The frame to another destination, its checksums made anew.

    They are not adjusted: on virtual wires a checksum may have been left to hardware (see
    ``topologies.transit.without_offloads``).
    """
    width = 4 if what.version == 4 else 16
    head = bytearray(frame[: what.at])
    body = bytearray(frame[what.at : what.end])
    head[0:6] = mac
    where = 30 if what.version == 4 else 38
    head[where : where + width] = address.to_bytes(width, "big")
    body[2:4] = port.to_bytes(2, "big")
    if what.version == 4:
        head[24:26] = bytes(2)
        head[24:26] = checksum(bytes(head[14:])).to_bytes(2, "big")
    place = _CHECKSUM[what.protocol]
    body[place : place + 2] = bytes(2)
    pseudo = bytes(head[where - width : where + width]) + struct.pack("!II", len(body), what.protocol)
    total = checksum(pseudo + bytes(body))
    # RFC 768: 0 would say that there is none
    body[place : place + 2] = (total or 0xFFFF if what.protocol == UDP else total).to_bytes(2, "big")
    return bytes(head + body)


def reset_onward(frame: bytes, what: Parts) -> bytes:
    """The reset that a TCP segment's receiver gets in its place, as if from its sender.

    It has the segment's sequence number. A receiver that expects another one answers with an acknowledgement
    (RFC 5961, 3.2), which tells that.
    """
    body = frame[what.at : what.at + 8] + bytes(4) + struct.pack("!BBHHH", 0x50, 4, 0, 0, 0)
    if what.version == 4:
        head = bytearray(frame[14:34])
        head[0], head[2:4], head[6:8] = 0x45, struct.pack("!H", 40), b"\x40\x00"
    else:
        head = bytearray(frame[14:54])
        head[4:6] = struct.pack("!H", 20)
    whole = frame[:14] + bytes(head) + body
    short = what._replace(at=14 + len(head), end=len(whole))
    return sent_to(whole, short, frame[0:6], what.destination, what.tp_dst)
