"""Words for what differs between two values of a topology. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def fields(old: Any, new: Any, names: Mapping[str, str]) -> list[str]:
    """``gateway 10.0.0.1 -> 10.0.0.2`` for each of these fields that differs."""
    words = []
    for field, word in names.items():
        a, b = getattr(old, field), getattr(new, field)
        if a != b:
            words.append(f"{word} {_short(a)} -> {_short(b)}")
    return words


def _short(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return " ".join(_short(part) for part in value)
    return str(value)


def some(names: Iterable[str], most: int = 5) -> str:
    """The first ``most`` of these names, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
