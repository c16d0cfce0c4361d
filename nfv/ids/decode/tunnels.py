"""Packets within packets: GRE, VXLAN, Geneve, NSH, MPLS, PPPoE, IP in IP, Teredo, provider backbone bridges.

RFC 2784 and 2890 (GRE), 7348 (VXLAN), 8926 (Geneve), 8300 (NSH), 3032 (MPLS), 2516 (PPPoE), 2003 and 2473 (IP
in IP), 4380 (Teredo), IEEE 802.1ah.  Inner packets are children of their outer one and are inspected before
it.
"""

from __future__ import annotations

from typing import Protocol

from nfv.ids.counters import Counters
from nfv.ids.decode.packet import Packet
from wire import ethertype
from wire.protocol import GRE, IP_IN_IP, IPV6

_MPLS = (ethertype.MPLS, ethertype.MPLS_MULTICAST)
_IN_GRE = (
    ethertype.IPV4,
    ethertype.IPV6,
    0x880B,  # PPP
    ethertype.VLAN,
    ethertype.QINQ,
    0x6558,  # Ethernet
    *_MPLS,
    ethertype.NSH,
)


class Decoder(Protocol):
    """The decoder of a tunnel's inner packet: ``nfv.ids.decode.frames.Decoder``.

    ``at``: offset of the header in the packet's bytes. ``layers``: headers that were decoded before it.
    """

    counters: Counters
    vxlan_port: int

    def ethernet(self, packet: Packet, at: int, layers: int) -> None: ...

    def ppp(self, packet: Packet, at: int, layers: int) -> None: ...

    def ipv4(self, packet: Packet, at: int, layers: int) -> None: ...

    def ipv6(self, packet: Packet, at: int, layers: int) -> None: ...

    def by_type(self, packet: Packet, kind: int, at: int, layers: int) -> None: ...

    def adopt(self, packet: Packet, child: Packet) -> None: ...


def by_type(decoder: Decoder, packet: Packet, kind: int, at: int, layers: int) -> None:
    """Ethernet types that carry packets (those of plain IP and VLAN are ``decode``'s)."""
    data = packet.data
    if kind in _MPLS:
        mpls(decoder, packet, at, layers)
    elif kind == 0x8864:
        decoder.counters["decoder.pppoe"] += 1
        if len(data) < at + 8:
            packet.event("decoder.pppoe.pkt_too_small")
        elif data[at + 1] == 0:
            decoder.ppp(packet, at + 6, layers)
    elif kind == 0x8863:
        decoder.counters["decoder.pppoe"] += 1
        if len(data) < at + 6:
            packet.event("decoder.pppoe.pkt_too_small")
    elif kind == ethertype.NSH:
        nsh(decoder, packet, at, layers)
    elif kind == 0x6558:
        decoder.ethernet(packet, at, layers)
    elif kind == 0x88E7:
        decoder.counters["decoder.ieee8021ah"] += 1
        if len(data) < at + 18:
            packet.event("decoder.ieee8021ah.header_too_small")
        else:
            decoder.by_type(packet, int.from_bytes(data[at + 16 : at + 18], "big"), at + 18, layers)
    elif kind == 0x8926:
        decoder.counters["decoder.vntag"] += 1
        if len(data) < at + 6:
            packet.event("decoder.vntag.header_too_small")
        else:
            decoder.by_type(packet, int.from_bytes(data[at + 4 : at + 6], "big"), at + 6, layers)
    elif kind < 1536:
        decoder.counters["decoder.unknown_ethertype"] += 1
    else:
        decoder.counters["decoder.unknown_ethertype"] += 1
        packet.event("decoder.ethernet.unknown_ethertype")


def mpls(decoder: Decoder, packet: Packet, at: int, layers: int) -> None:
    """A label stack (RFC 3032); the last label, or the first nibble, tells the protocol after it."""
    decoder.counters["decoder.mpls"] += 1
    data, count = packet.data, 0
    while True:
        if len(data) < at + 4:
            packet.event("decoder.mpls.header_too_small")
            return
        shim = int.from_bytes(data[at : at + 4], "big")
        at, count = at + 4, count + 1
        if shim & 0x100:
            break
        if count > 16:
            packet.event("decoder.mpls.unknown_payload_type")
            return
    label = shim >> 12
    nibble = data[at] >> 4 if len(data) > at else 0
    if label == 0 or (label > 15 and nibble == 4):
        decoder.ipv4(packet, at, layers)
    elif label == 2 or (label > 15 and nibble == 6):
        decoder.ipv6(packet, at, layers)
    elif label == 1:
        packet.event("decoder.mpls.bad_label_router_alert")
    elif label == 3:
        packet.event("decoder.mpls.bad_label_implicit_null")
    elif label < 16:
        packet.event("decoder.mpls.bad_label_reserved")
    elif nibble == 0 and len(data) >= at + 4 + 14:
        decoder.ethernet(packet, at + 4, layers)  # a pseudowire's control word (RFC 4448)
    else:
        packet.event("decoder.mpls.unknown_payload_type")


