"""The frames that checks send and recognise, as octets: pure functions, no socket.

Every request has a tag, by which it is known wherever it turns up, also after its addresses have changed: an
echo request and a datagram in their payload, a TCP segment in its sequence number.  Answers have it, too: a
TCP segment acknowledges it (RFC 9293, 3.4), an ICMP error quotes it (RFC 792, RFC 4443).
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from lab.probe.frames import MAGIC, Station, arp_request, echo4, echo6, station
from wire import ethertype, icmp, tcp
from wire.ip import Packet, covered, packet, read
from wire.protocol import ICMP, ICMPV6, TCP, UDP

LEAST_PORT, PORTS = 33_000, 27_000
"""Requests come from these ports, each from another one."""
_IP4, _IP6 = ethertype.octets(ethertype.IPV4), ethertype.octets(ethertype.IPV6)
VXLAN_PORT = 4789
_VLANS = (b"\x81\x00", b"\x88\xa8")
_ERRORS4, _ERRORS6 = frozenset((3, 4, 5, 11, 12)), frozenset((1, 2, 3, 4))
_FLAGS = ((tcp.SYN, "SYN"), (tcp.ACK, "ACK"), (tcp.RST, "RST"), (tcp.FIN, "FIN"))


class Seen(NamedTuple):
    """A packet of a probe. ``tag``: that of its request; -1: it is known by ``port`` only, the one that the
    request came from."""

    tag: int
    kind: Literal["request", "reply", "syn-ack", "reset", "icmp"]
    port: int = 0


def source_port(tag: int) -> int:
    """The port that the request with this tag comes from."""
    return LEAST_PORT + tag % PORTS


def request(src: Station, dst: Station, protocol: str, port: int, nonce: int, tag: int) -> bytes:
    """The request with a tag; ``dst.mac`` is that of the next hop."""
    family = 4 if src.ip4 and dst.ip4 else 6
    if protocol == "icmp":
        return (echo4 if family == 4 else echo6)(src, dst, nonce, tag)
    source, destination = (src.ip4, dst.ip4) if family == 4 else (src.ip6, dst.ip6)
    assert source and destination
    if protocol == "tcp":
        segment = tcp.bare(source_port(tag), port, nonce + tag & 0xFFFFFFFF, 0, tcp.SYN)
        segment = segment[:14] + b"\xff\xff" + segment[16:]
        body = tcp.in_ip(source, destination, segment)
    else:
        body = datagram(source, destination, source_port(tag), port, payload(nonce, tag))
    return dst.mac + src.mac + (_IP4 if family == 4 else _IP6) + body


NOBODY = bytes.fromhex("0a5d5d5d5d5d")
"""A MAC address that is locally administered, and that no lab gives."""
_ARP = ethertype.octets(ethertype.ARP)
_EVERYBODY4, _EVERYBODY6 = (
    station("everybody", mac, IPv4Address("255.255.255.255"), IPv6Address("ff02::1"))
    for mac in ("ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01")
)


def stray(src: Station, dst: Station, sort: str, nonce: int, tag: int) -> bytes:
    """The request with a tag that is addressed in another way: see ``lab.checks.probes.Sort``."""
    family = 4 if src.ip4 and dst.ip4 else 6
    if sort == "ARP broadcast":
        assert dst.ip4 is not None
        frame = arp_request(src, dst.ip4)  # the tag is in the padding of the shortest Ethernet frame
        return frame[:_PADDING] + payload(nonce, tag) + frame[_PADDING + 16 :]
    if sort == "broadcast":
        everybody = _EVERYBODY4 if family == 4 else _EVERYBODY6
        return request(src, with_family(everybody, family), "icmp", 0, nonce, tag)
    return request(src, dst._replace(mac=NOBODY), "icmp", 0, nonce, tag)


_PADDING = 42
"""Where an ARP message of IPv4 over Ethernet ends (RFC 826)."""


def payload(nonce: int, tag: int, answer: bool = False) -> bytes:
    """What a datagram carries, as an echo request does."""
    return struct.pack("!4sIII", MAGIC, nonce, tag, answer)


def datagram(source: bytes, destination: bytes, from_port: int, to_port: int, data: bytes) -> bytes:
    """The IP packet of a UDP datagram (RFC 768)."""
    body = struct.pack("!HHHH", from_port, to_port, 8 + len(data), 0) + data
    return packet(source, destination, UDP, covered(source, destination, UDP, body, 6))


def with_family(station: Station, family: int) -> Station:
    """The station with its addresses of one family only."""
    return station._replace(ip6=None) if family == 4 else station._replace(ip4=None)


def answer_to(frame: bytes, nonce: int, tag: int) -> bytes | None:
    """The frame that answers a request: what a host's kernel would send, or a server of UDP."""
    packet_in = _packet(frame)
    if packet_in is None:
        return None
    source, destination = packet_in.destination, packet_in.source
    if packet_in.protocol == UDP and packet_in.ports is not None:
        from_port, to_port = packet_in.ports
        body = datagram(source, destination, to_port, from_port, payload(nonce, tag, True))
    elif packet_in.protocol == TCP:
        segment = tcp.reset(packet_in.body, packet_in.length)
        if segment is None:
            return None
        body = tcp.in_ip(source, destination, segment)
    elif packet_in.protocol in (ICMP, ICMPV6):
        rest = packet_in.body[4:]
        if packet_in.version == 4:
            body = packet(source, destination, ICMP, icmp.message(icmp.ECHO_REPLY, 0, rest))
        else:
            body = icmp.message6(source, destination, icmp.ECHO_REPLY6, 0, rest, 64)
    else:
        return None
    return frame[6:12] + frame[:6] + frame[12:14] + body


