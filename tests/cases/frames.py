"""Frames between the two ends of a firewall under test, as octets, and what of them is compared.

The client is on the side where the firewall's `in` is, the server on that of its `out`: a frame of the
client goes ``there``, one of the server ``back``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

Way = Literal["there", "back"]
CLIENT_MAC, SERVER_MAC = "02:00:00:00:09:01", "02:00:00:00:09:02"
CLIENT, SERVER = "10.9.0.1", "10.9.0.2"
CLIENT6, SERVER6 = "2001:db8:9::1", "2001:db8:9::2"
PORT = 40000
"""The client's port, where a case names no other."""


def turned(way: Way) -> Way:
    """The other way."""
    return "back" if way == "there" else "there"


def ether(way: Way) -> Ether:
    there = way == "there"
    return Ether(src=CLIENT_MAC if there else SERVER_MAC, dst=SERVER_MAC if there else CLIENT_MAC)


def ip(way: Way, version: int = 4, ident: int = 1) -> Packet:
    """The Internet header of a packet that goes that way."""
    if version == 4:
        a, b = (CLIENT, SERVER) if way == "there" else (SERVER, CLIENT)
        return IP(src=a, dst=b, id=ident, ttl=64)
    a, b = (CLIENT6, SERVER6) if way == "there" else (SERVER6, CLIENT6)
    return IPv6(src=a, dst=b, hlim=64)


def _ports(way: Way, port: int, client: int) -> dict[str, int]:
    here, far = (client, port) if way == "there" else (port, client)
    return {"sport": here, "dport": far}


def tcp(
    way: Way, flags: str, port: int = 80, seq: int = 0, ack: int = 0, data: bytes = b"",
    client: int = PORT, version: int = 4, window: int = 64000,
) -> bytes:  # fmt: skip
    """A segment between the client's port ``client`` and the server's ``port``."""
    segment = TCP(**_ports(way, port, client), flags=flags, seq=seq, ack=ack, window=window)
    return bytes(ether(way) / ip(way, version) / segment / Raw(data))


def udp(way: Way, port: int = 53, data: bytes = b"data", client: int = PORT, version: int = 4) -> bytes:
    """A datagram between the client's port ``client`` and the server's ``port``."""
    return bytes(ether(way) / ip(way, version) / UDP(**_ports(way, port, client)) / Raw(data))


def wrong_checksum(frame: bytes) -> bytes:
    """The UDP datagram with another checksum."""
    packet = Ether(frame)
    packet[UDP].chksum ^= 0x0101
    return bytes(packet)


def ping(way: Way, answer: bool = False, ident: int = 7, version: int = 4) -> bytes:
    """An echo request, or a reply."""
    if version == 4:
        body: Packet = ICMP(type=0 if answer else 8, id=ident, seq=1) / Raw(b"echo")
    else:
        body = (ICMPv6EchoReply if answer else ICMPv6EchoRequest)(id=ident, seq=1, data=b"echo")
    return bytes(ether(way) / ip(way, version) / body)


def error(way: Way, about: bytes, kind: Literal["unreachable", "too big"] = "unreachable") -> bytes:
    """An ICMP error message about a packet that went the other way, from its destination."""
    inner = Ether(about).payload
    if isinstance(inner, IPv6):
        if kind == "too big":
            message: Packet = ICMPv6PacketTooBig(mtu=1280)
        else:
            message = ICMPv6DestUnreach(code=4)
        return bytes(ether(way) / ip(way, 6) / message / Raw(bytes(inner)[:1200]))
    message = ICMP(type=3, code=4, nexthopmtu=1280) if kind == "too big" else ICMP(type=3, code=3)
    return bytes(ether(way) / ip(way) / message / Raw(bytes(inner)[:548]))


def other(way: Way, protocol: int, version: int = 4) -> bytes:
    """A packet of a protocol that has no ports."""
    head = ip(way, version)
    if version == 4:
        head.proto = protocol
    else:
        head.nh = protocol
    return bytes(ether(way) / head / Raw(b"some octets of another protocol"))


def sctp_init(way: Way, port: int = 5060) -> bytes:
    """An SCTP INIT chunk (RFC 4960, 3.3.2)."""
    from scapy.layers.sctp import SCTP, SCTPChunkInit

    chunk = SCTPChunkInit(init_tag=1, a_rwnd=65536, n_out_streams=1, n_in_streams=1, init_tsn=1)
    return bytes(ether(way) / ip(way) / SCTP(**_ports(way, port, PORT)) / chunk)


