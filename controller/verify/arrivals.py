"""Frames that left the fabric: which ports they left by, and what was written into them. Pure.

A broadcast leaves by many ports in one way. So a set of ports is one number, with a bit for each port; two
sets are joined, compared and hashed at once, however many ports they have.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

from controller.verify.packets import Expression
from topologies.model.topology import Port

Written = tuple[tuple[str, "Expression"], ...]


class Delivered(NamedTuple):
    """A frame that left the fabric at ``at``. ``written``: fields that were written on the way."""

    at: Port
    written: Written


class Outlets:
    """The ports by which frames leave a lab's fabric, as bits of a number."""

    def __init__(self) -> None:
        self.ports: list[Port] = []
        self._numbers: dict[tuple[str, int], int] = {}
        self._those: dict[Hashable, tuple[int, int]] = {}

    def number(self, port: Port) -> int:
        """The bit of a port."""
        name = port.switch, port.number
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.ports)
            self.ports.append(port)
        return number

    def those(self, what: Hashable, is_one: Callable[[Port], bool]) -> int:
        """The ports of which something is true; ``what`` names it, and it is asked once of each port."""
        count, mask = self._those.get(what, (0, 0))
        if count < len(self.ports):
            for number in range(count, len(self.ports)):
                if is_one(self.ports[number]):
                    mask |= 1 << number
            self._those[what] = len(self.ports), mask
        return mask

    def one(self, port: Port, written: Written) -> Arrivals:
        """One frame that left by a port."""
        return Arrivals(self, {written: 1 << self.number(port)})


class Arrivals:
    """Frames that left the fabric, in the order of their ports. None is changed once it is made.

    ``parts``: what was written -> the ports by which frames left so. ``more``: further frames that are equal
    to one of these, by the same port.
    """

    __slots__ = ("_hash", "_outlets", "more", "parts")

    def __init__(
        self, outlets: Outlets | None, parts: dict[Written, int], more: tuple[tuple[int, Written], ...] = ()
    ) -> None:
        self._outlets, self.parts, self.more = outlets, parts, more
        self._hash: int | None = None

    def __iter__(self) -> Iterator[Delivered]:
        if self._outlets is None:
            return
        ports = self._outlets.ports
        frames = [Delivered(ports[number], written) for number, written in self._numbers()]
        several = len({number for number, _ in self._numbers()}) < len(frames)
        yield from sorted(frames, key=_where if several else _port)

    def _numbers(self) -> Iterator[tuple[int, Written]]:
        for written, mask in self.parts.items():
            while mask:
                bit = mask & -mask
                yield bit.bit_length() - 1, written
                mask ^= bit
        yield from self.more

    def __len__(self) -> int:
        return sum(mask.bit_count() for mask in self.parts.values()) + len(self.more)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Arrivals) and self.parts == other.parts and self.more == other.more

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((frozenset(self.parts.items()), self.more))
        return self._hash

    def __add__(self, other: Arrivals) -> Arrivals:
        if not self.parts:
            return other
        if not other.parts:
            return self
        parts = dict(self.parts)
        more = [*self.more, *other.more]
        for written, mask in other.parts.items():
            mine = parts.get(written, 0)
            twice = mine & mask
            while twice:
                bit = twice & -twice
                more.append((bit.bit_length() - 1, written))
                twice ^= bit
            parts[written] = mine | mask
        return Arrivals(self._outlets, parts, tuple(sorted(more, key=repr)) if more else ())

    def rewritten(self, change: Callable[[Written], Written]) -> Arrivals:
        """The same frames, with other things written into them."""
        now = {written: change(written) for written in self.parts}
        if all(before == after for before, after in now.items()):
            return self
        together = NOWHERE
        for written, mask in self.parts.items():
            together += Arrivals(self._outlets, {now[written]: mask})
        for number, written in self.more:
            together += Arrivals(self._outlets, {now[written]: 1 << number})
        return together


NOWHERE = Arrivals(None, {})
"""No frames."""


def _port(delivered: Delivered) -> tuple[str, int]:
    return delivered.at.switch, delivered.at.number


def _where(delivered: Delivered) -> tuple[str, int, str]:
    return delivered.at.switch, delivered.at.number, repr(delivered.written)
