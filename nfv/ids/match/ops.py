"""Conditions on the bytes of a buffer: ``language`` makes them, and ``match`` evaluates them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Number = int | str
"""A number, or the name of a variable that byte_extract or byte_math sets."""


@dataclass(slots=True)
class Op:
    """The base class; ``chained``: a later condition is relative to this one's match."""

    chained: bool = False


@dataclass(slots=True)
class Content(Op):
    """``content`` with its modifiers (user guide "Payload Keywords")."""

    pattern: bytes = b""
    nocase: bool = False
    negated: bool = False
    offset: Number = 0
    depth: Number | None = None
    distance: Number | None = None
    within: Number | None = None
    startswith: bool = False
    endswith: bool = False
    fast: bool = False
    fast_only: bool = False

    @property
    def relative(self) -> bool:
        """Counted from the previous match."""
        return self.distance is not None or self.within is not None


@dataclass(slots=True)
class Pcre(Op):
    """``pcre``; ``regex`` is a compiled pattern of PCRE2."""

    regex: Any = None
    relative: bool = False
    negated: bool = False
    anchored: bool = False
    source: bytes = b""


@dataclass(slots=True)
class IsDataAt(Op):
    """``isdataat``."""

    at: Number = 0
    relative: bool = False
    negated: bool = False


@dataclass(slots=True)
class ByteTest(Op):
    """``byte_test``: ``size`` 0 with ``base`` means up to what is a digit."""

    size: Number = 0
    negated: bool = False
    operator: str = "="
    value: Number = 0
    offset: Number = 0
    relative: bool = False
    little: bool = False
    base: int = 0
    bitmask: int = 0


@dataclass(slots=True)
class ByteJump(Op):
    """``byte_jump``."""

    size: Number = 0
    offset: Number = 0
    relative: bool = False
    little: bool = False
    base: int = 0
    multiplier: int = 1
    align: bool = False
    from_beginning: bool = False
    from_end: bool = False
    post_offset: int = 0
    bitmask: int = 0


@dataclass(slots=True)
class ByteExtract(Op):
    """``byte_extract``."""

    size: int = 0
    offset: int = 0
    name: str = ""
    relative: bool = False
    little: bool = False
    base: int = 0
    multiplier: int = 1
    align: int = 0


@dataclass(slots=True)
class ByteMath(Op):
    """``byte_math``."""

    size: Number = 0
    offset: int = 0
    operator: str = "+"
    value: Number = 0
    name: str = ""
    relative: bool = False
    little: bool = False
    base: int = 0
    bitmask: int = 0


@dataclass(slots=True)
class Size(Op):
    """``bsize``, ``urilen`` and similar: the length of the buffer."""

    low: Number = 0
    high: Number = 1 << 62
    negated: bool = False


@dataclass(slots=True)
class Base64(Op):
    """``base64_decode``, and the conditions of ``base64_data`` on the result."""

    size: int = 0
    offset: int = 0
    relative: bool = False
    ops: list[Op] | None = None