def _packet(frame: bytes) -> Packet | None:
    at = 12
    while frame[at : at + 2] in _VLANS:
        at += 4
    return read(frame[at + 2 :]) if frame[at : at + 2] in (_IP4, _IP6) else None


def recognise(frame: bytes, nonce: int, count: int) -> Seen | None:
    """What ``frame`` is for the run with this ``nonce`` and ``count`` tags so far; None: other traffic."""
    if frame[12:14] == _ARP:
        return _in_padding(frame, nonce, count)
    packet_seen = _packet(frame)
    if packet_seen is None or packet_seen.later:
        return None
    return _recognised(packet_seen, nonce, count)


def _in_padding(frame: bytes, nonce: int, count: int) -> Seen | None:
    """The ARP request of a probe."""
    if len(frame) < _PADDING + 16 or frame[_PADDING : _PADDING + 4] != MAGIC:
        return None
    their, tag, _ = struct.unpack_from("!III", frame, _PADDING + 4)
    return Seen(tag, "request") if their == nonce and tag < count else None


def _recognised(packet_seen: Packet, nonce: int, count: int) -> Seen | None:
    body = packet_seen.body
    if packet_seen.protocol == TCP and len(body) >= 14:
        return _segment(body, nonce, count)
    if packet_seen.protocol == UDP and len(body) >= 24 and body[8:12] == MAGIC:
        their, tag, answer = struct.unpack_from("!III", body, 12)
        if their != nonce or tag >= count:
            return None
        back = answer or (packet_seen.ports is not None and packet_seen.ports[1] == source_port(tag))
        return Seen(tag, "reply" if back else "request")
    if packet_seen.protocol not in (ICMP, ICMPV6) or len(body) < 8:
        return None
    echoes = (icmp.ECHO, icmp.ECHO_REPLY) if packet_seen.version == 4 else (icmp.ECHO6, icmp.ECHO_REPLY6)
    if body[0] in echoes:
        if len(body) < 20 or body[8:12] != MAGIC:
            return None
        their, tag = struct.unpack_from("!II", body, 12)
        if their != nonce or tag >= count:
            return None
        return Seen(tag, "request" if body[0] == echoes[0] else "reply")
    if body[0] in (_ERRORS4 if packet_seen.version == 4 else _ERRORS6):
        return _quoted(body[8:], nonce, count)
    return None


def _segment(body: bytes, nonce: int, count: int) -> Seen | None:
    sequence, acknowledged = struct.unpack_from("!II", body, 4)
    flags = body[13] & (tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN)
    if flags == tcp.SYN:
        tag = sequence - nonce & 0xFFFFFFFF
        return Seen(tag, "request") if tag < count else None
    tag = acknowledged - 1 - nonce & 0xFFFFFFFF
    if tag >= count or not flags & tcp.ACK or not flags & (tcp.SYN | tcp.RST):
        return None
    return Seen(tag, "reset" if flags & tcp.RST else "syn-ack")


