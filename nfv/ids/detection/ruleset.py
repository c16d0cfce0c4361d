"""Rules arranged for detection: databases of fast patterns, and lists of rules without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nfv.ids.language.buffers import BUFFERS, GROWING
from nfv.ids.language.load import ACTION_ORDER, ordered
from nfv.ids.language.rule import TO_CLIENT, TO_SERVER, BufferPart, Rule
from nfv.ids.match.ops import (
    Base64,
    ByteExtract,
    ByteJump,
    ByteMath,
    ByteTest,
    Content,
    IsDataAt,
    Op,
    Pcre,
    Size,
)
from nfv.ids.match.prefilter import Database, fast_pattern, strength
from wire.protocol import TCP

_OVERLAPS_BADLY = (IsDataAt, ByteTest, ByteJump, ByteExtract, ByteMath, Base64)


def positional(ops: list[Op]) -> bool:
    """Whether positions in the buffer matter.  Such rules get a stream's chunk without the end of the
    previous one."""
    for op in ops:
        if isinstance(op, Content):
            if op.negated or op.startswith or op.endswith or op.depth is not None or op.offset:
                return True
        elif isinstance(op, Pcre):
            if op.negated or op.anchored or b"^" in op.source or b"\\A" in op.source or b"$" in op.source:
                return True
        elif (
            isinstance(op, Size)
            or (isinstance(op, _OVERLAPS_BADLY) and not op.relative)
            or (isinstance(op, IsDataAt) and op.negated)
        ):
            return True
    return False


def _longest(ops: list[Op]) -> int:
    return max((len(op.pattern) for op in ops if isinstance(op, Content)), default=0)


@dataclass(slots=True)
class BufferGroup:
    """Rules whose fast pattern is searched in one buffer."""

    name: str
    transforms: tuple[tuple[str, str], ...]
    body: bool
    database: Database


class RuleSet:
    """The rules in the form that detection uses; built once, never changed."""

    def __init__(self, rules: list[Rule], actions: Sequence[str] = ACTION_ORDER) -> None:
        self.rules = ordered(list(rules), actions)
        self.longest = max((_longest(rule.payload) for rule in self.rules), default=0)
        stream: list[tuple[Content, int]] = []
        placed: list[tuple[Content, int]] = []
        free: list[tuple[Content, int]] = []
        datagram: list[tuple[Content, int]] = []
        self.always: dict[int, list[Rule]] = {}
        self.always_any: list[Rule] = []
        self.by_app: dict[str, list[Rule]] = {}
        self.ip_only: list[Rule] = []
        self.proto_only: list[Rule] = []
        self.by_event: dict[str, list[Rule]] = {}
        self.tail_safe = [False] * len(self.rules)
        tx: dict[tuple[str, bool, tuple[str, tuple[tuple[str, str], ...]]], list[tuple[Content, int]]] = {}
        self.tx_always: dict[tuple[str, bool], list[Rule]] = {}
        self.stateful_apps: set[str] = set()
        self.negative_payload: list[Rule] = []
        for rule in self.rules:
            self.tail_safe[rule.order] = not positional(rule.payload)
            if rule.stateful:
                self._stateful(rule, tx)
                continue
            if rule.ip_only:
                self.ip_only.append(rule)
                continue
            if rule.proto_only:
                self.proto_only.append(rule)
                continue
            content = fast_pattern(rule.payload)
            if content is None:
                self._always(rule)
                continue
            rule.fast = content
            if rule.protocols is None or TCP in rule.protocols:
                if rule.needs_stream or not rule.needs_packet:
                    stream.append((content, rule.order))
                if rule.needs_packet:
                    can_place = isinstance(content.offset, int) and isinstance(content.depth, int)
                    (placed if can_place and not content.relative else free).append((content, rule.order))
            if rule.protocols is None or rule.protocols - {TCP}:
                datagram.append((content, rule.order))
        self.stream_db = Database(stream)
        self.placed_db = Database(placed)
        self.free_db = Database(free)
        self.datagram_db = Database(datagram)
        self.tx_groups: dict[tuple[str, bool], list[BufferGroup]] = {}
        for (proto, toserver, (name, transforms)), patterns in tx.items():
            group = BufferGroup(name, transforms, name in GROWING, Database(patterns))
            self.tx_groups.setdefault((proto, toserver), []).append(group)
        self.once = bool(self.ip_only or self.proto_only)
        self.tcp_always = bool(self.always.get(TCP) or self.always_any or self.by_app)

    def _always(self, rule: Rule) -> None:
        if rule.events:
            self.by_event.setdefault(rule.events[0], []).append(rule)
        elif rule.app_protos and not rule.payload:
            for proto in rule.app_protos:
                self.by_app.setdefault(proto, []).append(rule)
        elif rule.protocols is None:
            self.always_any.append(rule)
        else:
            for number in rule.protocols:
                self.always.setdefault(number, []).append(rule)

    def _stateful(
        self,
        rule: Rule,
        tx: dict[tuple[str, bool, tuple[str, tuple[tuple[str, str], ...]]], list[tuple[Content, int]]],
    ) -> None:
        self.stateful_apps.update(rule.app_protos)
        best: tuple[Content, BufferPart] | None = None
        for part in rule.tx_parts:
            if part.absent == "or_else":
                continue
            content = fast_pattern(part.ops)
            if content is None:
                continue
            if (
                best is None
                or (content.fast and not best[0].fast)
                or (not best[0].fast and _rank(content, part) > _rank(*best))
            ):
                best = (content, part)
        for proto in rule.app_protos:
            for toserver, bit in ((True, TO_SERVER), (False, TO_CLIENT)):
                if not rule.directions & bit:
                    continue
                if best is not None and BUFFERS[best[1].name].directions & bit:
                    rule.fast = best[0]
                    tx.setdefault((proto, toserver, best[1].key), []).append((best[0], rule.order))
                elif best is None:
                    self.tx_always.setdefault((proto, toserver), []).append(rule)


def _rank(content: Content, part: BufferPart) -> float:
    """Buffers that are equal in most messages, and so distinguish few rules."""
    common = part.name in ("http.method", "http.stat_code", "http.stat_msg", "http.protocol")
    return strength(content.pattern) - (100 if common else 0)