def nsh(decoder: Decoder, packet: Packet, at: int, layers: int) -> None:
    """The network service header (RFC 8300)."""
    decoder.counters["decoder.nsh"] += 1
    data = packet.data
    if len(data) < at + 8:
        packet.event("decoder.nsh.header_too_small")
        return
    first = int.from_bytes(data[at : at + 2], "big")
    length, metadata, following = (first & 0x3F) * 4, data[at + 2] & 15, data[at + 3]
    if first >> 14 != 0:
        packet.event("decoder.nsh.unsupported_version")
    elif length < 8 or length > len(data) - at or (metadata == 1 and length != 24):
        packet.event("decoder.nsh.bad_header_length")
    elif metadata not in (1, 2):
        packet.event("decoder.nsh.unsupported_type")
    elif following == 1:
        decoder.ipv4(packet, at + length, layers)
    elif following == 2:
        decoder.ipv6(packet, at + length, layers)
    elif following == 3:
        # Suricata counts the frame within by its contents only
        if len(data) < at + length + 14:
            packet.event("decoder.ethernet.pkt_too_small")
        else:
            decoder.ethernet(packet, at + length, layers)
    elif following == 5:
        mpls(decoder, packet, at + length, layers)
    else:
        packet.event("decoder.nsh.unknown_payload")


def child(decoder: Decoder, packet: Packet, at: int, layers: int, how: int) -> None:
    """Decode the bytes from ``at`` as a packet of its own: ``how`` is an EtherType, 0 for a frame."""
    inner = Packet(packet.data[: packet.end], packet.ts, packet.num)
    inner.outer, inner.begin, inner.linktype = packet, at, 1 if how == 0 else 12
    if layers > 16:
        packet.event("decoder.too_many_layers")
        return
    if how == 0:
        decoder.ethernet(inner, at, layers)
    elif how == 0x880B:
        decoder.ppp(inner, at, layers)
    else:
        decoder.by_type(inner, how, at, layers)
    decoder.adopt(packet, inner)


def on_ip(decoder: Decoder, packet: Packet, proto: int, layers: int) -> None:
    """IP protocols that carry packets."""
    if proto == GRE:
        gre(decoder, packet, layers)
    elif proto == IP_IN_IP:
        decoder.counters["decoder.ipv4_in_ipv4" if packet.version == 4 else "decoder.ipv4_in_ipv6"] += 1
        child(decoder, packet, packet.l4, layers, ethertype.IPV4)
    elif proto == IPV6:
        decoder.counters["decoder.ipv6_in_ipv4" if packet.version == 4 else "decoder.ipv6_in_ipv6"] += 1
        child(decoder, packet, packet.l4, layers, ethertype.IPV6)


def gre(decoder: Decoder, packet: Packet, layers: int) -> None:
    """Versions 0 (RFC 2784, 2890, source routes of 1701) and 1 (RFC 2637)."""
    decoder.counters["decoder.gre"] += 1
    data, at, end = packet.data, packet.l4, packet.end
    if end < at + 4:
        packet.event("decoder.gre.pkt_too_small")
        packet.version = 0
        return
    flags, kind = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
    version, length = flags & 7, 4
    if version == 0:
        length += 4 if flags & 0xC000 else 0
        length += 4 if flags & 0x2000 else 0
        length += 4 if flags & 0x1000 else 0
        if flags & 0x4000:
            while True:  # source route entries end with one of length 0
                if at + length + 4 > end:
                    packet.event("decoder.gre.version0_malformed_sre_hdr")
                    return
                size = data[at + length + 3]
                length += 4 + size
                if size == 0:
                    break
    elif version == 1:
        length += 4 + (4 if flags & 0x1000 else 0) + (4 if flags & 0x0080 else 0)
    else:
        packet.event("decoder.gre.wrong_version")
        return
    if at + length > end:
        packet.event(f"decoder.gre.version{version}_hdr_too_big")
        return
    packet.pay = at + length
    if at + length == end:
        return
    if kind in (0x88BE, 0x22EB):
        decoder.counters["decoder.erspan"] += 1
        skip = 0 if kind == 0x88BE and not flags & 0x1000 else 8 if kind == 0x88BE else 12
        if at + length + skip < end:
            child(decoder, packet, at + length + skip, layers, 0)
    elif kind in _IN_GRE:
        child(decoder, packet, at + length, layers, kind)


def on_udp(decoder: Decoder, packet: Packet, layers: int) -> None:
    """Tunnels on UDP: VXLAN and Geneve by destination port, Teredo when it looks like it."""
    data, at, end = packet.data, packet.pay, packet.end
    if packet.dp == decoder.vxlan_port:
        if end < at + 8 or not data[at] & 0x08:
            return
        decoder.counters["decoder.vxlan"] += 1
        child(decoder, packet, at + 8, layers, 0)
    elif packet.dp == 6081:
        if end < at + 8 or data[at] >> 6 != 0:
            return
        length = 8 + (data[at] & 0x3F) * 4
        if at + length > end:
            return
        decoder.counters["decoder.geneve"] += 1
        kind = int.from_bytes(data[at + 2 : at + 4], "big")
        child(decoder, packet, at + length, layers, kind)
    else:
        if data[at : at + 2] == b"\x00\x01" and end >= at + 4:
            at += 4 + data[at + 2] + data[at + 3] + 9
        if data[at : at + 2] == b"\x00\x00":
            at += 8
        if end >= at + 40 and data[at] >> 4 == 6 and at + 40 + (data[at + 4] << 8 | data[at + 5]) == end:
            decoder.counters["decoder.teredo"] += 1
            child(decoder, packet, at, layers, ethertype.IPV6)
