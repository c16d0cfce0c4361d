"""The Internet checksum (RFC 1071)."""

from __future__ import annotations

import struct


def checksum(data: bytes) -> int:
    """Of data of any length, an odd one as if a zero octet followed.

    One's complement sums of 16 bits are what remains modulo 65,535 of the octets as one number, which is
    several times faster than to add them up.
    """
    number = int.from_bytes(data, "big")
    if len(data) % 2:
        number <<= 8
    # a sum of nothing but zeros is 0; any other multiple of 65,535 is 65,535
    return (0xFFFF - number % 0xFFFF) % 0xFFFF if number else 0xFFFF


def words(data: bytes) -> int:
    """The sum of the 16-bit words of ``data`` (of even length), for ``fold``: sums of parts can be added."""
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def fold(total: int) -> int:
    """The checksum of data whose words have this sum, which has less than 32 bits."""
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def adjusted(checksum: int, old: int, new: int) -> int:
    """A checksum once one 16-bit word of what it covers has changed (RFC 1624, equation 3)."""
    return fold((~checksum & 0xFFFF) + (~old & 0xFFFF) + new)
