"""ICMP (RFC 792) and ICMPv6 (RFC 4443): messages, and which packets may have an error message."""

from __future__ import annotations

from wire.checksum import checksum
from wire.ip import DONT_FRAGMENT, TTL, Packet, covered, packet
from wire.protocol import ICMP, ICMPV6

ECHO, ECHO_REPLY = 8, 0
ECHO6, ECHO_REPLY6 = 128, 129
TIME_EXCEEDED, TIME_EXCEEDED6 = (11, 0), (3, 0)
"""Type and code (RFC 792; RFC 4443, 3.3)."""
PROHIBITED, PROHIBITED6 = (3, 13), (1, 1)
"""Communication administratively prohibited (RFC 1812, 5.2.7.1; RFC 4443, 3.1)."""
PORT_UNREACHABLE, PORT_UNREACHABLE6 = (3, 3), (1, 4)
MOST4, MOST6 = 576, 1280
"""Octets of the longest error message (RFC 1812, 4.3.2.3; RFC 4443, 2.4 c)."""
_QUERIES = frozenset((0, 8, 13, 14, 15, 16, 17, 18))
"""Types of ICMP messages that are no errors (RFC 792, RFC 950)."""
_INTERNETWORK_CONTROL = 0xC0
"""The precedence of routers' messages (RFC 1812, 4.3.2.5)."""


def may_be_told(about: Packet) -> bool:
    """Whether a packet's sender may get an error message about it (RFC 1122, 3.2.2; RFC 4443, 2.4 e).

    Not about an error message, a later fragment, or a packet that is not from one host to one host.
    """
    if about.later:
        return False
    if about.version == 4:
        if not (about.destination[0] < 224 and 0 < about.source[0] < 224):
            return False
        return about.protocol != ICMP or (about.body[:1] != b"" and about.body[0] in _QUERIES)
    if about.destination[0] == 0xFF or about.source[0] == 0xFF or not any(about.source):
        return False
    return about.protocol != ICMPV6 or (about.body[:1] != b"" and about.body[0] >= 128)


def message(kind: int, code: int, rest: bytes) -> bytes:
    """An ICMP message; ``rest`` follows its checksum."""
    body = bytes((kind, code, 0, 0)) + rest
    return body[:2] + checksum(body).to_bytes(2, "big") + body[4:]


def message6(source: bytes, destination: bytes, kind: int, code: int, rest: bytes, hops: int) -> bytes:
    """The IPv6 packet with an ICMPv6 message; ``rest`` follows its checksum."""
    body = covered(source, destination, ICMPV6, bytes((kind, code, 0, 0)) + rest, 2)
    return packet(source, destination, ICMPV6, body, hops)


def error(kind: tuple[int, int], source: bytes, destination: bytes, quoted: bytes) -> bytes:
    """The IP packet with an error message about the packet ``quoted``. ``kind``: type and code."""
    if len(source) == 16:
        return message6(source, destination, *kind, bytes(4) + quoted[: MOST6 - 48], TTL)
    body = message(*kind, bytes(4) + quoted[: MOST4 - 28])
    return packet(source, destination, ICMP, body, flags=DONT_FRAGMENT)


def time_exceeded(about: Packet, router: bytes, quoted: bytes) -> bytes | None:
    """A router's message to the sender of a packet whose TTL has run out; None: no message is allowed.

    ``router``: its address."""
    if not may_be_told(about):
        return None
    if about.version == 6:
        return error(TIME_EXCEEDED6, router, about.source, quoted)
    body = message(*TIME_EXCEEDED, bytes(4) + quoted[: MOST4 - 28])
    return packet(router, about.source, ICMP, body, tos=_INTERNETWORK_CONTROL, flags=0)


def echo(six: bool, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An echo request. In ICMPv6 (``six``) its checksum is 0: the kernel sets it on raw sockets."""
    rest = identifier.to_bytes(2, "big") + sequence.to_bytes(2, "big") + payload
    return bytes((ECHO6, 0, 0, 0)) + rest if six else message(ECHO, 0, rest)
