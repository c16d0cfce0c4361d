"""Numbers in rule options: with comparisons and ranges (user guide "Integer Keywords"), or names of
variables."""

from __future__ import annotations

import re
from collections.abc import Callable

from nfv.ids.language.text import Problem

_UNITS = {"": 1, "kb": 1 << 10, "kib": 1 << 10, "mb": 1 << 20, "mib": 1 << 20, "gb": 1 << 30, "gib": 1 << 30}


def whole(keyword: str, text: str | None, low: int = 0, high: int = 0xFFFFFFFF, units: bool = False) -> int:
    """A number between bounds, decimal or with 0x."""
    stripped = (text or "").strip()
    unit = 1
    if units and (match := re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", stripped)) and match[2].lower() in _UNITS:
        stripped, unit = match[1], _UNITS[match[2].lower()]
    try:
        number = int(stripped, 16) if stripped.lower().startswith("0x") else int(stripped)
    except ValueError:
        raise Problem(keyword, f"{stripped[:40]!r} is no number") from None
    if not low <= number * unit <= high:
        raise Problem(keyword, f"{number} is not between {low} and {high}")
    return number * unit


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")


def number_or_name(keyword: str, text: str, low: int, high: int, names: set[str]) -> int | str:
    """A number, or a variable that an earlier byte_extract or byte_math of the rule sets."""
    stripped = text.strip()
    if _NAME.fullmatch(stripped):
        if stripped not in names:
            raise Problem(
                keyword, f"{stripped!r} is neither a number nor set by a byte_extract or byte_math before"
            )
        return stripped
    return whole(keyword, stripped, low, high)


Test = Callable[[int], bool]


def compare(keyword: str, text: str | None, high: int = 0xFFFFFFFF, units: bool = False) -> Test:
    """A test from ``5``, ``<5``, ``>5``, ``<=5``, ``>=5``, ``!5``, ``!=5``, ``1<>5`` or ``1-5`` (both exclude
    their limits), ``&4``.
    """
    stripped = (text or "").strip()
    if match := re.fullmatch(r"(!?)\s*(\w+)\s*(<>|-)\s*(\w+)", stripped):
        low = whole(keyword, match[2], 0, high, units)
        top = whole(keyword, match[4], 0, high, units)
        if low >= top or top - low < 2:
            raise Problem(keyword, f"{stripped!r} has no number between its limits")
        if match[1]:
            return lambda value: not low < value < top
        return lambda value: low < value < top
    match = re.fullmatch(r"(<=|>=|!=|<|>|=|!&|!|&)?\s*(\w+)\s*(?:=\s*(\w+))?", stripped)
    if not match:
        raise Problem(keyword, f"{stripped[:40]!r} is not of the form 5, <5, >5, <=5, >=5, !5 or 1<>5")
    sign, number = match[1] or "=", whole(keyword, match[2], 0, high, units)
    if match[3] is not None:
        if sign not in ("&", "!&"):
            raise Problem(keyword, f"{stripped[:40]!r} is not understood")
        wanted = whole(keyword, match[3], 0, high)
        return lambda value: (value & number == wanted) == (sign == "&")
    if (sign == "<" and number == 0) or (sign == ">" and number == high):
        raise Problem(keyword, f"{stripped!r} can never be true")
    tests: dict[str, Test] = {
        "=": lambda value: value == number,
        "!": lambda value: value != number,
        "!=": lambda value: value != number,
        "<": lambda value: value < number,
        ">": lambda value: value > number,
        "<=": lambda value: value <= number,
        ">=": lambda value: value >= number,
        "&": lambda value: value & number != 0,
        "!&": lambda value: value & number == 0,
    }
    return tests[sign]


def bounds(keyword: str, text: str | None, high: int = 1 << 62) -> tuple[int, int, bool]:
    """Lowest and highest of the sizes that ``5``, ``<5``, ``>5``, ``3<>9`` allow, and whether they are
    negated.
    """
    stripped = (text or "").strip()
    if match := re.fullmatch(r"(\d+)\s*<>\s*(\d+)", stripped):
        low, top = int(match[1]), int(match[2])
        if top - low < 2:
            raise Problem(keyword, f"{stripped!r} has no number between its limits")
        return low + 1, top - 1, False
    match = re.fullmatch(r"(<=|>=|<|>|!|=)?\s*(\w+)", stripped)
    if not match:
        raise Problem(keyword, f"{stripped[:40]!r} is not of the form 5, <5, >5, !5 or 3<>9")
    number = whole(keyword, match[2], 0, high)
    sign = match[1] or "="
    if sign == "<":
        if number == 0:
            raise Problem(keyword, "nothing is shorter than 0")
        return 0, number - 1, False
    if sign == "<=":
        return 0, number, False
    if sign == ">":
        return number + 1, high, False
    if sign == ">=":
        return number, high, False
    return number, number, sign == "!"