def _quoted(data: bytes, nonce: int, count: int) -> Seen | None:
    """The probe whose packet an ICMP error quotes, which may be cut short after eight octets."""
    inner = read(data)
    if inner is None or len(inner.body) < 8:
        return None
    if inner.protocol == TCP:
        tag = struct.unpack_from("!I", inner.body, 4)[0] - nonce & 0xFFFFFFFF
        return Seen(tag, "icmp") if tag < count else None
    whole = _recognised(inner, nonce, count) if inner.protocol in (UDP, ICMP, ICMPV6) else None
    if whole is not None:
        return whole._replace(kind="icmp")
    if inner.protocol == UDP and inner.ports is not None and inner.ports[0] >= LEAST_PORT:
        return Seen(-1, "icmp", inner.ports[0])
    return None


class Unwrapped(NamedTuple):
    """A host's frame without what a tunnel puts around it: VNI, and the VTEPs' addresses; None: no tunnel."""

    frame: bytes
    vni: int | None = None
    outer: tuple[str, str] | None = None


def unwrapped(frame: bytes) -> Unwrapped:
    """The frame in a VXLAN packet (RFC 7348, 5); one that is in none as it is."""
    packet_seen = _packet(frame)
    if (
        packet_seen is None
        or packet_seen.protocol != UDP
        or packet_seen.ports is None
        or packet_seen.ports[1] != VXLAN_PORT
    ):
        return Unwrapped(frame)
    if len(packet_seen.body) < 30 or not packet_seen.body[8] & 0x08:
        return Unwrapped(frame)
    outer = ip_text(packet_seen.source), ip_text(packet_seen.destination)
    return Unwrapped(packet_seen.body[16:], int.from_bytes(packet_seen.body[12:15], "big"), outer)


def decoded(frame: bytes) -> str:
    """A frame in a line, as tcpdump would write it."""
    packet_seen = _packet(frame)
    macs = f"{frame[6:12].hex(':')} > {frame[:6].hex(':')}"
    if frame[12:14] == _ARP and frame[20:22] == b"\x00\x01":
        return f"ARP who has {ip_text(frame[38:42])}? tell {ip_text(frame[28:32])} ({macs})"
    if packet_seen is None:
        return f"{macs}, EtherType 0x{frame[12:14].hex()}, {len(frame)} bytes"
    return f"{in_words(packet_seen)} ({macs})"


def in_words(packet_seen: Packet) -> str:
    """An IP packet in words."""
    source, destination = (ip_text(address) for address in (packet_seen.source, packet_seen.destination))
    colon = ":" if packet_seen.version == 4 else "."
    if packet_seen.ports is not None:
        source, destination = (
            f"{source}{colon}{packet_seen.ports[0]}",
            f"{destination}{colon}{packet_seen.ports[1]}",
        )
    ends = f"{source} > {destination}"
    body = packet_seen.body
    if packet_seen.protocol == TCP and len(body) >= 14:
        names = [name for bit, name in _FLAGS if body[13] & bit]
        return f"TCP {ends} [{' '.join(names)}]"
    if packet_seen.protocol == UDP:
        return f"UDP {ends}, {max(packet_seen.length - 8, 0)} bytes"
    if packet_seen.protocol in (ICMP, ICMPV6) and len(body) >= 2:
        name = "ICMP" if packet_seen.version == 4 else "ICMPv6"
        return f"{name} {ends} {_icmp_words(packet_seen.version, body)}"
    return f"IP {ends}, protocol {packet_seen.protocol}"


def _icmp_words(version: int, body: bytes) -> str:
    kind, code = body[0], body[1]
    four = {
        (8, 0): "echo request",
        (0, 0): "echo reply",
        (3, 0): "network unreachable",
        (3, 1): "host unreachable",
        (3, 3): "port unreachable",
        (3, 9): "network prohibited",
        (3, 10): "host prohibited",
        (3, 13): "administratively prohibited",
        (11, 0): "time exceeded",
    }
    six = {
        (128, 0): "echo request",
        (129, 0): "echo reply",
        (1, 0): "no route",
        (1, 1): "administratively prohibited",
        (1, 3): "address unreachable",
        (1, 4): "port unreachable",
        (3, 0): "time exceeded",
    }
    return (four if version == 4 else six).get((kind, code), f"type {kind}, code {code}")


def ip_text(address: bytes) -> str:
    """An address as text."""
    return str(ip_address(address))
