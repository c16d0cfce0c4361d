"""TCP segments that end a connection (RFC 9293)."""

from __future__ import annotations

import struct

from wire.ip import covered, packet
from wire.protocol import TCP

FIN, SYN, RST, ACK = 1, 2, 4, 16
CHECKSUM = 16
"""Where the checksum is in the header."""


def bare(source: int, destination: int, sequence: int, acknowledged: int, flags: int) -> bytes:
    """A segment of only a header without options; its checksum is 0. ``source``, ``destination``: ports."""
    return struct.pack("!HHIIBBHHH", source, destination, sequence, acknowledged, 5 << 4, flags, 0, 0, 0)


def reset(segment: bytes, length: int | None = None) -> bytes | None:
    """The reset that answers a segment without a connection; its checksum is 0 (RFC 9293, 3.10.7.1).

    ``length``: octets of the whole segment, if ``segment`` is only its beginning. None: it is a reset itself,
    or its header is not whole.
    """
    if len(segment) < 20 or segment[13] & RST:
        return None
    source, destination, sequence, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", segment)
    if flags & ACK:
        return bare(destination, source, acknowledged, 0, RST)
    taken = max((len(segment) if length is None else length) - (offset >> 4) * 4, 0)
    following = sequence + taken + bool(flags & SYN) + bool(flags & FIN) & 0xFFFFFFFF
    return bare(destination, source, 0, following, RST | ACK)


def in_ip(source: bytes, destination: bytes, segment: bytes) -> bytes:
    """The IP packet with a segment whose checksum is 0 so far."""
    return packet(source, destination, TCP, covered(source, destination, TCP, segment, CHECKSUM))
