"""Packets that are recognised wherever they turn up, also in tunnels and behind translators. Pure.

A packet is recognised by what the lab's functions don't change: the token in its payload, or the sequence
number of a TCP segment. Its answer has the same payload, or acknowledges this number.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from controller.simulate.network import Frame
from wire import ip, tcp
from wire.ethertype import ARP, IPV4, IPV6, NSH, QINQ, VLAN, octets
from wire.icmp import ECHO, ECHO6, ECHO_REPLY, ECHO_REPLY6, message, message6
from wire.protocol import ICMP, ICMPV6, TCP, UDP

VXLAN_PORT = 4789
"""RFC 7348, 5."""
Direction = Literal["there", "back"]


class Outer(NamedTuple):
    """The tunnel that a frame was seen in: its VNI, and the VTEPs' addresses as octets."""

    vni: int
    source: bytes
    destination: bytes


class Inside(NamedTuple):
    """A frame of hosts without what the lab puts around it (tag, NSH, tunnel), and the tunnel, if any."""

    frame: bytes
    outer: Outer | None


def tagged(frame: Frame, token: bytes) -> bytes:
    """The octets of a question's frame (``controller.trace.questions``), with a token of 8 octets."""
    six = frame["eth_type"] == IPV6
    head, size = ("ipv6", 16) if six else ("ip", 4)
    source, destination = (frame[f"{head}_{side}"].to_bytes(size, "big") for side in ("src", "dst"))
    protocol = frame["ip_proto"]
    if protocol == TCP:
        number = int.from_bytes(token[:4], "big")
        body = tcp.in_ip(
            source, destination, tcp.bare(frame["tcp_src"], frame["tcp_dst"], number, 0, tcp.SYN)
        )
    elif protocol == UDP:
        size = 8 + len(token)
        ports = b"".join(frame[f"udp_{side}"].to_bytes(2, "big") for side in ("src", "dst"))
        datagram = ports + size.to_bytes(2, "big") + bytes(2) + token
        body = ip.packet(source, destination, UDP, ip.covered(source, destination, UDP, datagram, 6))
    else:
        rest = frame["icmp_id"].to_bytes(2, "big") + bytes((0, 1)) + token
        if six:
            body = message6(source, destination, ECHO6, 0, rest, ip.TTL)
        else:
            body = ip.packet(source, destination, ICMP, message(ECHO, 0, rest))
    ends = frame["eth_dst"].to_bytes(6, "big") + frame["eth_src"].to_bytes(6, "big")
    return ends + octets(frame["eth_type"]) + body


def inside(data: bytes) -> Inside:
    """A frame without tags, NSH and tunnel."""
    outer: Outer | None = None
    while len(data) >= 14:
        kind = int.from_bytes(data[12:14], "big")
        if kind in (VLAN, QINQ):
            data = data[:12] + data[16:]
        elif kind == NSH and len(data) >= 22:
            data = data[14 + (int.from_bytes(data[14:16], "big") & 0x3F) * 4 :]
        elif kind == IPV4 and (packet := ip.read(data[14:])) is not None and _is_vxlan(packet):
            vni = int.from_bytes(packet.body[12:15], "big")
            outer, data = Outer(vni, packet.source, packet.destination), packet.body[16:]
        else:
            break
    return Inside(data, outer)


def _is_vxlan(packet: ip.Packet) -> bool:
    return packet.protocol == UDP and packet.ports is not None and packet.ports[1] == VXLAN_PORT


class Tag:
    """By what a packet and its answer are recognised. ``sent``: its octets as the host sends them."""

    def __init__(self, sent: bytes) -> None:
        self._kind = int.from_bytes(sent[12:14], "big")
        self._packet = ip.read(sent[14:]) if self._kind in (IPV4, IPV6) else None
        self._rest = sent[14:42] if self._kind == ARP else sent[14:]

    def direction(self, data: bytes) -> Direction | None:
        """Whether a frame is the packet or its answer, also in a tunnel; None: neither."""
        frame = inside(data).frame
        kind = int.from_bytes(frame[12:14], "big")
        if self._packet is None:
            if kind == ARP and self._kind == ARP and frame[14:21] == self._rest[:7]:
                return self._arp(frame[14:42])
            return "there" if kind == self._kind and frame[14 : 14 + len(self._rest)] == self._rest else None
        packet = ip.read(frame[14:]) if kind in (IPV4, IPV6) else None
        return None if packet is None else self._of_ip(self._packet, packet)

    def _arp(self, body: bytes) -> Direction | None:
        """Operation, then sender's and target's addresses (RFC 826)."""
        if body == self._rest:
            return "there"
        answers = body[7] == 2 and body[14:18] == self._rest[24:28] and body[24:28] == self._rest[14:18]
        return "back" if answers else None

    def _of_ip(self, sent: ip.Packet, seen: ip.Packet) -> Direction | None:
        if seen.protocol in (ICMP, ICMPV6) and seen.body[:1] and _is_error(seen):
            quoted = ip.read(seen.body[8:])
            return "back" if quoted is not None and self._same(sent, quoted) else None
        if seen.protocol != sent.protocol:
            return None
        if sent.protocol == TCP and len(sent.body) >= 20 and len(seen.body) >= 20:
            if seen.body[4:12] == sent.body[4:12] and seen.body[13] == sent.body[13]:
                return "there"
            number = int.from_bytes(sent.body[4:8], "big") + 1 & 0xFFFFFFFF
            acknowledges = seen.body[13] & tcp.ACK and int.from_bytes(seen.body[8:12], "big") == number
            return "back" if acknowledges else None
        if sent.protocol in (ICMP, ICMPV6) and sent.body[:1] in (bytes((ECHO,)), bytes((ECHO6,))):
            if seen.body[6:] != sent.body[6:]:
                return None
            return {ECHO: "there", ECHO6: "there", ECHO_REPLY: "back", ECHO_REPLY6: "back"}.get(seen.body[0])  # type: ignore[return-value]
        if (
            sent.protocol == UDP
            and sent.ports is not None
            and seen.ports is not None
            and self._same(sent, seen)
        ):
            return "back" if seen.ports[0] == sent.ports[1] != seen.ports[1] else "there"
        return "there" if self._same(sent, seen) else None

    def _same(self, sent: ip.Packet, seen: ip.Packet) -> bool:
        """Whether a packet, perhaps translated, or its beginning in an error, is the one that was sent."""
        if seen.protocol != sent.protocol or seen.later:
            return False
        if sent.protocol == TCP:
            return seen.body[4:8] == sent.body[4:8]
        at = 6 if sent.protocol in (ICMP, ICMPV6) else 8 if sent.ports is not None else 0
        mine, theirs = sent.body[at:], seen.body[at:]
        return bool(theirs) and mine[: len(theirs)] == theirs if mine else not theirs


def _is_error(packet: ip.Packet) -> bool:
    if packet.version == 6:
        return packet.body[0] < 128
    return packet.body[0] in (3, 4, 5, 11, 12)
