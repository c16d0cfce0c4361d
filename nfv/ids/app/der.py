"""Reads the fields of X.509 certificates (RFC 5280) that rules and EVE need, from DER (X.690).

Every length is compared with the present bytes; malformed data raises ``Invalid``.

Why no library: libraries refuse certificates that are not strictly DER, or not valid, and attackers send such
certificates.  This module reads names also if lengths have more bytes than necessary, if times or extensions
are malformed, if text is not in its encoding, and if other data follows.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field


class Invalid(Exception):
    """The data is no certificate."""


def element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """(tag, beginning of the content, end of the content) of the element at this position."""
    if at + 2 > end:
        raise Invalid
    tag, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if count == 0 or count > 4 or at + count > end:
            raise Invalid
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + length > end:
        raise Invalid
    return tag, at, at + length


_NAMES = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
    "2.5.4.15": "businessCategory", "2.5.4.17": "postalCode", "2.5.4.42": "givenName",
    "1.2.840.113549.1.9.1": "emailAddress", "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC", "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
}  # fmt: skip


def oid(body: bytes) -> str:
    """An object identifier with dots."""
    if not body:
        raise Invalid
    numbers = [min(body[0] // 40, 2)]
    numbers.append(body[0] - 40 * numbers[0])
    value = 0
    for byte in body[1:]:
        value = value << 7 | byte & 0x7F
        if value > 1 << 64:
            raise Invalid
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    return ".".join(map(str, numbers))


def _name(data: bytes, at: int, end: int) -> str:
    parts = []
    while at < end:
        _, inner, stop = element(data, at, end)
        while inner < stop:
            _, pair, pair_end = element(data, inner, stop)
            _, begin, finish = element(data, pair, pair_end)
            kind = oid(data[begin:finish])
            tag, begin, value_end = element(data, finish, pair_end)
            raw = data[begin:value_end]
            text = raw.decode("utf-16-be" if tag == 30 else "utf-8", "replace")
            parts.append(f"{_NAMES.get(kind, kind)}={text}")
            inner = pair_end
        at = stop
    return ", ".join(parts)


def _time(data: bytes, at: int, end: int) -> tuple[str, int]:
    tag, begin, stop = element(data, at, end)
    text = data[begin:stop].decode("ascii", "replace")
    if tag == 23:
        text = ("19" if text[:2] >= "50" else "20") + text
    if len(text) < 14 or not text[:14].isdigit():
        raise Invalid
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:12]}:{text[12:14]}", stop


@dataclass(slots=True)
class Certificate:
    """The fields of a certificate that rules and EVE use."""

    subject: str = ""
    issuer: str = ""
    serial: str = ""
    not_before: str = ""
    not_after: str = ""
    fingerprint: str = ""
    names: list[str] = field(default_factory=list)


def certificate(data: bytes) -> Certificate:
    """Read a certificate. Raises Invalid if it is none."""
    _, at, end = element(data, 0, len(data))
    _, at, end = element(data, at, end)  # tbsCertificate
    parsed = Certificate(fingerprint=hashlib.sha1(data, usedforsecurity=False).hexdigest())
    parsed.fingerprint = ":".join(parsed.fingerprint[i : i + 2] for i in range(0, 40, 2))
    tag, begin, stop = element(data, at, end)
    if tag == 0xA0:
        at = stop
        tag, begin, stop = element(data, at, end)
    serial = data[begin:stop].lstrip(b"\0") or b"\0"
    if len(data[begin:stop]) > 1 and data[begin] == 0 and data[begin + 1] & 0x80:
        serial = data[begin:stop]
    parsed.serial = ":".join(f"{byte:02X}" for byte in serial)
    _, _, at = element(data, stop, end)  # signature algorithm
    _, begin, at = element(data, at, end)
    parsed.issuer = _name(data, begin, at)
    _, begin, at = element(data, at, end)
    with contextlib.suppress(Invalid):  # the subject counts even if the dates are malformed
        parsed.not_before, after = _time(data, begin, at)
        parsed.not_after, _ = _time(data, after, at)
    _, begin, at = element(data, at, end)
    parsed.subject = _name(data, begin, at)
    _, _, at = element(data, at, end)  # public key
    while at < end:
        tag, begin, stop = element(data, at, end)
        if tag == 0xA3:
            with contextlib.suppress(Invalid):
                parsed.names = _alternative_names(data, begin, stop)
        at = stop
    return parsed


def _alternative_names(data: bytes, at: int, end: int) -> list[str]:
    _, at, end = element(data, at, end)
    while at < end:
        _, begin, stop = element(data, at, end)
        _, first, finish = element(data, begin, stop)
        if oid(data[first:finish]) == "2.5.29.17":
            tag, first, finish = element(data, finish, stop)
            if tag == 1:  # critical
                tag, first, finish = element(data, finish, stop)
            _, first, finish = element(data, first, finish)
            names = []
            while first < finish:
                tag, inner, after = element(data, first, finish)
                if tag in (0x82, 0x81, 0x86):
                    names.append(data[inner:after].decode("ascii", "replace"))
                first = after
            return names
        at = stop
    return []
