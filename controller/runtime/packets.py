"""The few packets that the controller itself reads and writes: ARP, neighbour discovery, ICMP errors.

Addresses are integers (MAC 48 bit, IPv4 32 bit, IPv6 128 bit), as in the flow tables; in ``wire`` they are
octets.  Nothing here raises on a malformed packet: `read` returns None, or leaves out what it cannot read.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from wire import arp, ethertype, icmp, ip, nd
from wire.protocol import ICMPV6


class Packet(NamedTuple):
    """What the controller reads of a frame.

    ``kind`` is ``ask`` (ARP request, neighbour solicitation), ``answer`` (ARP reply,
    neighbour advertisement) or ``data``; ``sender`` is the sender's IP address or 0,
    ``target`` the address asked for or 0; ``family`` 4, 6 or 0.
    """

    eth_src: int
    eth_dst: int
    kind: Literal["ask", "answer", "data"] = "data"
    family: Literal[0, 4, 6] = 0
    sender: int = 0
    target: int = 0


def read(frame: bytes) -> Packet | None:
    """Read an Ethernet frame; None when it is shorter than an Ethernet header."""
    if len(frame) < 14:
        return None
    dst, src = _int(frame[0:6]), _int(frame[6:12])
    kind = _int(frame[12:14])
    if kind == ethertype.ARP and (arp_packet := arp.read(frame[14:])) is not None:
        operation, _, sender4, target4 = arp_packet
        return Packet(
            src, dst, "ask" if operation == arp.REQUEST else "answer", 4, _int(sender4), _int(target4)
        )
    if kind == ethertype.IPV4 and len(frame) >= 34:
        return Packet(src, dst, "data", 4, _int(frame[26:30]), _int(frame[30:34]))
    if kind == ethertype.IPV6 and len(frame) >= 54:
        sender, target = _int(frame[22:38]), _int(frame[38:54])
        if frame[20] == ICMPV6 and frame[21] == nd.HOPS and len(frame) >= 78:
            if frame[54] == nd.SOLICITATION:
                return Packet(src, dst, "ask", 6, sender, _int(frame[62:78]))
            if frame[54] == nd.ADVERTISEMENT:
                # The address that an advertisement speaks for is its target, not its source.
                return Packet(src, dst, "answer", 6, _int(frame[62:78]), target)
        return Packet(src, dst, "data", 6, sender, target)
    return Packet(src, dst)


def arp_request(sender_mac: int, sender: int, target: int) -> bytes:
    """Who has ``target``? A broadcast frame of 42 bytes."""
    return arp.request(_mac(sender_mac), _ip4(sender), _ip4(target))


def advertisement(mac: int, address: int, asker_mac: int, asker: int) -> bytes:
    """Neighbour advertisement; see ``wire.nd``."""
    return nd.advertisement(_mac(mac), _ip6(address), _mac(asker_mac), _ip6(asker))


def time_exceeded(frame: bytes, mac: int, ipv4: int | None, ipv6: int | None) -> bytes | None:
    """A router's answer to the sender of a packet whose TTL has run out (RFC 792; RFC 4443, 3.3).

    ``mac``, ``ipv4`` and ``ipv6`` are the router's.  None where it must not answer (``icmp.may_be_told``), or
    has no address of the family.
    """
    if len(frame) < 34 or frame[0] & 1:
        return None
    about = ip.read(frame[14:]) if _int(frame[12:14]) in (ethertype.IPV4, ethertype.IPV6) else None
    router = None if about is None else ipv4 if about.version == 4 else ipv6
    if about is None or router is None:
        return None
    address = router.to_bytes(4 if about.version == 4 else 16, "big")
    answer = icmp.time_exceeded(about, address, frame[14:])
    return None if answer is None else frame[6:12] + _mac(mac) + frame[12:14] + answer


def _int(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _mac(value: int) -> bytes:
    return value.to_bytes(6, "big")


def _ip4(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _ip6(value: int) -> bytes:
    return value.to_bytes(16, "big")
