"""The fields of a frame's octets, as the evaluator and flow tables have them.

Open vSwitch's rules decide what a frame has (ovs-fields(7)): a later fragment has no ports, and over IPv6
its protocol is 44; the fields of neighbour discovery need hop limit 255.  Beside OpenFlow's fields there are
those of ``controller.simulate.tracking`` (``icmp_id``, ``inner_*``), and those of a frame inside NSH.
"""

from __future__ import annotations

from controller.simulate.switch import INSIDE
from wire import arp, ip, nd
from wire.ethertype import ARP, IPV4, IPV6, NSH, QINQ, VLAN
from wire.icmp import ECHO, ECHO6, ECHO_REPLY, ECHO_REPLY6
from wire.protocol import FRAGMENT, ICMP, ICMPV6, SCTP, TCP, UDP

_PORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
_ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMPV6: (1, 2, 3, 4)}
_PRESENT = 0x1000
"""OFPVID_PRESENT (OpenFlow 1.5.1, 7.2.3.8)."""
_LENGTHS = 0x0600
"""Below this an EtherType is a length (IEEE 802.3); Open vSwitch matches such frames as ``UNTYPED``."""
UNTYPED = 0x05FF


def frame_of(data: bytes) -> dict[str, int]:
    """The fields of an Ethernet frame. Raises ValueError if it has no whole Ethernet header."""
    if len(data) < 14:
        raise ValueError(f"{len(data)} octets are no Ethernet frame")
    fields = {
        "eth_src": int.from_bytes(data[6:12], "big"),
        "eth_dst": int.from_bytes(data[0:6], "big"),
    }
    kind, at = int.from_bytes(data[12:14], "big"), 14
    if kind in (VLAN, QINQ) and len(data) >= 18:
        tag, kind = int.from_bytes(data[14:16], "big"), int.from_bytes(data[16:18], "big")
        fields["vlan_vid"] = _PRESENT | tag & 0xFFF
        at = 18
    fields["eth_type"] = kind if kind >= _LENGTHS else UNTYPED
    body = data[at:]
    if kind == ARP:
        fields |= _arp(body)
    elif kind in (IPV4, IPV6):
        packet = ip.read(body)
        if packet is not None and packet.version == (4 if kind == IPV4 else 6):
            fields |= _ip(packet, body)
    elif kind == NSH:
        fields |= _nsh(body)
    return fields


def _arp(body: bytes) -> dict[str, int]:
    read = arp.read(body)
    if read is None:
        return {}
    operation, mac, sender, target = read
    return {
        "arp_op": operation,
        "arp_spa": int.from_bytes(sender, "big"),
        "arp_tpa": int.from_bytes(target, "big"),
        "arp_sha": int.from_bytes(mac, "big"),
        "arp_tha": int.from_bytes(body[18:24], "big"),
    }


def _ip(packet: ip.Packet, data: bytes) -> dict[str, int]:
    head = "ip" if packet.version == 4 else "ipv6"
    later_six = packet.version == 6 and packet.later
    fields = {
        f"{head}_src": int.from_bytes(packet.source, "big"),
        f"{head}_dst": int.from_bytes(packet.destination, "big"),
        "ip_proto": FRAGMENT if later_six else packet.protocol,
        "nw_ttl": data[8] if packet.version == 4 else data[7],
    }
    if packet.fragment:
        fields["ip_frag"] = 3 if packet.later else 1
    if packet.later:
        return fields
    body, name = packet.body, _PORTS.get(packet.protocol)
    if name is not None and packet.ports is not None:
        fields[f"{name}_src"], fields[f"{name}_dst"] = packet.ports
        if packet.protocol == TCP and len(body) >= 14:
            fields["tcp_flags"] = int.from_bytes(body[12:14], "big") & 0xFFF
    elif packet.protocol == (ICMP if packet.version == 4 else ICMPV6) and len(body) >= 4:
        fields |= _icmp(packet, data)
    return fields


def _icmp(packet: ip.Packet, data: bytes) -> dict[str, int]:
    body, six = packet.body, packet.version == 6
    name = "icmpv6" if six else "icmp"
    fields = {f"{name}_type": body[0], f"{name}_code": body[1]}
    if body[0] in ((ECHO6, ECHO_REPLY6) if six else (ECHO, ECHO_REPLY)) and len(body) >= 6:
        fields["icmp_id"] = int.from_bytes(body[4:6], "big")
    if body[0] in _ERRORS[packet.protocol]:
        fields |= _reported(body[8:], packet.version)
    if six and body[0] in (nd.SOLICITATION, nd.ADVERTISEMENT) and data[7] == nd.HOPS and len(body) >= 24:
        fields["nd_reserved"] = int.from_bytes(body[4:8], "big")
        fields["nd_target"] = int.from_bytes(body[8:24], "big")
        if len(body) >= 32 and body[24] in (1, 2) and body[25] == 1:
            fields["nd_options_type"] = body[24]
            fields["nd_sll" if body[24] == 1 else "nd_tll"] = int.from_bytes(body[26:32], "big")
    return fields


def _reported(quoted: bytes, version: int) -> dict[str, int]:
    """The fields of the packet that an ICMP error reports."""
    inner = ip.read(quoted)
    if inner is None or inner.version != version:
        return {}
    fields = {
        "inner_src": int.from_bytes(inner.source, "big"),
        "inner_dst": int.from_bytes(inner.destination, "big"),
        "inner_proto": inner.protocol,
    }
    ports = inner.ports
    if ports is None and inner.protocol in (ICMP, ICMPV6) and len(inner.body) >= 6:
        identifier = int.from_bytes(inner.body[4:6], "big")
        ports = (identifier, identifier)
    if ports is not None:
        fields["inner_tp_src"], fields["inner_tp_dst"] = ports
    return fields


def _nsh(body: bytes) -> dict[str, int]:
    """RFC 8300, 2: base header, service path header, and what follows them."""
    if len(body) < 8:
        return {}
    fields = {"nsh_spi": int.from_bytes(body[4:7], "big"), "nsh_si": body[7]}
    size, following = (int.from_bytes(body[0:2], "big") & 0x3F) * 4, body[3]
    if following == _ETHERNET and len(body) >= size + 14:
        fields |= {INSIDE + name: value for name, value in frame_of(body[size:]).items()}
    return fields


_ETHERNET = 3
"""NSH's next protocol for Ethernet (RFC 8300, 2.2)."""
