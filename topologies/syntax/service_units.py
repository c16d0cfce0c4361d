"""Parsers for the values of functions and chains: port ranges, rates, sizes, intervals, choices.

As in ``topologies.syntax.units``, each takes text and returns the value, or raises ``BadValue``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from topologies.model import names
from topologies.syntax.problem import shown
from topologies.syntax.units import BadValue

MAX_L4_PORT = 65535
MOST_INSTANCES = 16
MOST_PRIORITY = 100
MOST_WEIGHT = 256
_PORTS = "1 to 65535, written like 80, 80-90 or 80,443"
_RATES = "1/s to 1000000/s, written like 10/s (new connections a second)"
_SIZES = "2kB to 100MB, written like 64kB (bytes)"
_INTERVALS = "10ms to 60s, written like 500ms or 2s"
_DURATIONS = "1s to 24h, written like 120s, 5min or 1h"
_DURATION_UNITS = {"s": 1, "min": 60, "h": 3600}
_SIZE_UNITS = {"B": 1, "kB": 1000, "KB": 1000, "KiB": 1024, "MB": 10**6, "MiB": 1 << 20}
_INTERVAL_UNITS = {"ms": 1000, "s": 1_000_000}


class Choice(BadValue):
    """A text that is none of the ``options``, among which a similar one can be suggested."""

    def __init__(self, what: str, options: tuple[str, ...]) -> None:
        super().__init__(what, ", ".join(options))
        self.options = options


class Target(NamedTuple):
    """``web1`` or ``web1:8080``: a host, and a port of it."""

    host: str
    port: int | None = None


def choice(kind: str, *options: str) -> Callable[[str], str]:
    """A parser that accepts only the ``options``."""

    def parse(text: str) -> str:
        if text not in options:
            raise Choice(f"{shown(text)} is no {kind}", options)
        return text

    return parse


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise BadValue(f"{shown(text)} is not a port", _PORTS)
    if not 1 <= int(text) <= MAX_L4_PORT:
        raise BadValue(f"port {shown(text)} is out of range", _PORTS)
    return int(text)


def port(text: str) -> int:
    """One TCP, UDP or SCTP port."""
    return _port(text)


def ports(text: str) -> tuple[tuple[int, int], ...]:
    """Sorted, inclusive ranges; adjacent ones are joined, so equal sets of ports are equal values."""
    ranges: list[tuple[int, int]] = []
    for piece in text.split(","):
        low, dash, high = piece.strip().partition("-")
        first = _port(low.strip())
        last = _port(high.strip()) if dash else first
        if last < first:
            raise BadValue(f"range {shown(piece.strip())} is empty", _PORTS, f"write {last}-{first}")
        ranges.append((first, last))
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return tuple(joined)


def rate(text: str) -> int:
    """New connections a second."""
    match = re.fullmatch(r"([0-9]{1,7}) ?(/s)?", text)
    if match is None or not 1 <= int(match.group(1)) <= 1_000_000:
        raise BadValue(f"{shown(text)} is not a rate", _RATES)
    if match.group(2) is None:
        raise BadValue(f"{shown(text)} has no unit", _RATES, f"write {text}/s")
    return int(match.group(1))


def _measure(text: str, kind: str, units: dict[str, int], low: int, high: int, allowed: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)", text)
    if match is None:
        raise BadValue(f"{shown(text)} is not {kind}", allowed)
    if not match.group(2):
        raise BadValue(f"{shown(text)} has no unit", allowed)
    if match.group(2) not in units:
        raise BadValue(f"{shown(text)} has an unknown unit {shown(match.group(2))}", allowed)
    value = Decimal(match.group(1)) * units[match.group(2)]
    if not low <= value <= high or value != int(value):
        raise BadValue(f"{shown(text)} is out of range", allowed)
    return int(value)


def size(text: str) -> int:
    """Bytes."""
    return _measure(text, "a size", _SIZE_UNITS, 2000, 100_000_000, _SIZES)


def interval(text: str) -> int:
    """An interval or timeout of health checks, in microseconds."""
    return _measure(text, "a time", _INTERVAL_UNITS, 10_000, 60_000_000, _INTERVALS)


def duration(text: str) -> int:
    """Seconds."""
    return _measure(text, "a time", _DURATION_UNITS, 1, 86_400, _DURATIONS)


def whole(kind: str, low: int, high: int) -> Callable[[str], int]:
    """A parser for whole numbers from ``low`` to ``high``."""
    allowed = f"{low} to {high}"

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise BadValue(f"{shown(text)} is not a {kind}", allowed)
        if not low <= int(text) <= high:
            raise BadValue(f"{kind} {shown(text)} is out of range", allowed)
        return int(text)

    return parse


def target(text: str) -> Target:
    """A host, or a host and a port."""
    host, colon, number = text.partition(":")
    if not names.is_name(host) or (colon and not number):
        raise BadValue(f"{shown(text)} is no host", "a host or host:port, like web1 or web1:8080")
    return Target(host, _port(number) if colon else None)


def url_path(text: str) -> str:
    """An absolute path of a URL: printable ASCII without spaces, quotes and fragments (RFC 3986, 3.3)."""
    if not re.fullmatch(r"/[A-Za-z0-9._~!$&()*+,;=:@%/?-]{0,200}", text):
        raise BadValue(f"{shown(text)} is not a path", "a path like / or /images, without spaces and quotes")
    return text


def host_name(text: str) -> str:
    """The host of an HTTP request (RFC 9110, 7.2): a DNS name or an IPv4 address."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
        raise BadValue(f"{shown(text)} is not a host name", "a name like www.example.org")
    return text.lower()
