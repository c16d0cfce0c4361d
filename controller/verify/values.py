"""Sets of values of one field: some bits are known, and some values are left out. Pure.

These are the ternary strings of header space analysis (Kazemian, Varghese, McKeown: Header Space Analysis,
NSDI 2012), with differences that are kept as they are and never expanded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controller.openflow.fields import FIELDS

_BITS = {name: 8 * oxm.size for name, oxm in FIELDS.items()} | {"vlan_vid": 13, "ip_frag": 2, "in_port": 16}
_PORTS = 16


def width(variable: str) -> int:
    """Bits of a variable: of the field that its name begins with."""
    return _BITS.get(variable.partition(":")[0], _PORTS)


class Known(NamedTuple):
    """The values x with ``x & mask == value`` for which ``x & m`` is in no ``values`` of the pairs (m,
    values) in ``not_in``."""

    value: int
    mask: int
    not_in: tuple[tuple[int, frozenset[int]], ...] = ()


FREE = Known(0, 0)
"""All values."""


def decided(known: Known, value: int, mask: int) -> bool | None:
    """Whether ``x & mask == value`` for all values x of the set (True), for none (False), or for some."""
    if (known.value ^ value) & mask & known.mask:
        return False
    if not mask & ~known.mask:
        return True
    for m, values in known.not_in:
        if not m & ~(mask | known.mask) and ((value & mask) | (known.value & ~mask)) & m in values:
            return False
    return None


def narrowed(known: Known, value: int, mask: int, bits: int) -> Known | None:
    """Those x with ``x & mask == value``; None when there is none."""
    if (known.value ^ value) & mask & known.mask:
        return None
    now_value, now_mask = known.value | (value & mask), known.mask | mask
    not_in = []
    for m, values in known.not_in:
        if m & ~now_mask:
            not_in.append((m, values))
        elif now_value & m in values:
            return None
    return _unless_empty(Known(now_value, now_mask, tuple(not_in)), bits)


def without(known: Known, values: frozenset[int], mask: int, bits: int) -> Known | None:
    """Those x for which ``x & mask`` is in none of ``values``; None when there is none."""
    if not mask & ~known.mask:
        return None if known.value & mask in values else known
    if not mask & (mask - 1) and len(values) == 1:
        return narrowed(known, next(iter(values)) ^ mask, mask, bits)
    others = dict(known.not_in)
    others[mask] = others.get(mask, frozenset()) | values
    return _unless_empty(Known(known.value, known.mask, tuple(sorted(others.items(), key=_by_mask))), bits)


def both(one: Known, other: Known, bits: int) -> Known | None:
    """The values that are in both sets; None when there is none."""
    if one is other or other == FREE:
        return one
    now = narrowed(one, other.value, other.mask, bits)
    for mask, values in other.not_in:
        if now is None:
            return None
        now = without(now, values, mask, bits)
    return now


def some_value(known: Known, bits: int) -> int | None:
    """A value of the set; None when it is empty."""
    for m, values in known.not_in:
        if known.value & m in values:
            fixed = known.mask
            # a value of the set differs from this one in some free bit of m; the first such bit is this one
            for bit in _single_bits(m & ~fixed & ((1 << bits) - 1)):
                solution = some_value(Known(known.value | bit, fixed | bit, known.not_in), bits)
                if solution is not None:
                    return solution
                fixed |= bit
            return None
    return known.value


def _single_bits(mask: int) -> Iterator[int]:
    while mask:
        bit = mask & -mask
        yield bit
        mask ^= bit


def _by_mask(pair: tuple[int, frozenset[int]]) -> int:
    return pair[0]


def _unless_empty(known: Known, bits: int) -> Known | None:
    """The set; None when it is empty. Counting comes first: few values can't fill a wide field."""
    if not known.not_in:
        return known
    free = ((1 << bits) - 1) & ~known.mask
    room = free.bit_count()
    taken = 0
    for m, values in known.not_in:
        taken += len(values) << (room - (m & free).bit_count())
    return known if taken < 1 << room or some_value(known, bits) is not None else None
