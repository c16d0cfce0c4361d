"""A packet's source and destination, for people, under the names of Suricata's EVE.

Nothing here raises on a malformed packet.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from wire import ethertype, ip
from wire.protocol import ICMP, ICMPV6, NAMES


def endpoints(frame: bytes) -> dict[str, Any]:
    """Protocol, addresses and ports for people, under EVE's names; empty when it is not IP."""
    packet = ip.read(frame[14:])
    if packet is None or frame[12:14] != ethertype.octets(ethertype.OF_VERSION[packet.version]):
        return {}
    described: dict[str, Any] = {
        "proto": NAMES.get(packet.protocol, str(packet.protocol)),
        "src_ip": str(ip_address(packet.source)),
        "dest_ip": str(ip_address(packet.destination)),
    }
    if packet.ports is not None:
        described["src_port"], described["dest_port"] = packet.ports
    elif packet.protocol in (ICMP, ICMPV6) and len(packet.body) >= 2 and not packet.later:
        described["icmp_type"], described["icmp_code"] = packet.body[0], packet.body[1]
    return described
