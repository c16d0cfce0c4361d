"""Values as a topology file writes them: the inverse of the parsers in ``topologies.syntax``. Pure."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from topologies.model.functions import PortRanges, Prefixes
from topologies.model.values import Port
from topologies.model.wires import Queue, Shaping

_DECIMAL = ((10**9, "gbit"), (10**6, "mbit"), (1000, "kbit"), (1, "bit"))
_BINARY = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def bandwidth(bits: int) -> str:
    """``10mbit``: bits per second in the greatest unit that leaves a whole number."""
    return next(f"{bits // unit}{word}" for unit, word in _DECIMAL if bits % unit == 0)


def delay(micros: int) -> str:
    """Microseconds: ``5ms``, ``250us``."""
    return f"{micros // 1000}ms" if micros % 1000 == 0 else f"{micros}us"


def micros(seconds: float) -> int:
    """Seconds in microseconds, as the file had them."""
    return round(seconds * 1_000_000)


def loss(fraction: float) -> str:
    """A fraction as a percentage."""
    return f"{(Decimal(repr(fraction)) * 100).normalize():f}%"


def memory(octets: int) -> str:
    """Bytes: ``256MiB``. What is no whole number of KiB has decimal places."""
    for unit, word in _BINARY:
        if octets % unit == 0:
            return f"{octets // unit}{word}"
    return f"{Decimal(octets) / 1000:f}kB"


def interval(micros: int) -> str:
    """Microseconds of a health check: ``500ms``."""
    return f"{(Decimal(micros) / 1000).normalize():f}ms"


def queue(waiting: Queue) -> str:
    """``100packets``, ``64000B``, ``50ms``."""
    if waiting.unit == "us":
        return delay(waiting.amount)
    return f"{waiting.amount}{'packets' if waiting.unit == 'packets' else 'B'}"


_EFFECTS: dict[str, Callable[[Any], str]] = {
    "bandwidth": bandwidth,
    "delay": delay,
    "jitter": delay,
    "loss": loss,
    "reorder": loss,
    "duplicate": loss,
    "corrupt": loss,
    "queue": queue,
}


def effects(way: Shaping) -> dict[str, str]:
    """What a wire does in one direction, by the keys of a file."""
    values = {name: getattr(way, name) for name in _EFFECTS}
    return {name: _EFFECTS[name](value) for name, value in values.items() if value is not None}


def shaping(shaped: Shaping, a: str, b: str) -> dict[str, Any]:
    """The keys of a wire that is shaped. ``a``, ``b``: the names at its ends; ``a`` is a host or the first
    end."""
    forth, back = (effects(way) for way in shaped.ways)
    keys: dict[str, Any] = {name: text for name, text in forth.items() if back.get(name) == text}
    ways = {end: {k: v for k, v in way.items() if k not in keys} for end, way in ((a, forth), (b, back))}
    if different := {end: way for end, way in ways.items() if way}:
        keys["from"] = different
    return keys


def end(port: Port) -> str:
    """``s1:4``."""
    return f"{port.switch}:{port.number}"


def ports(ranges: PortRanges) -> str:
    """``80,443,8000-8080``."""
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def prefixes(some: Prefixes) -> list[str]:
    """Addresses and prefixes; an address has no length."""
    return [str(p.network_address) if p.prefixlen == p.max_prefixlen else str(p) for p in some]
