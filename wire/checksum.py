"""The Internet checksum (RFC 1071)."""

from __future__ import annotations

import struct


def checksum(data: bytes) -> int:
    """The checksum of data; after an odd number of octets, a zero octet is assumed.

    The one's complement sum of 16-bit words is the octets, as one number, modulo 65,535.  This is several
    times faster than adding the words.
    """
    number = int.from_bytes(data, "big")
    if len(data) % 2:
        number <<= 8
    # the sum of zeros alone is 0; any other multiple of 65,535 is 65,535
    return (0xFFFF - number % 0xFFFF) % 0xFFFF if number else 0xFFFF


def words(data: bytes) -> int:
    """The sum of the 16-bit words of ``data`` (of even length), for ``fold``: sums of parts can be added."""
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def fold(total: int) -> int:
    """The checksum of data whose words have this sum (below 2**32)."""
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def adjusted(checksum: int, old: int, new: int) -> int:
    """The checksum after one 16-bit word of the data changes from ``old`` to ``new`` (RFC 1624, equation
    3)."""
    return fold((~checksum & 0xFFFF) + (~old & 0xFFFF) + new)