def fragments(frame: bytes, size: int = 1400, ident: int = 77) -> tuple[bytes, ...]:
    """An IPv4 or IPv6 packet as fragments of ``size`` octets each (a multiple of 8), in order."""
    packet = Ether(frame)
    inner = packet.payload
    frames = []
    if isinstance(inner, IP):
        body = bytes(inner.payload)
        for at in range(0, len(body), size):
            more = at + size < len(body)
            head = IP(src=inner.src, dst=inner.dst, id=ident, ttl=inner.ttl, proto=inner.proto,
                      flags="MF" if more else 0, frag=at // 8)  # fmt: skip
            frames.append(bytes(Ether(src=packet.src, dst=packet.dst) / head / Raw(body[at : at + size])))
        return tuple(frames)
    body = bytes(inner.payload)
    for at in range(0, len(body), size):
        more = at + size < len(body)
        fragment = IPv6ExtHdrFragment(nh=inner.nh, offset=at // 8, m=1 if more else 0, id=ident)
        head = IPv6(src=inner.src, dst=inner.dst, hlim=inner.hlim)
        frames.append(
            bytes(Ether(src=packet.src, dst=packet.dst) / head / fragment / Raw(body[at : at + size]))
        )
    return tuple(frames)


def overlapping(frame: bytes) -> tuple[bytes, ...]:
    """An IPv4 packet as two fragments, the second of which begins before the end of the first."""
    first, _ = fragments(frame, 1400)
    body = bytes(Ether(frame).payload.payload)
    packet = Ether(first)
    head = IP(src=packet[IP].src, dst=packet[IP].dst, id=77, ttl=64, proto=packet[IP].proto, frag=165)
    return first, bytes(Ether(src=packet.src, dst=packet.dst) / head / Raw(bytes(80) + body[1400:]))


def extended(frame: bytes, *headers: Literal["hop-by-hop", "destination", "routing"]) -> bytes:
    """An IPv6 packet with these extension headers before its payload."""
    packet = Ether(frame)
    inner = packet.payload
    network: Packet = IPv6(src=inner.src, dst=inner.dst, hlim=inner.hlim)
    for name in headers:
        if name == "hop-by-hop":
            network /= IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])
        elif name == "destination":
            network /= IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
        else:
            network /= IPv6ExtHdrRouting(type=4, segleft=0, addresses=[])
    return bytes(Ether(src=packet.src, dst=packet.dst) / network / inner.payload)


def arp(way: Way) -> bytes:
    """A request for the other end's address."""
    there = way == "there"
    a, b = (CLIENT, SERVER) if there else (SERVER, CLIENT)
    mac = CLIENT_MAC if there else SERVER_MAC
    return bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=mac, psrc=a, pdst=b))


def raw(way: Way, kind: int) -> bytes:
    """A frame of an Ethernet type that is neither IP nor ARP."""
    head = ether(way)
    head.type = kind
    return bytes(head / Raw(b"neither IP nor ARP" + bytes(28)))


def datagrams(frames: Iterable[bytes]) -> list[tuple[bytes, ...]]:
    """What the frames carry, sorted: packets put together from their fragments, without padding.

    A function may send fragments on in other pieces than they came, so only what they carry is comparable.
    Incomplete packets count as nothing.
    """
    whole: list[tuple[bytes, ...]] = []
    parts: dict[tuple[bytes, ...], dict[int, tuple[bytes, bool]]] = {}
    for frame in frames:
        packet = Ether(frame)
        inner = packet.payload
        macs = frame[:12]
        if isinstance(inner, IP):
            body = frame[14 + inner.ihl * 4 : 14 + inner.len]
            key = (macs, frame[26:34], bytes((inner.proto,)))
            more, offset = bool(inner.flags & 1), inner.frag * 8
            ident = inner.id.to_bytes(2, "big")
        elif isinstance(inner, IPv6) and IPv6ExtHdrFragment in inner:
            head = inner[IPv6ExtHdrFragment]
            body = bytes(head.payload)
            key = (macs, frame[22:54], bytes((head.nh,)))
            more, offset, ident = bool(head.m), head.offset * 8, head.id.to_bytes(4, "big")
        elif isinstance(inner, IPv6):
            key = (macs, frame[22:54], bytes((inner.nh,)))
            body, more, offset, ident = frame[54 : 54 + inner.plen], False, 0, b""
        else:
            whole.append((frame,))
            continue
        if more or offset:
            parts.setdefault((*key, ident), {})[offset] = (body, more)
        else:
            whole.append((*key, body))
    for (*key, _), pieces in parts.items():
        at, joined, more = 0, b"", True
        while more and at in pieces:
            body, more = pieces[at]
            joined += body
            at += len(body)
        if not more:
            whole.append((*key, joined))
    return sorted(whole)


def refuses(answer: bytes, frame: bytes) -> bool:
    """Whether ``answer`` tells the sender of ``frame`` that it is refused: a TCP reset for its segment
    (RFC 9293, 3.5.2), else an ICMP or ICMPv6 error about it, in a frame back to it."""
    got, sent = Ether(answer), Ether(frame)
    if (got.src, got.dst) != (sent.dst, sent.src):
        return False
    version = IP if IP in sent else IPv6
    if version not in got or got[version].dst != sent[version].src:
        return False
    if TCP in sent:
        if TCP not in got or got[TCP].flags & 4 == 0 or got[version].src != sent[version].dst:
            return False
        if sent[TCP].flags & 16:
            return bool(got[TCP].seq == sent[TCP].ack)
        return bool(got[TCP].flags & 16 and got[TCP].ack == sent[TCP].seq + 1)
    if version is IP:
        return ICMP in got and got[ICMP].type == 3 and got[ICMP].code in (3, 9, 10, 13)
    return ICMPv6DestUnreach in got and got[ICMPv6DestUnreach].code in (1, 4)
