"""Values as a topology file writes them: the inverse of the parsers in ``topologies.syntax``. Pure."""

from __future__ import annotations

from decimal import Decimal

from topologies.model.functions import PortRanges, Prefixes
from topologies.model.hosts import Shaping
from topologies.model.values import Port

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


def shaping(shaped: Shaping) -> dict[str, str]:
    """The keys of a wire that is shaped."""
    keys = {}
    if shaped.bandwidth is not None:
        keys["bandwidth"] = bandwidth(shaped.bandwidth)
    if shaped.delay is not None:
        keys["delay"] = delay(shaped.delay)
    if shaped.loss is not None:
        keys["loss"] = loss(shaped.loss)
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
