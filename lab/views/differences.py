"""The differences between two values of a topology, and texts about them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar


def fields(old: Any, new: Any, names: Mapping[str, str]) -> list[str]:
    """``gateway 10.0.0.1 -> 10.0.0.2`` for each of these fields that differs."""
    return differences({word: (getattr(old, field), getattr(new, field)) for field, word in names.items()})


def differences(values: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """The same for values by name, the old ones and the new ones."""
    return [f"{word} {_short(old)} -> {_short(new)}" for word, (old, new) in values.items() if old != new]


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


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Part = TypeVar("Part", bound=_Named)


def others(old: Iterable[Part], new: Iterable[Part]) -> list[Part]:
    """The parts that come, or that are not as they were; each is compared with the one of its name only."""
    before = {part.name: part for part in old}
    return [part for part in new if before.get(part.name) != part]
