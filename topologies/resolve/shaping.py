"""What the file says of a wire -> its ``Shaping``. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from topologies.model.wires import EFFECTS, Shaping, both_ways
from topologies.syntax.fields import Direction, Shaped
from topologies.syntax.problem import Path, Report, shown


def shaping(spec: Shaped, a: str, b: str) -> Shaping:
    """What a wire between ``a`` (a host or the first end) and ``b`` does."""
    forth, back = (_one_way(spec, (spec.from_ or {}).get(end)) for end in (a, b))
    return both_ways(forth, back)


def _one_way(spec: Direction, other: Direction | None) -> Shaping:
    """One direction: the keys of the wire, and those that are different in this direction."""
    values: dict[str, Any] = {}
    for effect in EFFECTS:
        own = getattr(other, effect) if other is not None else None
        # a delay or loss of 0 becomes None, so that equal wires have equal values
        values[effect] = (getattr(spec, effect) if own is None else own) or None
    return Shaping(**values)


def check_shaping(path: Path, spec: Shaped, ends: tuple[str, str], report: Report) -> None:
    """Report what a wire can't do. ``ends``: the names at its two ends; a host's own name first."""
    told = spec.from_ or {}
    for name in told:
        if name not in ends:
            what = f"the wire does not end at {shown(name)}"
            report.add((*path, "from", name), what, " or ".join(ends), report.suggest(name, ends, ""))
    if not told.keys() >= set(ends):
        _check_one_way(path, _one_way(spec, None), spec, report)
    for name, way in told.items():
        if name in ends:
            _check_one_way((*path, "from", name), _one_way(spec, way), way, report)


class Fault(NamedTuple):
    """What a wire can't do in a direction: the keys that are concerned, what is wrong, what is allowed, and
    the remedy."""

    effects: tuple[str, ...]
    what: str
    allowed: str
    remedy: str


def _check_one_way(path: Path, way: Shaping, spec: Direction, report: Report) -> None:
    for fault in faults(way):
        # the key that the file has, or the whole direction
        stated = [(*path, effect) for effect in fault.effects if getattr(spec, effect) is not None]
        report.add(stated[0] if stated else path, fault.what, fault.allowed, fault.remedy)


def faults(way: Shaping) -> Iterator[Fault]:
    """What does not fit together in one direction of a wire."""
    if way.jitter and way.jitter > (way.delay or 0):
        allowed = f"up to {quantity(way.delay)}" if way.delay else "jitter of a wire with a delay"
        what = f"jitter {quantity(way.jitter)} is more than the delay"
        yield Fault(("jitter", "delay"), what, allowed, "write a longer delay, or less jitter")
    if way.reorder and not way.delay:
        what = "no frame can overtake others on a wire without delay"
        remedy = "give it a delay, such as delay: 10ms"
        yield Fault(("reorder", "delay"), what, "reorder of a wire with a delay", remedy)
    if way.queue is not None and way.bandwidth is None:
        what = "nothing waits in the queue of a wire without a bandwidth"
        remedy = "give it a bandwidth, such as bandwidth: 10mbit"
        yield Fault(("queue", "bandwidth"), what, "queue of a wire with a bandwidth", remedy)


def quantity(micros: int | None) -> str:
    """Microseconds as a file has them."""
    return f"{(micros or 0) / 1000:g}ms" if (micros or 0) >= 1000 else f"{micros or 0}us"
