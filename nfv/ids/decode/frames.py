"""From a frame to packets: link layers, VLAN tags, IPv4 and IPv6, TCP, UDP, ICMP; tunnels in
``tunnels``.

Ethernet (IEEE 802.3), 802.1Q and 802.1ad tags, RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443, RFC
9260. An error in a packet becomes an event under Suricata's name (``decoder.ipv4.trunc_pkt``), never an
exception.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from nfv.ids.counters import Counters
from nfv.ids.decode import tunnels
from nfv.ids.decode.defrag import Defragmenter
from nfv.ids.decode.options import tcp_options
from nfv.ids.decode.packet import Packet
from wire import ethertype
from wire.protocol import AUTHENTICATION, ESP, EXTENSIONS, ICMP, ICMPV6, SCTP, TCP, UDP

_IPV4 = Struct("!BBHHHBBH4s4s").unpack_from
_IPV6 = Struct("!IHBB16s16s").unpack_from
_TCP = Struct("!HHIIBBH").unpack_from
_UDP = Struct("!HHH").unpack_from
_U16 = Struct("!H").unpack_from
_ICMP = Struct("!BBxxHH").unpack_from

MAX_LAYERS = 16
"""Limit of nested headers of a packet (Suricata's default of ``packet.max-layers``)."""

_ETHER4, _ETHER6, _ARP = ethertype.IPV4, ethertype.IPV6, ethertype.ARP
_TAGS = (ethertype.VLAN, ethertype.QINQ, 0x9100)
_IGNORED = {_ARP, ethertype.RARP, 0x88CC, 0x8809, 0x888E, 0x9000}  # LLDP, LACP, EAPOL, loopback
_EXTENSIONS = EXTENSIONS | {135, 139, 140}  # RFC 7045


def plain_segment(data: bytes, ts: float, num: int) -> Packet:
    """The result of ``Decoder.frame`` for a simple frame, without counting.

    The frame has right lengths, Ethernet, IPv4 without options and fragments, and TCP without SYN.
    """
    packet = Packet(data, ts, num)
    _, packet.tos, length, _, packet.frag, packet.ttl, _, _, packet.src, packet.dst = _IPV4(data, 14)
    packet.sp, packet.dp, packet.seq, packet.ack, offset, packet.flags, packet.win = _TCP(data, 34)
    packet.version, packet.proto = 4, TCP
    packet.l3, packet.l4, packet.pay, packet.end = 14, 34, 34 + (offset >> 4) * 4, 14 + length
    return packet


class Decoder:
    """Decodes frames; holds the state between frames: counters, and fragments that wait for others."""

    def __init__(self, counters: Counters, defrag: Defragmenter | None = None, vxlan: int = 4789) -> None:
        self.counters = counters
        self.defrag = defrag or Defragmenter()
        self.vxlan_port = vxlan
        self.tunnel = tunnels
        self.links: dict[int, Callable[[Packet, int, int], None]] = {
            1: self.ethernet,
            0: self.null,
            108: self.null,
            12: self.raw,
            14: self.raw,
            101: self.raw,
            228: self.raw,
            229: self.raw,
            104: self.chdlc,
            113: self.cooked,
            276: self.cooked2,
            9: self.ppp,
            50: self.ppp,
        }

    def frame(self, data: bytes, ts: float, num: int, linktype: int = 1) -> Packet:
        """The packet in a frame; its ``inner`` has packets within it (tunnels, reassembled fragments)."""
        counters = self.counters
        counters["decoder.pkts"] += 1
        counters["decoder.bytes"] += len(data)
        packet = Packet(data, ts, num)
        packet.linktype = linktype
        if linktype == 1:
            # the most frequent frame, without a call for each layer
            if len(data) >= 34 and data[12:14] == b"\x08\x00":
                counters["decoder.ethernet"] += 1
                self.ipv4(packet, 14, 0)
            else:
                self.ethernet(packet, 0, 0)
        else:
            link = self.links.get(linktype)
            if link is None:
                counters["decoder.invalid"] += 1
                packet.event("decoder.unknown_link_type")
            else:
                link(packet, 0, 0)
        if packet.events and packet.version == 0:
            counters["decoder.invalid"] += 1
        return packet

    # ------------------------------------------------------------ link layers

    def ethernet(self, packet: Packet, at: int, layers: int) -> None:
        """An Ethernet frame (IEEE 802.3)."""
        self.counters["decoder.ethernet"] += 1
        if len(packet.data) < at + 14:
            packet.event("decoder.ethernet.pkt_too_small")
            return
        self.by_type(packet, _U16(packet.data, at + 12)[0], at + 14, layers)

    def null(self, packet: Packet, at: int, layers: int) -> None:
        """BSD loopback: the address family in four bytes of either order."""
        self.counters["decoder.null"] += 1
        data = packet.data
        if len(data) < 5:
            packet.event("decoder.ltnull.pkt_too_small")
            return
        family = max(data[0], data[3])
        if family == 2:
            self.ipv4(packet, 4, layers)
        elif family in (10, 24, 28, 30):
            self.ipv6(packet, 4, layers)
        else:
            packet.event("decoder.ltnull.unsupported_type")

    def raw(self, packet: Packet, at: int, layers: int) -> None:
        """An IP packet without a link header."""
        self.counters["decoder.raw"] += 1
        version = packet.data[at] >> 4 if len(packet.data) > at else 0
        if version == 4:
            self.ipv4(packet, at, layers)
        elif version == 6:
            self.ipv6(packet, at, layers)
        else:
            packet.event("decoder.ipraw.invalid_ip_version")

    def chdlc(self, packet: Packet, at: int, layers: int) -> None:
        """Cisco HDLC: address, control, Ethernet type (RFC 1547)."""
        self.counters["decoder.chdlc"] += 1
        if len(packet.data) < at + 4:
            packet.event("decoder.chdlc.pkt_too_small")
            return
        self.by_type(packet, _U16(packet.data, at + 2)[0], at + 4, layers)

    def cooked(self, packet: Packet, at: int, layers: int) -> None:
        """Linux's cooked capture (LINKTYPE_LINUX_SLL)."""
        self.counters["decoder.sll"] += 1
        if len(packet.data) < 16:
            packet.event("decoder.sll.pkt_too_small")
            return
        self.by_type(packet, _U16(packet.data, 14)[0], 16, layers)

    def cooked2(self, packet: Packet, at: int, layers: int) -> None:
        """Linux's cooked capture, version 2 (LINKTYPE_LINUX_SLL2)."""
        self.counters["decoder.sll2"] += 1
        if len(packet.data) < 20:
            packet.event("decoder.sll2.pkt_too_small")
            return
        self.by_type(packet, _U16(packet.data, 0)[0], 20, layers)

    def ppp(self, packet: Packet, at: int, layers: int) -> None:
        """PPP in HDLC-like framing (RFC 1662), the address and control bytes being optional."""
        self.counters["decoder.ppp"] += 1
        data = packet.data
        if data[at : at + 2] == b"\xff\x03":
            at += 2
        if len(data) < at + 2:
            packet.event("decoder.ppp.pkt_too_small")
            return
        if data[at] & 1:  # a compressed protocol field
            proto, at = data[at], at + 1
        else:
            proto, at = _U16(data, at)[0], at + 2
        if proto == 0x21:
            self.ipv4(packet, at, layers + 1)
        elif proto == 0x57:
            self.ipv6(packet, at, layers + 1)
        elif proto == 0x2D or proto == 0x2F:
            packet.event(
                "decoder.ppp.vju_pkt_too_small" if len(data) < at + 40 else "decoder.ppp.unsup_proto"
            )
        elif proto not in (0xC021, 0xC023, 0xC025, 0xC223, 0x8021, 0x8057, 0x80FD):
            packet.event("decoder.ppp.unsup_proto" if proto & 0x0100 == 0 else "decoder.ppp.wrong_type")

    def by_type(self, packet: Packet, kind: int, at: int, layers: int) -> None:
        """Decode the payload of an EtherType."""
        if kind == _ETHER4:
            self.ipv4(packet, at, layers)
        elif kind == _ETHER6:
            self.ipv6(packet, at, layers)
        elif kind in _TAGS:
            self.vlan(packet, at, layers)
        elif kind in _IGNORED:
            if kind == _ARP:
                self.counters["decoder.arp"] += 1
        elif layers >= MAX_LAYERS:
            packet.event("decoder.too_many_layers")
        else:
            self.tunnel.by_type(self, packet, kind, at, layers + 1)

    def vlan(self, packet: Packet, at: int, layers: int) -> None:
        """Up to three VLAN tags (802.1Q within 802.1ad)."""
        name = ("decoder.vlan", "decoder.vlan_qinq", "decoder.vlan_qinqinq")
        if len(packet.data) < at + 4:
            packet.event("decoder.vlan.header_too_small")
            return
        if len(packet.vlan) >= 3:
            packet.event("decoder.vlan.too_many_layers")
            return
        self.counters[name[len(packet.vlan)]] += 1
        packet.vlan = (*packet.vlan, _U16(packet.data, at)[0] & 0x0FFF)
        self.by_type(packet, _U16(packet.data, at + 2)[0], at + 4, layers)

    # ------------------------------------------------------------ network layer

    def ipv4(self, packet: Packet, at: int, layers: int) -> None:
        """RFC 791.  A packet whose lengths don't fit gets an event and stays without version."""
        self.counters["decoder.ipv4"] += 1
        data = packet.data
        if len(data) < at + 20:
            packet.event("decoder.ipv4.pkt_too_small")
            return
        first, tos, length, ident, frag, ttl, proto, _, src, dst = _IPV4(data, at)
        header = (first & 15) * 4
        if first >> 4 != 4:
            packet.event("decoder.ipv4.wrong_ip_version")
            return
        if header < 20:
            packet.event("decoder.ipv4.hlen_too_small")
            return
        if length < header:
            packet.event("decoder.ipv4.iplen_smaller_than_hlen")
            return
        end = at + length
        if end > len(data):
            packet.event("decoder.ipv4.trunc_pkt")
            return
        packet.version = 4
        packet.l3 = at
        packet.src, packet.dst = src, dst
        packet.ttl, packet.tos, packet.proto, packet.frag = ttl, tos, proto, frag
        packet.l4 = packet.pay = at + header
        packet.end = end
        if frag & 0x3FFF:
            self.counters["defrag.ipv4.fragments"] += 1
            packet.fragment = True
            whole = self.defrag.ipv4(packet, ident)
            packet.end = packet.pay  # a piece has no payload that rules could be asked about
            if whole is not None:
                self.counters["defrag.ipv4.reassembled"] += 1
                self._child(packet, whole, 12, layers)
            return
        if proto == TCP:
            self.tcp(packet)
        elif proto == UDP:
            self.udp(packet, layers)
        elif proto == ICMP:
            self.icmp(packet, "icmpv4")
        else:
            self.other(packet, proto, layers)

    def ipv6(self, packet: Packet, at: int, layers: int) -> None:
        """RFC 8200 with its extension headers."""
        self.counters["decoder.ipv6"] += 1
        data = packet.data
        if len(data) < at + 40:
            packet.event("decoder.ipv6.pkt_too_small")
            return
        first, length, proto, ttl, src, dst = _IPV6(data, at)
        if first >> 28 != 6:
            packet.event("decoder.ipv6.wrong_ip_version")
            return
        end = at + 40 + length
        if end > len(data):
            packet.event("decoder.ipv6.trunc_pkt")
            return
        packet.version = 6
        packet.l3 = at
        packet.src, packet.dst = src, dst
        packet.ttl, packet.tos = ttl, first >> 20 & 255
        packet.end = end
        at += 40
        if proto in _EXTENSIONS:
            ext = self._extensions(packet, proto, at, layers)
            if ext is None:
                return
            proto, at = ext
        packet.proto = proto
        packet.l4 = packet.pay = at
        if proto == TCP:
            self.tcp(packet)
        elif proto == UDP:
            self.udp(packet, layers)
        elif proto == ICMPV6:
            self.icmp(packet, "icmpv6")
        else:
            self.other(packet, proto, layers)

    def _extensions(self, packet: Packet, proto: int, at: int, layers: int) -> tuple[int, int] | None:
        """Walk extension headers: the next protocol and its position; None if decoding ends here."""
        data, end = packet.data, packet.end
        seen: list[int] = []
        while proto in _EXTENSIONS:
            if end < at + 8:
                packet.event("decoder.ipv6.trunc_exthdr")
                packet.proto, packet.l4, packet.pay = proto, at, at
                packet.exts = tuple(seen)
                return None
            if proto in seen and proto not in (60, 44):
                packet.event(f"decoder.ipv6.exthdr_dupl_{ {0: 'hh', 43: 'rh', 51: 'ah'}.get(proto, 'eh') }")
            seen.append(proto)
            following = data[at]
            if proto == 44:
                if 44 in seen[:-1]:
                    packet.event("decoder.ipv6.exthdr_dupl_fh")
                offset = _U16(data, at + 2)[0]
                packet.exts = tuple(seen)
                if offset & 0xFFF9 == 0:  # an atomic fragment (RFC 6946)
                    packet.event("decoder.ipv6.exthdr_useless_fh")
                    packet.frag = 0
                    proto, at = following, at + 8
                    continue
                self.counters["defrag.ipv6.fragments"] += 1
                packet.fragment = True
                packet.frag = (offset >> 3) | (0x2000 if offset & 1 else 0)
                packet.proto, packet.l4, packet.pay = following, at + 8, at + 8
                whole = self.defrag.ipv6(packet, at, following)
                packet.end = packet.pay
                if whole is not None:
                    self.counters["defrag.ipv6.reassembled"] += 1
                    self._child(packet, whole, 12, layers)
                return None
            at += (data[at + 1] + 2) * 4 if proto == AUTHENTICATION else (data[at + 1] + 1) * 8
            if at > end:
                packet.event("decoder.ipv6.trunc_exthdr")
                packet.proto, packet.l4, packet.pay = following, end, end
                packet.exts = tuple(seen)
                return None
            proto = following
        packet.exts = tuple(seen)
        return proto, at

    def _child(self, packet: Packet, data: bytes, linktype: int, layers: int) -> None:
        """A packet within a packet, or a reassembled packet."""
        child = Packet(data, packet.ts, packet.num)
        child.linktype, child.vlan, child.outer = linktype, packet.vlan, packet
        if layers >= MAX_LAYERS:
            packet.event("decoder.too_many_layers")
            return
        if data and data[0] >> 4 == 6:
            self.ipv6(child, 0, layers + 1)
        else:
            self.ipv4(child, 0, layers + 1)
        self.adopt(packet, child)

    def adopt(self, packet: Packet, child: Packet) -> None:
        """Add ``child`` to the inner packets of ``packet``, flattened: inner ones come first."""
        packet.inner = [*(packet.inner or []), *(child.inner or []), child]
        child.inner = None

    # ------------------------------------------------------------ transport layer

    def tcp(self, packet: Packet) -> None:
        """RFC 9293, section 3.1."""
        self.counters["decoder.tcp"] += 1
        data, at, end = packet.data, packet.l4, packet.end
        if end < at + 20:
            packet.event("decoder.tcp.pkt_too_small")
            packet.version = 0
            return
        sp, dp, seq, ack, offset, flags, win = _TCP(data, at)
        header = (offset >> 4) * 4
        if header < 20:
            packet.event("decoder.tcp.hlen_too_small")
            packet.version = 0
            return
        if at + header > end:
            packet.event("decoder.tcp.invalid_hlen" if header > 60 else "decoder.tcp.hlen_too_small")
            packet.version = 0
            return
        packet.sp, packet.dp, packet.seq, packet.ack = sp, dp, seq, ack
        packet.flags, packet.win = flags, win
        packet.pay = at + header
        if header > 20 and flags & 2:
            tcp_options(packet, data, at + 20, at + header)

    def udp(self, packet: Packet, layers: int) -> None:
        """RFC 768, and the tunnels that live on well-known ports."""
        self.counters["decoder.udp"] += 1
        data, at, end = packet.data, packet.l4, packet.end
        if end < at + 8:
            packet.event("decoder.udp.hlen_too_small" if end < at + 8 else "decoder.udp.pkt_too_small")
            packet.version = 0
            return
        packet.sp, packet.dp, length = _UDP(data, at)
        if length < 8 and length != 0:
            packet.event("decoder.udp.len_invalid")
            packet.version = 0
            return
        if length > end - at:
            packet.event("decoder.udp.pkt_too_small")
            packet.version = 0
            return
        packet.pay = at + 8
        if length:
            packet.end = at + length
        if packet.dp in (self.vxlan_port, 6081, 3544) or packet.sp == 3544:
            self.tunnel.on_udp(self, packet, layers + 1)

    def icmp(self, packet: Packet, name: str) -> None:
        """RFC 792 and RFC 4443: type, code, and the identifier and sequence of those that have them."""
        self.counters["decoder." + name] += 1
        data, at, end = packet.data, packet.l4, packet.end
        if end < at + 8:
            packet.event(f"decoder.{name}.pkt_too_small")
            packet.version = 0
            return
        packet.kind, packet.code, ident, sequence = _ICMP(data, at)
        packet.pay = at + 8
        if (packet.proto == ICMP and packet.kind in (0, 8, 13, 14, 15, 16, 17, 18)) or (
            packet.proto == ICMPV6 and packet.kind in (128, 129)
        ):
            packet.icmp_id, packet.icmp_seq = ident, sequence
        packet.sp, packet.dp = packet.kind, packet.code

    def other(self, packet: Packet, proto: int, layers: int) -> None:
        """SCTP's header, ESP, and protocols that carry packets."""
        data, at = packet.data, packet.l4
        if proto == SCTP:
            self.counters["decoder.sctp"] += 1
            if packet.end < at + 12:
                packet.event("decoder.sctp.pkt_too_small")
                packet.version = 0
                return
            packet.sp, packet.dp = _U16(data, at)[0], _U16(data, at + 2)[0]
            packet.pay = at + 12
        elif proto == ESP:
            self.counters["decoder.esp"] += 1
            if packet.end < at + 8:
                packet.event("decoder.esp.pkt_too_small")
                packet.version = 0
                return
            packet.pay = at + 8
        elif layers < MAX_LAYERS:
            self.tunnel.on_ip(self, packet, proto, layers + 1)
        else:
            packet.event("decoder.too_many_layers")
