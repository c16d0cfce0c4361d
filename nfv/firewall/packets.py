"""The fields of an IP packet for a log line. Pure."""

from __future__ import annotations

import socket

from wire.protocol import ESP, GRE, ICMP, ICMPV6, SCTP, TCP, UDP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wire.ip import Packet

NAMES = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP", ICMP: "ICMP", ICMPV6: "IPv6-ICMP", GRE: "GRE", ESP: "ESP"}
"""Names of protocols in Suricata's EVE."""


def text(address: bytes) -> str:
    """An address as people write it."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def fields(packet: Packet) -> dict[str, Any]:
    """EVE's fields of a packet: ``src_ip``, ``dest_ip``, ``proto``, and ports if it has them."""
    members: dict[str, Any] = {
        "src_ip": text(packet.source),
        "dest_ip": text(packet.destination),
        "proto": NAMES.get(packet.protocol, str(packet.protocol)),
    }
    if packet.ports is not None:
        members["src_port"], members["dest_port"] = packet.ports
    return members
