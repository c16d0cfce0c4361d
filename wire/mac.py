"""MAC addresses: as text, as a number of 48 bits, as six octets."""

from __future__ import annotations

BROADCAST = 0xFFFFFFFFFFFF
GROUP_BIT = 1 << 40
"""The I/G bit (IEEE 802, 8.2.2). It is 0 in the source of every valid frame."""
LOCAL_BIT = 1 << 41
"""The U/L bit (IEEE 802, 8.2.2). It is 1 in locally administered addresses."""
CONTROLLER = 0x02_53_44_4E_00_00
"""The source address of frames that the controller itself makes (locally administered)."""


def mac_number(text: str) -> int:
    """``02:00:00:00:00:01`` as a number."""
    return int(text.replace(":", ""), 16)


def mac_text(number: int) -> str:
    """A number as ``02:00:00:00:00:01``."""
    return number.to_bytes(6, "big").hex(":")


def mac_octets(text: str) -> bytes:
    """``02:00:00:00:00:01`` as six octets."""
    return bytes.fromhex(text.replace(":", ""))


def link_local(mac: int) -> int:
    """The IPv6 link-local address made of a MAC address (modified EUI-64, RFC 4291 appendix A)."""
    high, low = mac >> 24 ^ 0x020000, mac & 0xFFFFFF
    return 0xFE80 << 112 | high << 40 | 0xFFFE << 24 | low
