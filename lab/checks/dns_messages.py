"""DNS messages (RFC 1035): a query, and what an answer says. Pure."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
STATUS = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_NAMES = {number: name for name, number in TYPES.items()}
_MOST_RECORDS, _MOST_JUMPS = 64, 64


class BadMessage(ValueError):
    """It is no DNS message."""


class Answer(NamedTuple):
    """The code of an answer, and its records as ``TYPE data``."""

    status: str
    records: tuple[tuple[str, str], ...]


def query(identifier: int, name: str, kind: str) -> bytes:
    """A query with recursion desired."""
    labels = b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.split("."))
    return (
        struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!xHH", TYPES[kind], 1)
    )


def read(data: bytes, identifier: int) -> Answer:
    """The answer to the query with this identifier. Raises BadMessage."""
    try:
        number, flags, questions, answers = struct.unpack_from("!HHHH", data)
        if number != identifier or not flags & 0x8000:
            raise BadMessage("it answers no query of this number")
        at = 12
        for _ in range(min(questions, _MOST_RECORDS)):
            at = _name(data, at)[1] + 4
        records = []
        for _ in range(min(answers, _MOST_RECORDS)):
            _, at = _name(data, at)
            kind, _, _, length = struct.unpack_from("!HHIH", data, at)
            at += 10
            if at + length > len(data):
                raise BadMessage("a record is cut short")
            records.append((_NAMES.get(kind, f"TYPE{kind}"), _data(data, at, length, _NAMES.get(kind, ""))))
            at += length
    except (struct.error, IndexError):
        raise BadMessage("it is cut short") from None
    return Answer(STATUS.get(flags & 15, f"code {flags & 15}"), tuple(records))


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A name, compressed or not (4.1.4), and where what follows it begins."""
    labels: list[str] = []
    after = -1
    for _ in range(_MOST_JUMPS):
        size = data[at]
        if size >= 0xC0:
            after = at + 2 if after < 0 else after
            at = (size & 0x3F) << 8 | data[at + 1]
        elif size == 0:
            return ".".join(labels), at + 1 if after < 0 else after
        else:
            labels.append(data[at + 1 : at + 1 + size].decode("ascii", "backslashreplace"))
            at += 1 + size
    raise BadMessage("a name is too long, or goes round in a circle")


def _data(data: bytes, at: int, length: int, kind: str) -> str:
    octets = data[at : at + length]
    if kind == "A" and length == 4:
        return str(IPv4Address(octets))
    if kind == "AAAA" and length == 16:
        return str(IPv6Address(octets))
    if kind in ("CNAME", "NS", "PTR"):
        return _name(data, at)[0]
    if kind == "MX":
        return _name(data, at + 2)[0]
    if kind == "TXT":
        texts, place = [], 0
        while place < length:
            size = octets[place]
            texts.append(octets[place + 1 : place + 1 + size].decode("utf-8", "backslashreplace"))
            place += 1 + size
        return "".join(texts)
    return octets.hex()
