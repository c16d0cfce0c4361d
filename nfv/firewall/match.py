"""The packets that a firewall's rules match, as boxes; and which successive rules can be one look-up. Pure.

A *box* is a product of intervals, one in each of the dimensions that its *shape* names.  Successive rules
become one map of nftables if at most one of them can match any packet, or if those that can are the same box;
then the first one wins.  This is the case if in each dimension any two intervals are equal or disjoint.  So a
list of ten thousand single addresses, networks and ports is one look-up, and the first matching rule still
wins.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import product
from typing import NamedTuple

from topologies.model.functions import Rule

Interval = tuple[int, int]
"""The first and the last number, both included."""
SOURCE, DESTINATION, SOURCE_PORT, DESTINATION_PORT = "saddr", "daddr", "proto-src", "proto-dst"
PORT_PROTOCOLS = ("tcp", "udp", "sctp")
FAMILY_OF = {"icmp": 4, "icmpv6": 6}
MOST_BOXES = 256
"""A rule of more boxes than this is matched alone."""
FEWEST_RULES = 4
"""Fewer successive rules than this are matched one by one."""


class Shape(NamedTuple):
    """``family`` 4 or 6, ``protocol`` (None: any), and the compared dimensions, in order."""

    family: int | None
    protocol: str | None
    dimensions: tuple[str, ...]

    def meets(self, other: Shape) -> bool:
        """Whether a packet can match boxes of both shapes."""
        return not any(
            a is not None and b is not None and a != b
            for a, b in ((self.family, other.family), (self.protocol, other.protocol))
        )


class Part(NamedTuple):
    """The matches of a rule in one family and protocol: all combinations of the dimensions' intervals."""

    shape: Shape
    intervals: tuple[tuple[Interval, ...], ...]

    @property
    def boxes(self) -> Iterator[tuple[Interval, ...]]:
        return product(*self.intervals)

    @property
    def size(self) -> int:
        """The number of boxes."""
        count = 1
        for choices in self.intervals:
            count *= len(choices)
        return count


class Single(NamedTuple):
    """A rule that is matched alone. ``number``: its position in the rule set."""

    number: int
    rule: Rule


class Together(NamedTuple):
    """Rules that are one look-up for each shape: box -> number of the rule."""

    maps: dict[Shape, dict[tuple[Interval, ...], int]]


def parts(rule: Rule) -> tuple[Part, ...]:
    """The matches of a rule; none if no packet can match (source and destination of different families)."""
    families = _families(rule)
    ports = bool(rule.source_ports or rule.destination_ports)
    protocols = PORT_PROTOCOLS if ports and rule.protocol is None else (rule.protocol,)
    return tuple(
        _part(rule, family, protocol)
        for family in families
        for protocol in protocols
        if FAMILY_OF.get(protocol or "", family) in (family, None) or family is None
    )


def _families(rule: Rule) -> tuple[int | None, ...]:
    """The address families of the packets; (None,): both."""
    if not rule.source and not rule.destination:
        return (FAMILY_OF.get(rule.protocol or ""),)
    return tuple(
        version
        for version in (4, 6)
        if all(not side or _of_family(side, version) for side in (rule.source, rule.destination))
    )


def _of_family(
    prefixes: Sequence[IPv4Network | IPv6Network], version: int | None
) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(prefix for prefix in prefixes if prefix.version == version)


def _part(rule: Rule, family: int | None, protocol: str | None) -> Part:
    intervals: dict[str, tuple[Interval, ...]] = {}
    for name, prefixes in ((SOURCE, rule.source), (DESTINATION, rule.destination)):
        if prefixes:
            intervals[name] = merged(
                (int(prefix.network_address), int(prefix.broadcast_address))
                for prefix in _of_family(prefixes, family)
            )
    for name, ranges in ((SOURCE_PORT, rule.source_ports), (DESTINATION_PORT, rule.destination_ports)):
        if ranges:
            intervals[name] = merged(ranges)
    return Part(Shape(family, protocol, tuple(intervals)), tuple(intervals.values()))


def merged(intervals: Iterator[Interval] | Sequence[Interval]) -> tuple[Interval, ...]:
    """The same numbers in disjoint intervals, sorted. Adjacent intervals are not merged."""
    disjoint: list[Interval] = []
    for first, last in sorted(intervals):
        if disjoint and first <= disjoint[-1][1]:
            disjoint[-1] = (disjoint[-1][0], max(last, disjoint[-1][1]))
        else:
            disjoint.append((first, last))
    return tuple(disjoint)


def plan(rules: Sequence[Rule]) -> list[Single | Together]:
    """The rule set as steps in order, as few as the rules' order allows (greedily)."""
    steps: list[Single | Together] = []
    row = _Row()
    for number, rule in enumerate(rules):
        wanted = parts(rule)
        alone = any(not part.shape.dimensions or part.size > MOST_BOXES for part in wanted)
        if alone or not row.takes(wanted):
            steps += row.steps()
            row = _Row()
        if alone:
            steps.append(Single(number, rule))
        else:
            row.add(number, rule, wanted)
    return steps + row.steps()


class _Row:
    """Successive rules that can be one map so far."""

    def __init__(self) -> None:
        self._rules: list[Single] = []
        self._maps: dict[Shape, dict[tuple[Interval, ...], int]] = {}
        self._cells: dict[Shape, list[_Cells]] = {}

    def takes(self, wanted: Sequence[Part]) -> bool:
        """Whether a rule can be in one map with these."""
        for part in wanted:
            for shape in self._maps:
                if shape != part.shape and shape.meets(part.shape):
                    return False
            cells = self._cells.get(part.shape)
            if cells is not None and not all(
                cell.fits(interval)
                for cell, intervals in zip(cells, part.intervals, strict=True)
                for interval in intervals
            ):
                return False
        return True

    def add(self, number: int, rule: Rule, wanted: Sequence[Part]) -> None:
        self._rules.append(Single(number, rule))
        for part in wanted:
            boxes = self._maps.setdefault(part.shape, {})
            cells = self._cells.setdefault(part.shape, [_Cells() for _ in part.intervals])
            for cell, intervals in zip(cells, part.intervals, strict=True):
                for interval in intervals:
                    cell.add(interval)
            for box in part.boxes:
                boxes.setdefault(box, number)

    def steps(self) -> list[Single | Together]:
        if len(self._rules) < FEWEST_RULES:
            return list(self._rules)
        return [Together(self._maps)]


class _Cells:
    """Intervals of one dimension, disjoint and sorted."""

    def __init__(self) -> None:
        self._lasts: list[int] = []
        self._firsts: list[int] = []

    def fits(self, interval: Interval) -> bool:
        """Whether the interval is present already, or overlaps none of these."""
        at = bisect_left(self._lasts, interval[0])
        if at == len(self._lasts):
            return True
        return (self._firsts[at], self._lasts[at]) == interval or interval[1] < self._firsts[at]

    def add(self, interval: Interval) -> None:
        at = bisect_left(self._lasts, interval[0])
        if at == len(self._lasts) or self._firsts[at] != interval[0]:
            self._lasts.insert(at, interval[1])
            self._firsts.insert(at, interval[0])
