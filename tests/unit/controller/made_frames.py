"""Frames as the evaluator and ``ofproto/trace`` take them: mappings of field names to integers."""

from __future__ import annotations

from topologies.model.topology import Host
from wire.mac import mac_number

BROADCAST = 0xFFFFFFFFFFFF


def ipv4(source: Host, target: Host) -> dict[str, int]:
    assert source.ipv4 and target.ipv4
    return {
        "eth_src": mac_number(source.mac),
        "eth_dst": mac_number(target.mac),
        "eth_type": 0x0800,
        "ip_src": int(source.ipv4.ip),
        "ip_dst": int(target.ipv4.ip),
        "ip_proto": 17,
    }


def ipv6(source: Host, target: Host) -> dict[str, int]:
    assert source.ipv6 and target.ipv6
    return {
        "eth_src": mac_number(source.mac),
        "eth_dst": mac_number(target.mac),
        "eth_type": 0x86DD,
        "ipv6_src": int(source.ipv6.ip),
        "ipv6_dst": int(target.ipv6.ip),
        "ip_proto": 17,
    }


def arp_request(source: Host, address: int, to: int = BROADCAST) -> dict[str, int]:
    assert source.ipv4
    return {
        "eth_src": mac_number(source.mac),
        "eth_dst": to,
        "eth_type": 0x0806,
        "arp_op": 1,
        "arp_spa": int(source.ipv4.ip),
        "arp_tpa": address,
        "arp_sha": mac_number(source.mac),
        "arp_tha": 0,
    }


def solicitation(source: Host, address: int, to: int | None = None) -> dict[str, int]:
    """A neighbour solicitation, to the solicited-node group or (unicast probe) to a MAC."""
    assert source.ipv6
    return {
        "eth_src": mac_number(source.mac),
        "eth_dst": 0x3333FF000000 | address & 0xFFFFFF if to is None else to,
        "eth_type": 0x86DD,
        "ip_proto": 58,
        "ipv6_src": int(source.ipv6.ip),
        "ipv6_dst": 0xFF0200000000000000000001FF000000 | address & 0xFFFFFF if to is None else address,
        "icmpv6_type": 135,
        "icmpv6_code": 0,
        "nd_target": address,
        "nd_sll": mac_number(source.mac),
        "nd_reserved": 0,
        "nd_options_type": 1,
    }


def router_solicitation(source: Host) -> dict[str, int]:
    said = {**solicitation(source, 0), "icmpv6_type": 133, "eth_dst": 0x333300000002}
    return {name: value for name, value in said.items() if not name.startswith("nd_")}


def multicast(source: Host) -> dict[str, int]:
    """An mDNS query."""
    return {**ipv4(source, source), "eth_dst": 0x01005E0000FB, "ip_dst": 0xE00000FB}


def pieces(frame: dict[str, int], of: int, count: int = 3) -> list[dict[str, int]]:
    """A packet as ``count`` fragments of datagram ``of``, as a switch sees them: the later ones have no
    ports, and over IPv6 the fragment header's protocol."""
    bare = {
        name: value for name, value in frame.items() if not name.startswith(("tcp_", "udp_", "sctp_", "icmp"))
    }
    if frame["eth_type"] == 0x86DD:
        bare["ip_proto"] = 44
    frames = []
    for number in range(count):
        place = {"part:of": of, "part:number": number, "part:count": count}
        frames.append((bare if number else frame) | place | {"ip_frag": 3 if number else 1})
    return frames
