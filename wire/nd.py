"""Neighbour discovery (RFC 4861), as frames. Addresses are octets."""

from __future__ import annotations

from wire import ethertype
from wire.icmp import message6

ROUTER_SOLICITATION = 133
SOLICITATION, ADVERTISEMENT = 135, 136
"""Types of ICMPv6 messages (RFC 4861, 4.3 and 4.4)."""
ROUTER_ADVERTISEMENT, REDIRECT = 134, 137
"""Types that only routers send (RFC 4861, 4.2 and 4.5)."""
HOPS = 255
"""The hop limit: it shows that a packet comes from the same link (RFC 4861, 7.1)."""
_EVERYONE = b"\xff\x02" + bytes(13) + b"\x01"


def solicited_node(address: bytes) -> bytes:
    """The solicited-node multicast address of an address (RFC 4291, 2.7.1)."""
    return b"\xff\x02" + bytes(9) + b"\x01\xff" + address[13:]


def group_mac(group: bytes) -> bytes:
    """The MAC address of an IPv6 group (RFC 2464, 7)."""
    return b"\x33\x33" + group[12:]


def solicitation(sender_mac: bytes, sender: bytes, target: bytes) -> bytes:
    """Who has ``target``?, to its solicited-node group (RFC 4861, 4.3).

    A duplicate-address probe (``sender`` unspecified) has no link-layer address option.
    """
    group = solicited_node(target)
    option = b"\x01\x01" + sender_mac if any(sender) else b""
    packet = message6(sender, group, SOLICITATION, 0, bytes(4) + target + option, HOPS)
    return group_mac(group) + sender_mac + ethertype.octets(ethertype.IPV6) + packet


def advertisement(mac: bytes, address: bytes, asker_mac: bytes, asker: bytes) -> bytes:
    """``address`` is at ``mac``, solicited and overriding (RFC 4861, 4.4).

    An asker without an address (duplicate address detection) is answered by multicast, unsolicited.
    """
    flags = 0x60 if any(asker) else 0x20
    rest = bytes((flags, 0, 0, 0)) + address + b"\x02\x01" + mac
    packet = message6(address, asker if any(asker) else _EVERYONE, ADVERTISEMENT, 0, rest, HOPS)
    to = asker_mac if any(asker) else group_mac(_EVERYONE)
    return to + mac + ethertype.octets(ethertype.IPV6) + packet
