"""A class of packets: what each field is, in terms of what the packets had when they came in. Pure.

A field's value is a number, or a variable: what that field was when the packet came in, of which the class
knows some bits. Copies of a field are the same variable, so whatever is asked about one of them is known of
all. A class never splits before a flow asks: this is symbolic execution, with one path for each answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from controller.verify.values import FREE, Known, both, decided, narrowed, some_value, width, without

ZERO = ("reg", "ct_", "tun_", "metadata")
"""How the names of fields begin that are 0 where nothing has written them."""
INNER = "inside"
"""The frame inside NSH, as one value: no flow matches it."""


class Patched(NamedTuple):
    """A variable with some bits overwritten: those of ``mask`` are those of ``value``."""

    variable: str
    value: int
    mask: int


Expression = int | str | Patched
Frame = dict[str, "Expression | tuple[tuple[str, Expression], ...]"]
Store = dict[str, Known]

_WHOLE = {name: (1 << width(name)) - 1 for name in ("in_port",)}


def whole(name: str) -> int:
    """The mask of all bits of a field."""
    mask = _WHOLE.get(name)
    if mask is None:
        mask = _WHOLE[name] = (1 << width(name)) - 1
    return mask


_PIPELINE: dict[str, bool] = {}


def is_zero(name: str) -> bool:
    """Whether a field that nothing has written is 0."""
    known = _PIPELINE.get(name)
    if known is None:
        known = _PIPELINE[name] = name.startswith(ZERO)
    return known


class Packets:
    """``frame``: fields that are something else than they were; ``known``: what is known of variables.

    Neither is ever changed: each step gives a new class, which shares what stays the same.
    """

    __slots__ = ("frame", "known")

    def __init__(self, frame: Frame, known: Store) -> None:
        self.frame, self.known = frame, known

    def value(self, name: str) -> Expression:
        """What a field is."""
        expression = self.frame.get(name)
        if expression is None:
            return 0 if is_zero(name) else name
        assert not isinstance(expression, tuple) or isinstance(expression, Patched)
        return expression

    def decide(self, name: str, value: int, mask: int) -> bool | None:
        """Whether all packets have ``field & mask == value`` (True), or none (False), or some."""
        expression = self.frame.get(name)
        if expression is None:
            if is_zero(name):
                return value == 0
            known = self.known.get(name)
            return None if known is None else decided(known, value, mask)
        if isinstance(expression, int):
            return expression & mask == value
        if isinstance(expression, str):
            known = self.known.get(expression)
            return None if known is None else decided(known, value, mask)
        assert isinstance(expression, Patched)
        if (expression.value ^ value) & mask & expression.mask:
            return False
        rest = mask & ~expression.mask
        return decided(self.known.get(expression.variable, FREE), value & rest, rest) if rest else True

    def bits(self, name: str, mask: int) -> int | None:
        """The bits of a field under a mask, where all packets have the same ones."""
        expression = self.frame.get(name)
        if isinstance(expression, int):
            return expression & mask
        value = known_mask = 0
        if expression is None:
            if is_zero(name):
                return 0
            variable = name
        elif isinstance(expression, str):
            variable = expression
        else:
            assert isinstance(expression, Patched)
            variable, value, known_mask = expression
        known = self.known.get(variable)
        if known is not None:
            value |= known.value & ~known_mask
            known_mask |= known.mask
        return None if mask & ~known_mask else value & mask

    def where(self, name: str, value: int, mask: int) -> Packets | None:
        """The packets with ``field & mask == value``; None when there is none."""
        variable, value, mask = self._of_variable(name, value, mask)
        if variable is None:
            return self if value == mask else None
        known = narrowed(self.known.get(variable, FREE), value, mask, width(variable))
        return None if known is None else self.knowing(variable, known)

    def where_not(self, name: str, values: Iterable[int], mask: int) -> Packets | None:
        """The packets for which ``field & mask`` is none of ``values``; None when there is none."""
        expression = self.value(name)
        if isinstance(expression, int):
            return None if expression & mask in set(values) else self
        if isinstance(expression, Patched):
            fixed = expression.value & mask
            rest = mask & ~expression.mask
            values = {value & rest for value in values if value & expression.mask == fixed}
            if not values:
                return self
            variable, mask = expression.variable, rest
        else:
            variable = expression
        known = without(self.known.get(variable, FREE), frozenset(values), mask, width(variable))
        return None if known is None else self.knowing(variable, known)

    def _of_variable(self, name: str, value: int, mask: int) -> tuple[str | None, int, int]:
        """The variable that a field is, with what is asked of it; without a variable, equal numbers for yes
        and others for no."""
        expression = self.value(name)
        if isinstance(expression, int):
            return None, 0, 0 if expression & mask == value else 1
        if isinstance(expression, str):
            return expression, value, mask
        if (expression.value ^ value) & mask & expression.mask:
            return None, 0, 1
        rest = mask & ~expression.mask
        return expression.variable, value & rest, rest

    def knowing(self, variable: str, known: Known) -> Packets:
        """The same packets, of which this is known."""
        store = dict(self.known)
        store[variable] = known
        return Packets(self.frame, store)

    def also(self, store: Mapping[str, Known]) -> Packets | None:
        """Those of which all of this is true, too; None when there is none."""
        now = dict(self.known)
        for variable, known in store.items():
            mine = now.get(variable)
            if mine is None:
                now[variable] = known
            elif mine is not known and mine != known:
                common = both(mine, known, width(variable))
                if common is None:
                    return None
                now[variable] = common
        return Packets(self.frame, now)

    def with_field(self, name: str, expression: Expression) -> Packets:
        """The packets after a field was written."""
        frame = dict(self.frame)
        frame[name] = expression
        return Packets(frame, self.known)

    def example(self) -> dict[str, int]:
        """A packet of the class, as it came in: only fields of which something is known."""
        packet = {}
        for variable, known in self.known.items():
            value = some_value(known, width(variable))
            assert value is not None, f"an empty class: {variable}"
            packet[variable] = value
        return packet


def evaluated(expression: Expression, packet: Mapping[str, int]) -> int:
    """The value of an expression for one packet; variables that it does not have are 0."""
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return packet.get(expression, 0)
    return packet.get(expression.variable, 0) & ~expression.mask | expression.value
