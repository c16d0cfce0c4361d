"""Matches of OpenFlow 1.0 to 1.5 as values: the name of each field, and its value as text. Pure.

Names are those of OXM (1.3.5, 7.2.3.7), in lower case, also for OpenFlow 1.0 and Nicira's fields, so that one
word means one thing in all versions.
"""

from __future__ import annotations

from ipaddress import ip_address
from struct import Struct

from controller.openflow import fields as oxm

_MORE = {
    1: "in_phy_port", 34: "mpls_label", 35: "mpls_tc", 36: "mpls_bos", 37: "pbb_isid", 38: "tunnel_id",
    39: "ipv6_exthdr", 41: "pbb_uca", 43: "actset_output", 0: "in_port",
}  # fmt: skip
_NXM0 = {
    0: "in_port", 1: "eth_dst", 2: "eth_src", 3: "eth_type", 4: "vlan_tci", 5: "ip_tos", 6: "ip_proto",
    7: "ip_src", 8: "ip_dst", 9: "tcp_src", 10: "tcp_dst", 11: "udp_src", 12: "udp_dst", 13: "icmp_type",
    14: "icmp_code", 15: "arp_op", 16: "arp_spa", 17: "arp_tpa",
}  # fmt: skip
_MACS = frozenset(("eth_dst", "eth_src", "arp_sha", "arp_tha", "nd_sll", "nd_tll"))
_ADDRESSES = frozenset(
    ("ip_src", "ip_dst", "arp_spa", "arp_tpa", "ipv6_src", "ipv6_dst", "nd_target", "tun_src", "tun_dst",
     "ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst")
)  # fmt: skip
_PORTS = frozenset(("in_port", "in_phy_port", "actset_output"))
_HEX = frozenset(("eth_type", "metadata", "vlan_tci", "ct_state", "ct_mark", "packet_type"))
_ETHERNET = {0x0800: "ipv4", 0x0806: "arp", 0x86DD: "ipv6", 0x8100: "vlan", 0x8847: "mpls", 0x88CC: "lldp"}
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}

RESERVED = {
    0xFFFFFFF8: "IN_PORT", 0xFFFFFFF9: "TABLE", 0xFFFFFFFA: "NORMAL", 0xFFFFFFFB: "FLOOD",
    0xFFFFFFFC: "ALL", 0xFFFFFFFD: "CONTROLLER", 0xFFFFFFFE: "LOCAL", 0xFFFFFFFF: "ANY",
}  # fmt: skip
_VLAN_PRESENT = 0x1000
_TEN = Struct("!IH6s6sHBxHBB2x4s4sHH")
TEN_SIZE = _TEN.size
"""Octets of OpenFlow 1.0's match."""


def port_text(number: int) -> str:
    """A port's number, or the name of a reserved one, of 1.0 (16 bits) or later (32 bits)."""
    if 0xFFF8 <= number <= 0xFFFF:
        number |= 0xFFFF0000
    return RESERVED.get(number, str(number))


def value_text(name: str, value: int, size: int) -> str:
    """A field's value as people write it. ``size``: its octets."""
    if name in _MACS or (name.startswith("0x") and size == 6):
        return value.to_bytes(6, "big").hex(":")
    if name in _ADDRESSES:
        return str(ip_address(value.to_bytes(16 if size > 4 else 4, "big")))
    if name in _PORTS:
        return port_text(value)
    if name == "eth_type":
        return _ETHERNET.get(value, f"{value:#06x}")
    if name == "ip_proto":
        return _PROTOCOLS.get(value, str(value))
    if name == "vlan_vid":
        return str(value & 0xFFF) if value & _VLAN_PRESENT else "none" if value == 0 else f"{value:#x}"
    return f"{value:#x}" if name in _HEX or name.startswith(("0x", "reg", "xreg")) else str(value)


def oxm_name(head: int) -> str:
    """The name of the field with this header (class and number); its header as text if it is unknown."""
    known = oxm.NAMES.get(head & 0xFFFFFE00)
    if known is not None:
        return known
    kind, number = head >> 16, head >> 9 & 0x7F
    if kind == 0x8000 and number in _MORE:
        return _MORE[number]
    if kind == 0 and number in _NXM0:
        return _NXM0[number]
    if kind == 0x8001:
        return f"xreg{number}"
    return f"{head & 0xFFFFFE00:#010x}"


