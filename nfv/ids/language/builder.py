"""Collects the properties of a rule, keyword by keyword."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nfv.ids.decode.packet import Packet
from nfv.ids.language.buffers import BUFFERS, check_transform
from nfv.ids.language.rule import BufferPart, Rule
from nfv.ids.language.text import Problem
from nfv.ids.match.ops import Base64, ByteExtract, ByteJump, ByteMath, ByteTest, Content, IsDataAt, Op, Pcre

_FOLLOWERS = (IsDataAt, ByteTest, ByteJump, ByteExtract, ByteMath, Base64)
"""Conditions that, if relative, use the buffer of the content or expression before them, also if a modifier
has moved that one to another buffer (user guide "Payload Keywords", isdataat, byte_test, …).
"""

RELATIVE = (Content, Pcre, *_FOLLOWERS)
"""Conditions that may be relative to the one before them."""


class Builder:
    """Collects the properties of one rule.

    ``classes``: name of a class -> category and priority. ``known``: every keyword that is supported.
    """

    def __init__(self, rule: Rule, classes: Mapping[str, tuple[str, int]], known: Collection[str]) -> None:
        self.rule = rule
        self.classes = classes
        self.known = known
        self.sticky: str | None = None
        self.part: BufferPart | None = None
        self.parts: list[BufferPart] = []
        self.last_content: Content | None = None
        self.moved: Content | None = None
        self.last_list: list[Op] | None = None
        self.last_match: list[Op] | None = None
        self.names: set[str] = set()
        self.base64: Base64 | None = None
        self.in_base64 = False
        self.notes: list[str] = []
        self.dsize = False

    def test(self, check: Callable[[Packet], bool]) -> None:
        """Add a condition on packets."""
        self.rule.tests.append(check)

    def tx_test(self, proto: str, directions: int, check: Callable[[Any], bool]) -> None:
        """Add a condition on transactions of ``proto``."""
        self.rule.tx_tests.append((proto, directions, check))

    def _list(self, name: str) -> BufferPart:
        for part in self.parts:
            if part.name == name and not part.transforms and not (name and BUFFERS[name].many):
                return part
        part = BufferPart(name)
        self.parts.append(part)
        return part

    def add(self, op: Op, buffer: str = "") -> None:
        """Add a condition on bytes: on ``buffer`` if given, otherwise on the rule's present buffer."""
        if self.in_base64 and not buffer:
            assert self.base64 is not None and self.base64.ops is not None
            ops = self.base64.ops
        elif buffer:
            ops = self._list(buffer).ops
        elif self.part is not None:
            ops = self.part.ops
        elif isinstance(op, _FOLLOWERS) and op.relative and self.last_match is not None:
            ops = self.last_match
        else:
            ops = self._list("").ops
        ops.append(op)
        if isinstance(op, Content):
            self.last_content, self.last_list = op, ops
        if isinstance(op, (Content, Pcre)):
            self.last_match = ops

    def move(self, keyword: str, buffer: str) -> None:
        """Move the last content to another buffer."""
        if self.sticky is not None:
            raise Problem(keyword, f"can't be after the buffer {self.sticky}")
        op, ops = self.last_content, self.last_list
        if op is None or ops is None or op not in ops:
            raise Problem(keyword, "needs a content before it")
        if op is self.moved:
            raise Problem(keyword, "the content before it is about another buffer already")
        self.moved = op
        for at, one in enumerate(ops):
            if one is op:
                del ops[at]
                break
        target = self._list(buffer).ops
        target.append(op)
        self.last_list = self.last_match = target

    def set_sticky(self, name: str) -> None:
        """The next conditions inspect this buffer."""
        self.in_base64 = False
        self.sticky = name
        existing = [p for p in self.parts if p.name == name and not p.transforms]
        if existing and not BUFFERS[name].many:
            self.part = existing[-1]
        else:
            self.part = BufferPart(name)
            self.parts.append(self.part)
        self.last_content = None

    def transform(self, name: str, value: str | None) -> None:
        """The next conditions inspect the transformed buffer."""
        option = check_transform(name, value)
        if self.part is None:
            raise Problem(name, "needs a buffer before it")
        if self.part.ops:
            fresh = BufferPart(self.part.name)
            self.parts.append(fresh)
            self.part = fresh
        self.part.transforms = (*self.part.transforms, (name, option))

    def into_base64(self) -> None:
        """The next conditions inspect decoded bytes."""
        self.in_base64 = True
        self.last_content = None

    def packet_data(self) -> None:
        """Back to the payload."""
        self.sticky = self.part = None
        self.in_base64 = False
        self.last_content = self.last_match = None

    def has_anchor(self) -> bool:
        """Whether there is a match in the payload to which a condition can be relative."""
        return any(isinstance(op, RELATIVE) for op in self._list("").ops)

    def new_name(self, keyword: str, name: str) -> str:
        """Add a variable that a byte keyword sets."""
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.\-]*", name.strip()):
            raise Problem(keyword, f"{name!r} is no name for a variable")
        self.names.add(name.strip())
        return name.strip()

    def check_version(self, text: str) -> None:
        """``requires: version >= 7.0.4``: this engine follows version 8."""
        for clause in text.split("|"):
            held = []
            for match in re.finditer(r"(<=|>=|<|>)?\s*(\d+)(?:\.(\d+))?(?:\.(\d+))?", clause):
                wanted = tuple(int(match[i] or 0) for i in (2, 3, 4))
                have = (8, 0, 0)
                held.append(
                    {"<": have < wanted, ">": have > wanted, "<=": have <= wanted, ">=": have >= wanted}[
                        match[1] or ">="
                    ]
                )
            if held and all(held):
                return
        raise Problem("requires", f"another version: {text.strip()}")
