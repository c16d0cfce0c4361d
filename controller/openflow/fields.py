"""OpenFlow extensible match fields: names, OXM headers and sizes (OpenFlow 1.5.1, 7.2.3).

Names are Open vSwitch's (``ovs-fields(7)``).  Registers and the two neighbour discovery
extensions have no number in the standard: they use NXM's class 1 and Ericsson's class 0x1000.
"""

from __future__ import annotations

from typing import NamedTuple

BASIC, NXM1, ERICSSON, EXPERIMENTER = 0x8000, 0x0001, 0x1000, 0xFFFF
NSH = 0x005AD650
"""Experimenter of the NSH fields (Open vSwitch's meta-flow.h); its number follows the header, 7.2.3.2."""


class OXM(NamedTuple):
    """``head`` is the 32-bit header without mask bit and length; ``size`` the value's octets."""

    head: int
    size: int
    experimenter: int = 0


_STANDARD = {
    "in_port": (0, 4),
    "metadata": (2, 8),
    "eth_dst": (3, 6),
    "eth_src": (4, 6),
    "eth_type": (5, 2),
    "vlan_vid": (6, 2),
    "vlan_pcp": (7, 1),
    "ip_dscp": (8, 1),
    "ip_ecn": (9, 1),
    "ip_proto": (10, 1),
    "ip_src": (11, 4),
    "ip_dst": (12, 4),
    "tcp_src": (13, 2),
    "tcp_dst": (14, 2),
    "udp_src": (15, 2),
    "udp_dst": (16, 2),
    "sctp_src": (17, 2),
    "sctp_dst": (18, 2),
    "icmp_type": (19, 1),
    "icmp_code": (20, 1),
    "arp_op": (21, 2),
    "arp_spa": (22, 4),
    "arp_tpa": (23, 4),
    "arp_sha": (24, 6),
    "arp_tha": (25, 6),
    "ipv6_src": (26, 16),
    "ipv6_dst": (27, 16),
    "ipv6_label": (28, 4),
    "icmpv6_type": (29, 1),
    "icmpv6_code": (30, 1),
    "nd_target": (31, 16),
    "nd_sll": (32, 6),
    "nd_tll": (33, 6),
    "tun_id": (38, 8),
    "tcp_flags": (42, 2),
    "packet_type": (44, 4),
}

FIELDS: dict[str, OXM] = {
    name: OXM(BASIC << 16 | number << 9, size) for name, (number, size) in _STANDARD.items()
}
FIELDS |= {f"reg{number}": OXM(NXM1 << 16 | number << 9, 4) for number in range(16)}
FIELDS["ct_state"] = OXM(NXM1 << 16 | 105 << 9, 4)
FIELDS["ct_zone"] = OXM(NXM1 << 16 | 106 << 9, 2)
FIELDS["ct_mark"] = OXM(NXM1 << 16 | 107 << 9, 4)
FIELDS["ct_nw_proto"] = OXM(NXM1 << 16 | 119 << 9, 1)
FIELDS["ct_nw_src"] = OXM(NXM1 << 16 | 120 << 9, 4)
FIELDS["ct_nw_dst"] = OXM(NXM1 << 16 | 121 << 9, 4)
FIELDS["ct_ipv6_src"] = OXM(NXM1 << 16 | 122 << 9, 16)
FIELDS["ct_ipv6_dst"] = OXM(NXM1 << 16 | 123 << 9, 16)
FIELDS["ct_tp_src"] = OXM(NXM1 << 16 | 124 << 9, 2)
FIELDS["ct_tp_dst"] = OXM(NXM1 << 16 | 125 << 9, 2)
FIELDS["nw_ttl"] = OXM(NXM1 << 16 | 29 << 9, 1)
FIELDS["tun_src"] = OXM(NXM1 << 16 | 31 << 9, 4)
FIELDS["tun_dst"] = OXM(NXM1 << 16 | 32 << 9, 4)
FIELDS["ip_frag"] = OXM(NXM1 << 16 | 26 << 9, 1)
for _name, _number, _size in (("nsh_spi", 4, 4), ("nsh_si", 5, 1), ("nsh_ttl", 10, 1)):
    FIELDS[_name] = OXM(EXPERIMENTER << 16 | _number << 9, _size, NSH)
FIELDS["nd_reserved"] = OXM(ERICSSON << 16 | 1 << 9, 4)
FIELDS["nd_options_type"] = OXM(ERICSSON << 16 | 2 << 9, 1)

WRITTEN = FIELDS | {"in_port": OXM(0, 2)}
"""The fields by their headers in actions: Open vSwitch writes the ingress port only in its 16-bit NXM
form."""

NAMES = {oxm.head: name for fields in (FIELDS, WRITTEN) for name, oxm in fields.items()}

MASKED = 1 << 8


def encode(name: str, value: int, mask: int | None = None, among: dict[str, OXM] = FIELDS) -> bytes:
    """One OXM TLV: header, value, and the mask if there is one. ``among``: ``FIELDS``, or ``WRITTEN``."""
    head, size, experimenter = among[name]
    if experimenter:
        return _of_experimenter(head, size, experimenter, value, mask)
    if mask is None:
        return (head | size).to_bytes(4, "big") + value.to_bytes(size, "big")
    return (
        (head | MASKED | 2 * size).to_bytes(4, "big")
        + value.to_bytes(size, "big")
        + mask.to_bytes(size, "big")
    )


def _of_experimenter(head: int, size: int, experimenter: int, value: int, mask: int | None) -> bytes:
    body = experimenter.to_bytes(4, "big") + value.to_bytes(size, "big")
    body += b"" if mask is None else mask.to_bytes(size, "big")
    return (head | (0 if mask is None else MASKED) | len(body)).to_bytes(4, "big") + body


def header(name: str) -> bytes:
    """The OXM header alone, as copy_field has it. Not for experimenters' fields."""
    head, size, _ = WRITTEN[name]
    return (head | size).to_bytes(4, "big")


def decode(data: bytes, start: int, end: int) -> list[tuple[str, int, int | None]]:
    """The OXM TLVs of ``data[start:end]`` as (name, value, mask). The name of an unknown field is its header
    in hexadecimal (``0x80004a``)."""
    tlvs = []
    while start + 4 <= end:
        head = int.from_bytes(data[start : start + 4], "big")
        size = head & 0xFF
        start += 4
        name = NAMES.get(head & 0xFFFFFE00)
        if head >> 16 == EXPERIMENTER:
            start, size = start + 4, size - 4
        if head & MASKED:
            half = size // 2
            value = int.from_bytes(data[start : start + half], "big")
            mask: int | None = int.from_bytes(data[start + half : start + size], "big")
        else:
            value, mask = int.from_bytes(data[start : start + size], "big"), None
        tlvs.append((name if name is not None else f"{head & 0xFFFFFE00:#x}", value, mask))
        start += size
    return tlvs