def oxm_field(data: bytes, at: int) -> tuple[str, str, int]:
    """The OXM TLV at ``at``: name, text of value and mask, and where the next begins. Raises ValueError."""
    if at + 4 > len(data):
        raise ValueError("a field is cut off")
    head = int.from_bytes(data[at : at + 4], "big")
    size, start = head & 0xFF, at + 4
    if start + size > len(data):
        raise ValueError("a field is cut off")
    body = data[start : start + size]
    if head >> 16 == oxm.EXPERIMENTER:
        body = body[4:]
    name = oxm_name(head)
    masked = bool(head & oxm.MASKED)
    half = len(body) // 2 if masked else len(body)
    text = value_text(name, int.from_bytes(body[:half], "big"), half)
    if masked:
        text += mask_text(name, int.from_bytes(body[half:], "big"), half)
    return name, text, start + size


def mask_text(name: str, mask: int, size: int) -> str:
    """``/24`` for a prefix of an address, else ``/`` and the mask."""
    bits = size * 8
    if name in _ADDRESSES:
        inverse = mask ^ ((1 << bits) - 1)
        if not inverse & (inverse + 1):
            return f"/{bits - inverse.bit_length()}"
        return "/" + str(ip_address(mask.to_bytes(size, "big")))
    if name in _MACS:
        return "/" + mask.to_bytes(6, "big").hex(":")
    return f"/{mask:#x}"


def oxm_fields(data: bytes) -> dict[str, str]:
    """The fields of a sequence of OXM TLVs, as far as they are complete."""
    some: dict[str, str] = {}
    at = 0
    while at + 4 <= len(data):
        name, text, at = oxm_field(data, at)
        some[name] = text
    return some


def match(data: bytes, at: int) -> tuple[dict[str, str], int]:
    """``ofp_match`` of OpenFlow 1.2 and later, and where it ends with its padding. Raises ValueError."""
    if at + 4 > len(data):
        raise ValueError("the match is cut off")
    size = int.from_bytes(data[at + 2 : at + 4], "big")
    if size < 4 or at + size > len(data):
        raise ValueError(f"the match has a length of {size}")
    return oxm_fields(data[at + 4 : at + size]), at + (size + 7) // 8 * 8


_WILD = (
    ("in_port", 1 << 0), ("eth_src", 1 << 2), ("eth_dst", 1 << 3), ("vlan_vid", 1 << 1),
    ("vlan_pcp", 1 << 20), ("eth_type", 1 << 4), ("ip_tos", 1 << 21), ("ip_proto", 1 << 5),
)  # fmt: skip


def match_ten(data: bytes, at: int) -> dict[str, str]:
    """OpenFlow 1.0's match (5.2.3). Raises ValueError."""
    if at + TEN_SIZE > len(data):
        raise ValueError("the match is cut off")
    wild, in_port, source, target, vlan, pcp, kind, tos, protocol, from_ip, to_ip, from_port, to_port = (
        _TEN.unpack_from(data, at)
    )
    values = {
        "in_port": port_text(in_port),
        "eth_src": source.hex(":"),
        "eth_dst": target.hex(":"),
        "vlan_vid": "none" if vlan == 0xFFFF else str(vlan),
        "vlan_pcp": str(pcp),
        "eth_type": value_text("eth_type", kind, 2),
        "ip_tos": str(tos),
        "ip_proto": value_text("ip_proto", protocol, 1),
    }
    some = {name: values[name] for name, bit in _WILD if not wild & bit}
    for name, address, shift in (("ip_src", from_ip, 8), ("ip_dst", to_ip, 14)):
        ignored = min(wild >> shift & 0x3F, 32)
        if ignored < 32:
            some[name] = str(ip_address(address)) + (f"/{32 - ignored}" if ignored else "")
    transport = {6: "tcp", 17: "udp"}.get(protocol if not wild & 1 << 5 else 0, "tp")
    for name, port, bit in (("src", from_port, 1 << 6), ("dst", to_port, 1 << 7)):
        if not wild & bit:
            some[f"{transport}_{name}"] = str(port)
    return some
