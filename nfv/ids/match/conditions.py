"""Evaluates a rule's conditions on one buffer.

The semantics are those of Suricata's content inspection (user guide "Payload Keywords"): conditions are
evaluated in order.  If a condition fails that is relative to a content or expression before it, the search
continues with the next occurrence of that content or expression.  The work is bounded: after ``BUDGET`` steps
for one buffer and rule (Suricata's ``inspection-recursion-limit`` is 3,000), the rule does not match.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

from nfv.ids.match.ops import (
    Base64,
    ByteExtract,
    ByteJump,
    ByteMath,
    ByteTest,
    Content,
    IsDataAt,
    Number,
    Op,
    Pcre,
    Size,
)
from nfv.ids.match.work import Exhausted, Work

BUDGET = 3000


class Buffer:
    """Bytes to search, and the state for another search; ``last`` is the end of the furthest match.

    Matches that end at or before ``after`` were found earlier and don't count; ``work`` bounds the cost.
    """

    __slots__ = ("_lower", "after", "data", "last", "size", "steps", "work")

    def __init__(self, data: bytes, work: Work | None = None, after: int = 0) -> None:
        self.data = data
        self.after = after
        self.work = work or Work()
        self.size = len(data)
        self._lower: bytes | None = None
        self.steps = 0
        self.last = 0

    @property
    def lower(self) -> bytes:
        """The bytes in small letters, computed once."""
        if self._lower is None:
            self._lower = self.data.lower()
        return self._lower


def matches(ops: Sequence[Op], buffer: Buffer, names: dict[str, int] | None = None) -> bool:
    """Whether all conditions match.  ``names`` holds variables for the rule's next buffers."""
    buffer.steps = 0
    buffer.last = 0
    try:
        return _run(ops, 0, buffer, 0, {} if names is None else names)
    except Exhausted:
        return False


def _value(number: Number, names: dict[str, int]) -> int:
    return number if isinstance(number, int) else names.get(number, 0)


def _run(ops: Sequence[Op], at: int, buffer: Buffer, position: int, names: dict[str, int]) -> bool:
    while at < len(ops):
        buffer.steps += 1
        if buffer.steps > BUDGET:
            return False
        op = ops[at]
        at += 1
        buffer.work.take(1)
        if isinstance(op, Content):
            if op.chained and not op.negated:
                return _each_content(op, ops, at, buffer, position, names)
            begin = _find(op, buffer, position, 0, names)
            if op.negated:
                if begin >= 0:
                    return False
                continue
            if begin < 0:
                return False
            position = begin + len(op.pattern)
            if position > buffer.last:
                buffer.last = position
        elif isinstance(op, Pcre):
            if op.chained and not op.negated:
                return _each_pcre(op, ops, at, buffer, position, names)
            span = _search(op, buffer, position, 0)
            if op.negated:
                if span is not None:
                    return False
                continue
            if span is None:
                return False
            position = span[1]
            if position > buffer.last:
                buffer.last = position
        else:
            after = _SIMPLE[op.__class__](op, buffer, position, names)
            if after < 0:
                return False
            position = after
    return True


def _each_content(
    op: Content, ops: Sequence[Op], at: int, buffer: Buffer, position: int, names: dict[str, int]
) -> bool:
    start = 0
    while True:
        begin = _find(op, buffer, position, start, names)
        if begin < 0:
            return False
        end = begin + len(op.pattern)
        if end > buffer.last:
            buffer.last = end
        if _run(ops, at, buffer, end, names):
            return True
        buffer.steps += 1
        if buffer.steps > BUDGET:
            return False
        start = begin + 1


def _each_pcre(
    op: Pcre, ops: Sequence[Op], at: int, buffer: Buffer, position: int, names: dict[str, int]
) -> bool:
    start = 0
    while True:
        span = _search(op, buffer, position, start)
        if span is None:
            return False
        if span[1] > buffer.last:
            buffer.last = span[1]
        if _run(ops, at, buffer, span[1], names):
            return True
        buffer.steps += 1
        if buffer.steps > BUDGET:
            return False
        start = span[0] + 1


