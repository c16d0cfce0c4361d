"""A frame's octets as the evaluator takes them: a mapping of field names to integers, read by scapy."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import IPerror6, IPv6, _ICMPv6, _IPv6ExtHdr
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet

PORTS: dict[type[Packet], str] = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}


def _mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def read(frame: bytes) -> dict[str, int]:
    """No fragments; of an ICMP error, what it is about as ``inner_*`` (see
    ``controller.simulate.tracking``)."""
    packet = Ether(frame)
    fields = {"eth_src": _mac(packet.src), "eth_dst": _mac(packet.dst), "eth_type": packet.type}
    inner = packet.payload
    if isinstance(inner, IP):
        fields |= {"ip_src": int(IPv4Address(inner.src)), "ip_dst": int(IPv4Address(inner.dst))}
        fields["ip_proto"], fields["nw_ttl"], body = inner.proto, inner.ttl, inner.payload
    elif isinstance(inner, IPv6):
        fields |= {"ipv6_src": int(IPv6Address(inner.src)), "ipv6_dst": int(IPv6Address(inner.dst))}
        head: Packet = inner
        while isinstance(head.payload, _IPv6ExtHdr):
            head = head.payload
        fields["ip_proto"], fields["nw_ttl"], body = head.nh, inner.hlim, head.payload
    else:
        return fields
    for layer, name in PORTS.items():
        if isinstance(body, layer):
            fields |= {f"{name}_src": body.sport, f"{name}_dst": body.dport}
    if isinstance(body, TCP):
        fields["tcp_flags"] = int(body.flags)
    elif isinstance(body, ICMP):
        fields |= {"icmp_type": body.type, "icmp_code": body.code, "icmp_id": body.id or 0}
        if IPerror in body:
            fields |= _about(body[IPerror], body[IPerror].proto)
    elif isinstance(body, _ICMPv6):
        fields |= {"icmpv6_type": body.type, "icmpv6_code": body.code, "icmp_id": getattr(body, "id", 0)}
        if IPerror6 in body:
            fields |= _about(body[IPerror6], body[IPerror6].nh)
    return fields


def _about(packet: Packet, protocol: int) -> dict[str, int]:
    kind = IPv4Address if isinstance(packet, IP) else IPv6Address
    fields = {"inner_src": int(kind(packet.src)), "inner_dst": int(kind(packet.dst)), "inner_proto": protocol}
    for layer in (TCPerror, UDPerror):
        if layer in packet:
            fields |= {"inner_tp_src": packet[layer].sport, "inner_tp_dst": packet[layer].dport}
    return fields
