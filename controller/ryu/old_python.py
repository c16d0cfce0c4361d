"""What Python and its libraries removed and apps of Ryu's time call: the small mends that are right."""

from __future__ import annotations

import collections
import collections.abc
import inspect
import time
from typing import Any, NamedTuple

_ABSTRACT = ("Callable", "Hashable", "Iterable", "Iterator", "Mapping", "MutableMapping", "MutableSequence",
             "MutableSet", "Sequence", "Set", "Sized")  # fmt: skip


def mend() -> None:
    """Put back names that were removed, in place. Idempotent."""
    for name in _ABSTRACT:
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    given: Any = inspect
    if not hasattr(inspect, "getargspec"):
        given.getargspec = _getargspec
    clock: Any = time
    if not hasattr(time, "clock"):
        clock.clock = time.perf_counter


class _ArgSpec(NamedTuple):
    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def _getargspec(function: Any) -> _ArgSpec:
    full = inspect.getfullargspec(function)
    return _ArgSpec(full.args, full.varargs, full.varkw, full.defaults)