def _find(op: Content, buffer: Buffer, position: int, start: int, names: dict[str, int]) -> int:
    """The position of the pattern, -1 if it is not there; ``start`` is where a repeated search continues."""
    size = buffer.size
    pattern = op.pattern
    if op.distance is not None or op.within is not None:
        distance = _value(op.distance, names) if op.distance is not None else 0
        low = max(position + distance, 0)
        high = size
        if op.within is not None:
            high = min(size, position + _value(op.within, names) + distance)
    else:
        low = _value(op.offset, names)
        high = size if op.depth is None else min(size, low + _value(op.depth, names))
    if start > low:
        low = start
    if low > high or high <= 0:
        return -1
    length = len(pattern)
    if op.endswith:
        if high < size:
            return -1
        low = max(low, size - length)
    if op.nocase:
        begin = buffer.lower.find(pattern.lower(), low, high)
    else:
        begin = buffer.data.find(pattern, low, high)
    searched = (high if begin < 0 else begin) - low
    if searched > 4096:
        buffer.work.take(searched // 4096)
    return begin


def _search(op: Pcre, buffer: Buffer, position: int, start: int) -> tuple[int, int] | None:
    base = position if op.relative else 0
    if start:
        base = start
    if base > buffer.size:
        return None
    data = buffer.data[base:] if base else buffer.data
    span = op.regex.find(data, buffer.work, buffer.after - base, op.chained and not op.negated)
    return (span[0] + base, span[1] + base) if span else None


def _isdataat(op: IsDataAt, buffer: Buffer, position: int, names: dict[str, int]) -> int:
    at = _value(op.at, names)
    there = position + at <= buffer.size if op.relative else at < buffer.size
    return position if there != op.negated else -1


_DIGITS = {10: re.compile(rb"[0-9]+"), 16: re.compile(rb"(?:0[xX])?[0-9a-fA-F]+"), 8: re.compile(rb"[0-7]+")}
_AUTO = re.compile(rb"0[xX][0-9a-fA-F]+|[0-9]+")
_LONGEST = 1024
"""Limit of digits, if a rule gives no number."""
_BLANKS = re.compile(rb"[ \t\n\v\f\r]*[+]?")


def number(data: bytes, at: int, size: int, base: int, little: bool) -> tuple[int, int] | None:
    """(value, bytes used) of the number at a place, binary (base 0) or in digits; None without one.

    ``size`` 0, for digits only: as many as there are.
    """
    if at < 0 or size < 0 or at + size > len(data):
        return None
    body = data[at : at + (size or _LONGEST)]
    if base == 0:
        return int.from_bytes(body, "little" if little else "big"), size
    blanks = _BLANKS.match(body)
    skip = blanks.end() if blanks else 0
    if base == -1:
        digits_match = _AUTO.match(body, skip)
        if not digits_match:
            return None
        digits, used = digits_match[0], len(digits_match[0])
        radix = 16 if digits[:2] in (b"0x", b"0X") else 8 if digits[:1] == b"0" and len(digits) > 1 else 10
        if radix == 8:
            octal = _DIGITS[8].match(digits)
            digits = octal[0] if octal else b"0"
        return _fits(int(digits, radix), skip + used)
    digits_match = _DIGITS[base].match(body, skip)
    if not digits_match:
        return None
    return _fits(int(digits_match[0], base), digits_match.end())


def _fits(value: int, used: int) -> tuple[int, int] | None:
    """The value of digits; a value of more than 64 bits is no number."""
    return (value, used) if value >> 64 == 0 else None


def _masked(value: int, mask: int) -> int:
    if not mask:
        return value
    value &= mask
    return value >> ((mask & -mask).bit_length() - 1)


def _byte_test(op: ByteTest, buffer: Buffer, position: int, names: dict[str, int]) -> int:
    at = _value(op.offset, names) + (position if op.relative else 0)
    got = number(buffer.data, at, _value(op.size, names), op.base, op.little)
    if got is None:
        return -1
    value, wanted = _masked(got[0], op.bitmask), _value(op.value, names)
    operator = op.operator
    if operator == "=":
        result = value == wanted
    elif operator == "<":
        result = value < wanted
    elif operator == ">":
        result = value > wanted
    elif operator == "<=":
        result = value <= wanted
    elif operator == ">=":
        result = value >= wanted
    elif operator == "&":
        result = value & wanted != 0
    else:
        result = value ^ wanted != 0
    return position if result != op.negated else -1


def _byte_jump(op: ByteJump, buffer: Buffer, position: int, names: dict[str, int]) -> int:
    at = _value(op.offset, names) + (position if op.relative else 0)
    size = _value(op.size, names)
    if size == 0:
        if not 0 <= at <= buffer.size:
            return -1
        value, used = 0, 0
    else:
        got = number(buffer.data, at, size, op.base, op.little)
        if got is None:
            return -1
        value, used = got
        if op.base == 0:
            used = size
    value = _masked(value, op.bitmask) * op.multiplier
    if op.align and value % 4:
        value += 4 - value % 4
    value += op.post_offset
    target = value if op.from_beginning else buffer.size + value if op.from_end else at + used + value
    if target > buffer.size:
        return -1
    return max(target, 0)


def _byte_extract(op: ByteExtract, buffer: Buffer, position: int, names: dict[str, int]) -> int:
    at = op.offset + (position if op.relative else 0)
    got = number(buffer.data, at, op.size, op.base, op.little)
    if got is None:
        return -1
    value, used = got
    value *= op.multiplier
    if op.align and value % op.align:
        value += op.align - value % op.align
    names[op.name] = value & 0xFFFFFFFFFFFFFFFF
    return at + used


def _byte_math(op: ByteMath, buffer: Buffer, position: int, names: dict[str, int]) -> int:
    at = op.offset + (position if op.relative else 0)
    got = number(buffer.data, at, _value(op.size, names), op.base, op.little)
    if got is None:
        return -1
    value, used = got
    operand = _value(op.value, names)
    if op.operator == "+":
        value += operand
    elif op.operator == "-":
        value -= operand
    elif op.operator == "*":
        value *= operand
    elif op.operator == "/":
        if operand == 0:
            return -1
        value //= operand
    elif op.operator == "<<":
        value = value << operand if operand < 64 else 0
    else:
        value = value >> operand if operand < 64 else 0
    names[op.name] = _masked(value & 0xFFFFFFFFFFFFFFFF, op.bitmask)
    return at + used


def _size(op: Size, buffer: Buffer, position: int, names: dict[str, int]) -> int:
    inside = _value(op.low, names) <= buffer.size <= _value(op.high, names)
    return position if inside != op.negated else -1


_ALPHABET = re.compile(rb"[A-Za-z0-9+/ \t\r\n]*={0,2}")


def decode64(data: bytes) -> bytes:
    """Decode as much as possible (RFC 4648); blanks are skipped as in RFC 2045."""
    match = _ALPHABET.match(data)
    body = re.sub(rb"[ \t\r\n=]", b"", match[0] if match else b"")
    body = body[: len(body) // 4 * 4] if len(body) % 4 == 1 else body + b"=" * (-len(body) % 4)
    try:
        return base64.b64decode(body)
    except binascii.Error:
        return b""


def _base64(op: Base64, buffer: Buffer, position: int, names: dict[str, int]) -> int:
    at = op.offset + (position if op.relative else 0)
    if at > buffer.size:
        return -1
    data = buffer.data[at : at + op.size] if op.size else buffer.data[at:]
    buffer.work.take(len(data) // 128)
    decoded = decode64(data)
    if not decoded:
        return -1
    if op.ops:
        inner = Buffer(decoded, buffer.work)
        inner.steps = buffer.steps
        if not _run(op.ops, 0, inner, 0, names):
            return -1
        buffer.last = max(buffer.last, buffer.size if not op.size else min(at + op.size, buffer.size))
    return position


_SIMPLE: dict[type[Op], Any] = {
    IsDataAt: _isdataat,
    ByteTest: _byte_test,
    ByteJump: _byte_jump,
    ByteExtract: _byte_extract,
    ByteMath: _byte_math,
    Size: _size,
    Base64: _base64,
}
