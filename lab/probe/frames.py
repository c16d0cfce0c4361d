"""The frames the prober sends and recognises, as bytes: pure functions, no socket.

ARP is RFC 826, neighbour discovery RFC 4861 (sections 4.3, 4.4), ICMP echo RFC 792, ICMPv6
echo RFC 4443 (section 4).  Every echo carries sixteen bytes of payload: the magic, the nonce of
the run and the number of the probe, so that a frame is recognised wherever it turns up.

A *question* is a request that connection tracking takes for the first packet of a connection, as an echo
request, but that no host's own stack answers. Over IPv4 it is an information request (RFC 792), which Linux
ignores. Over IPv6 it is an echo request with a destination option that nobody knows and that says "discard
the packet" (RFC 8200, 4.2). The prober answers it itself.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from wire import arp, ethertype, nd
from wire.checksum import fold, words
from wire.icmp import ECHO, ECHO6, ECHO_REPLY, ECHO_REPLY6
from wire.mac import mac_octets
from wire.protocol import ICMP, ICMPV6

MAGIC = b"sdnl"
INFORMATION, INFORMATION_REPLY = 15, 16
_DISCARD = bytes((ICMPV6, 0, 0x40 | 0x1E, 4, 0, 0, 0, 0))
"""A destination options header with one option, of a type for experiments (RFC 4727); ICMPv6 follows."""
_OPTIONS = 60
_ARP, _IP4, _IP6 = map(ethertype.octets, (ethertype.ARP, ethertype.IPV4, ethertype.IPV6))


_KINDS4 = (ECHO, ECHO_REPLY, INFORMATION, INFORMATION_REPLY)


class Station(NamedTuple):
    """A host as frames see it: packed addresses and their ones'-complement sums."""

    name: str
    mac: bytes
    ip4: bytes | None
    ip6: bytes | None
    sum4: int
    sum6: int


class Echo(NamedTuple):
    """A recognised probe: ``request`` tells the direction, ``probe`` its number."""

    family: int
    request: bool
    probe: int


class Resolved(NamedTuple):
    """An answer to ARP or a neighbour solicitation: ``address`` has ``mac``."""

    family: int
    address: bytes
    mac: bytes


def station(name: str, mac: str, ip4: IPv4Address | None, ip6: IPv6Address | None) -> Station:
    """The packed form of a host's addresses."""
    packed4 = ip4.packed if ip4 else None
    packed6 = ip6.packed if ip6 else None
    return Station(
        name,
        mac_octets(mac),
        packed4,
        packed6,
        words(packed4) if packed4 else 0,
        words(packed6) if packed6 else 0,
    )


def arp_request(src: Station, target: bytes) -> bytes:
    """An ARP request of ``src`` for ``target`` (4 bytes), as long as the shortest Ethernet frame."""
    assert src.ip4 is not None
    return arp.request(src.mac, src.ip4, target) + bytes(18)


def neighbour_solicitation(src: Station, target: bytes) -> bytes:
    """A neighbour solicitation for ``target`` (16 bytes), to its solicited-node group (RFC 4291, 2.7.1)."""
    assert src.ip6 is not None
    return nd.solicitation(src.mac, src.ip6, target)


def echo4(src: Station, dst: Station, nonce: int, probe: int, kind: int = ECHO) -> bytes:
    """An ICMP echo request, or reply, from ``src`` to ``dst``."""
    assert src.ip4 is not None and dst.ip4 is not None
    payload = struct.pack("!4sIII", MAGIC, nonce, probe, 0)
    ident = nonce & 0xFFFF
    sequence = probe & 0xFFFF
    icmp = fold((kind << 8) + ident + sequence + words(payload))
    # version/IHL 0x4500, length 44, identification, DF, TTL 64 + protocol 1
    header = fold(0x4500 + 44 + sequence + 0x4000 + 0x4001 + src.sum4 + dst.sum4)
    return (
        dst.mac + src.mac + _IP4
        + struct.pack("!HHHHHH", 0x4500, 44, sequence, 0x4000, 0x4001, header) + src.ip4 + dst.ip4
        + struct.pack("!BBHHH", kind, 0, icmp, ident, sequence) + payload
    )  # fmt: skip


def echo6(src: Station, dst: Station, nonce: int, probe: int, kind: int = ECHO6) -> bytes:
    """An ICMPv6 echo request, or reply, from ``src`` to ``dst``."""
    assert src.ip6 is not None and dst.ip6 is not None
    payload = struct.pack("!4sIII", MAGIC, nonce, probe, 0)
    ident = nonce & 0xFFFF
    sequence = probe & 0xFFFF
    checksum = fold(src.sum6 + dst.sum6 + 24 + 58 + (kind << 8) + ident + sequence + words(payload))
    return (
        dst.mac + src.mac + _IP6
        + b"\x60\x00\x00\x00\x00\x18\x3a\x40" + src.ip6 + dst.ip6
        + struct.pack("!BBHHH", kind, 0, checksum, ident, sequence) + payload
    )  # fmt: skip


def question(src: Station, dst: Station, family: int, nonce: int, probe: int, answer: bool = False) -> bytes:
    """A question from ``src`` to ``dst``, or the answer to one."""
    if family == 4:
        return echo4(src, dst, nonce, probe, INFORMATION_REPLY if answer else INFORMATION)
    plain = echo6(src, dst, nonce, probe, ECHO_REPLY6 if answer else ECHO6)
    size = int.from_bytes(plain[18:20], "big") + len(_DISCARD)
    return plain[:18] + size.to_bytes(2, "big") + bytes((_OPTIONS,)) + plain[21:54] + _DISCARD + plain[54:]


def recognise(frame: bytes, nonce: int) -> Echo | Resolved | None:
    """The meaning of ``frame`` for the run with this ``nonce``; None for other traffic."""
    kind = frame[12:14]
    if kind == _IP4:
        if len(frame) < 58 or frame[14] != 0x45 or frame[23] != ICMP or frame[34] not in _KINDS4:
            return None
        return _echo(4, frame[34] in (ECHO, INFORMATION), frame[42:54], nonce)
    if kind == _IP6:
        if len(frame) >= 86 and frame[20] == _OPTIONS and frame[54:62] == _DISCARD:
            frame = frame[:20] + frame[54:55] + frame[21:54] + frame[62:]
        if len(frame) < 78 or frame[20] != ICMPV6:
            return None
        if frame[54] in (ECHO6, ECHO_REPLY6):
            return _echo(6, frame[54] == ECHO6, frame[62:74], nonce)
        if frame[54] == nd.ADVERTISEMENT:
            # RFC 4861, 4.4: without the target link-layer address option, the frame's source address is valid
            mac = frame[80:86] if len(frame) >= 86 and frame[78:80] == b"\x02\x01" else frame[6:12]
            return Resolved(6, frame[62:78], mac)
        return None
    if kind == _ARP and len(frame) >= 42 and frame[20:22] == b"\x00\x02":
        return Resolved(4, frame[28:32], frame[22:28])
    return None


def _echo(family: int, request: bool, payload: bytes, nonce: int) -> Echo | None:
    magic, their_nonce, probe = struct.unpack("!4sII", payload)
    if magic != MAGIC or their_nonce != nonce:
        return None
    return Echo(family, request, probe)
