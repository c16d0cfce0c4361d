"""IP packets (RFC 791, RFC 8200): reading one, and making one. Addresses are octets, as in the packet."""

from __future__ import annotations

import struct

from wire.checksum import checksum
from wire.protocol import AUTHENTICATION, EXTENSIONS, FRAGMENT, SCTP, TCP, UDP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import namedtuple

TTL = 64
DONT_FRAGMENT = 0x4000

if TYPE_CHECKING:

    class Packet(NamedTuple):
        """``source``, ``destination``: 4 or 16 octets. ``protocol``: that after IPv6's extension headers.

        ``at``: where the protocol's header begins. ``body``: the octets from there that are present;
        ``length``: their number in the whole packet. ``fragment``: it is one of several fragments; ``later``:
        it is not the first of them, so its body has no header. ``ports``: None if the protocol has none, or
        they are not present.
        """

        version: int
        source: bytes
        destination: bytes
        protocol: int
        at: int
        body: bytes
        length: int
        fragment: bool
        later: bool
        ports: tuple[int, int] | None

else:
    Packet = namedtuple("Packet", "version source destination protocol at body length fragment later ports")


def read(data: bytes) -> Packet | None:
    """Read an IPv4 or IPv6 packet, which may be cut short, or have padding after it; None if it is
    neither."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        at, total = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
        if at < 20 or total < at:
            return None
        parts = int.from_bytes(data[6:8], "big")
        return _packet(4, data[12:16], data[16:20], data[9], at, data[at:total], total - at, parts & 0x3FFF)
    if len(data) >= 40 and data[0] >> 4 == 6:
        following, at, parts = data[6], 40, 0
        end = 40 + int.from_bytes(data[4:6], "big")
        while following in EXTENSIONS and at + 8 <= min(len(data), end):
            if following == FRAGMENT:
                word = int.from_bytes(data[at + 2 : at + 4], "big")
                # in IPv4's form: the flag for more fragments, and the offset (RFC 8200, 4.5)
                parts, size = (word & 1) << 13 | word >> 3, 8
            else:
                size = (data[at + 1] + 2) * 4 if following == AUTHENTICATION else (data[at + 1] + 1) * 8
            following, at = data[at], at + size
            if parts & 0x1FFF:
                break
        return _packet(6, data[8:24], data[24:40], following, at, data[at:end], max(end - at, 0), parts)
    return None


def _packet(
    version: int,
    source: bytes,
    destination: bytes,
    protocol: int,
    at: int,
    body: bytes,
    length: int,
    parts: int,
) -> Packet:
    """``parts``: IPv4's flag for more fragments, and offset."""
    later = parts & 0x1FFF != 0
    ports = None
    if protocol in (TCP, UDP, SCTP) and not later and len(body) >= 4:
        ports = struct.unpack_from("!HH", body)
    return Packet(version, source, destination, protocol, at, body, length, parts != 0, later, ports)


def pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """The pseudo-header of RFC 9293 (3.1) and RFC 8200 (8.1)."""
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!IxxxB", length, protocol)


def packet(
    source: bytes,
    destination: bytes,
    protocol: int,
    body: bytes,
    ttl: int = TTL,
    tos: int = 0,
    flags: int = DONT_FRAGMENT,
) -> bytes:
    """A packet without options or extension headers; its addresses decide the version. ``flags``: IPv4's."""
    if len(source) == 16:
        head = struct.pack("!IHBB", 6 << 28 | tos << 20, len(body), protocol, ttl)
        return head + source + destination + body
    head = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(body), 0, flags, ttl, protocol, 0)
    head += source + destination
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + body


def covered(source: bytes, destination: bytes, protocol: int, body: bytes, at: int) -> bytes:
    """``body`` with its checksum at ``at``, where it has 0 so far. The pseudo-header is part of the sum."""
    whole = pseudo(source, destination, protocol, len(body)) + body
    return body[:at] + checksum(whole).to_bytes(2, "big") + body[at + 2 :]
