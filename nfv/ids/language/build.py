"""From a rule's options to a ``Rule``: where each keyword goes, and what can't be together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nfv.ids.decode.packet import Packet
from nfv.ids.language import app, events, flows, headers, meta, payload
from nfv.ids.language.buffers import BUFFERS, MODIFIERS, STICKY, TRANSFORMS, check_transform
from nfv.ids.language.header import ADDRESS_GROUPS, PORT_GROUPS, addresses, ports
from nfv.ids.language.rule import BufferPart, Rule
from nfv.ids.language.text import Form, Problem, parse, readable
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
from wire.protocol import ICMP, ICMPV6, SCTP, TCP, UDP

Handler = Callable[["Builder", "str | None"], None]

_FOLLOWERS = (IsDataAt, ByteTest, ByteJump, ByteExtract, ByteMath, Base64)
"""Conditions that, being relative, are about the buffer of the content or expression before them, also when a
modifier has moved that one to another buffer (user guide "Payload Keywords", isdataat, byte_test, …).
"""

_RELATIVE = (Pcre, *_FOLLOWERS)

MOST_CHAINED = 200
"""Matches in one buffer that others are relative to: each is a search within the search of the one before."""

KEYWORDS: dict[str, Handler] = {
    **meta.KEYWORDS,
    **payload.KEYWORDS,
    **headers.KEYWORDS,
    **flows.KEYWORDS,
    **app.KEYWORDS,
    **events.KEYWORDS,
}
"""Every keyword that is no buffer and no transform."""

SUPPORTED = frozenset({*KEYWORDS, *STICKY, *MODIFIERS, *TRANSFORMS, "pkt_data", "rawbytes", "absent"})

ACTIONS = ("alert", "pass", "drop", "reject", "rejectsrc", "rejectdst", "rejectboth")

PROTOCOLS: dict[str, tuple[frozenset[int] | None, int, tuple[str, ...]]] = {
    "ip": (None, 0, ()),
    "ip4": (None, 4, ()),
    "ipv4": (None, 4, ()),
    "ip6": (None, 6, ()),
    "ipv6": (None, 6, ()),
    "pkthdr": (None, 0, ()),
    "tcp": (frozenset({TCP}), 0, ()),
    "tcp-pkt": (frozenset({TCP}), 0, ()),
    "tcp-stream": (frozenset({TCP}), 0, ()),
    "udp": (frozenset({UDP}), 0, ()),
    "icmp": (frozenset({ICMP, ICMPV6}), 0, ()),
    "icmpv4": (frozenset({ICMP}), 4, ()),
    "icmp4": (frozenset({ICMP}), 4, ()),
    "icmpv6": (frozenset({ICMPV6}), 6, ()),
    "icmp6": (frozenset({ICMPV6}), 6, ()),
    "sctp": (frozenset({SCTP}), 0, ()),
    "http": (frozenset({TCP}), 0, ("http",)),
    "http1": (frozenset({TCP}), 0, ("http",)),
    "tls": (frozenset({TCP}), 0, ("tls",)),
    "ssl": (frozenset({TCP}), 0, ("tls",)),
    "ssh": (frozenset({TCP}), 0, ("ssh",)),
    "dns": (frozenset({TCP, UDP}), 0, ("dns",)),
}
"""The protocols of rule headers: IP protocols, IP version, application protocols."""


class Builder:
    """Collects what the keywords of one rule say."""

    def __init__(self, rule: Rule, classes: Mapping[str, tuple[str, int]]) -> None:
        self.rule = rule
        self.classes = classes
        self.known = SUPPORTED
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
        """Add a condition on bytes: on ``buffer`` where given, else where the rule is at."""
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
        """Let the last content be about another buffer."""
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
        """What follows is about this buffer."""
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
        """What follows is about the buffer transformed."""
        option = check_transform(name, value)
        if self.part is None:
            raise Problem(name, "needs a buffer before it")
        if self.part.ops:
            fresh = BufferPart(self.part.name)
            self.parts.append(fresh)
            self.part = fresh
        self.part.transforms = (*self.part.transforms, (name, option))

    def into_base64(self) -> None:
        """What follows is about decoded bytes."""
        self.in_base64 = True
        self.last_content = None

    def packet_data(self) -> None:
        """Back to the payload."""
        self.sticky = self.part = None
        self.in_base64 = False
        self.last_content = self.last_match = None

    def has_anchor(self) -> bool:
        """Is there something in the payload that a condition can be relative to?"""
        return any(isinstance(op, (Content, *_RELATIVE)) for op in self._list("").ops)

    def new_name(self, keyword: str, name: str) -> str:
        """A variable that a byte keyword sets."""
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


def build(
    text: str,
    variables: tuple[Mapping[str, str], Mapping[str, str]] | None,
    classes: Mapping[str, tuple[str, int]],
) -> Rule:
    """A rule from its text; Problem with the keyword that can't be honoured."""
    form = parse(text)
    rule = _header(form, *(variables or (ADDRESS_GROUPS, PORT_GROUPS)))
    rule.text = readable(text)
    b = Builder(rule, classes)
    for name, value in form.options:
        _option(b, name, value)
    if not rule.sid:
        raise Problem("sid", "is missing")
    _finish(b)
    return rule


def _header(form: Form, address_groups: Mapping[str, str], port_groups: Mapping[str, str]) -> Rule:
    if form.action not in ACTIONS:
        raise Problem("", f"the action {form.action!r} is unknown; there are {', '.join(ACTIONS)}")
    protocol = form.protocol.lower()
    if protocol not in PROTOCOLS:
        raise Problem(
            "", f"the protocol {form.protocol!r} is not supported; there are {', '.join(PROTOCOLS)}"
        )
    numbers, version, apps = PROTOCOLS[protocol]
    rule = Rule(action=form.action, protocol=protocol, protocols=numbers, version=version, app_protos=apps)
    rule.source = addresses(form.source, address_groups)
    rule.destination = addresses(form.destination, address_groups)
    rule.source_ports = ports(form.source_port, port_groups)
    rule.destination_ports = ports(form.destination_port, port_groups)
    rule.both_ways = form.direction == "<>"
    if (
        numbers is not None
        and not numbers & {TCP, UDP, SCTP}
        and (rule.source_ports or rule.destination_ports)
    ):
        raise Problem("", f"{protocol} has no ports; write any")
    if protocol == "tcp-pkt":
        rule.needs_packet = True
    if protocol == "tcp-stream":
        rule.needs_stream = True
    return rule


def _option(b: Builder, name: str, value: str | None) -> None:
    if name in KEYWORDS:
        KEYWORDS[name](b, value)
    elif name in MODIFIERS:
        payload.modifier(b, name, value)
    elif name in STICKY:
        if value:
            raise Problem(name, "takes no value")
        b.set_sticky(STICKY[name])
    elif name in TRANSFORMS:
        b.transform(name, value)
    elif name == "pkt_data":
        if value:
            raise Problem(name, "takes no value")
        b.packet_data()
    elif name == "absent":
        if b.part is None or b.part.ops:
            raise Problem("absent", "must stand right after a buffer")
        if value and value.strip() != "or_else":
            raise Problem("absent", "takes nothing or or_else")
        b.part.absent = "or_else" if value else "only"
    else:
        raise Problem(name, "this keyword is not supported")


def _finish(b: Builder) -> None:
    rule = b.rule
    b.parts = [part for part in b.parts if part.ops or part.absent]
    for part in b.parts:
        _check(part, b)
        if not part.name:
            rule.payload = part.ops
        elif BUFFERS[part.name].header:
            rule.header_parts.append(part)
            rule.needs_packet = True
        else:
            rule.tx_parts.append(part)
    rule.buffers = b.parts
    if rule.protocol == "pkthdr" and not rule.events:
        raise Problem("", "pkthdr is for rules with decode-event")
    _variables(rule)
    _directions(rule)
    _stream(b)
    _type(rule)
    if rule.needs_stream and b.dsize and rule.protocol == "tcp-stream":
        raise Problem("dsize", "is about packets and can't be in a tcp-stream rule")
    if rule.app_layer and (rule.tx_parts or rule.app_protos):
        raise Problem("app-layer-protocol", "can't be together with a protocol or buffers of one")


def _check(part: BufferPart, b: Builder) -> None:
    """Whether the conditions on one buffer go together, and which are chained."""
    anchor: Op | None = None
    ops = list(part.ops)
    for op in ops:
        relative = op.relative if isinstance(op, (Content, *_RELATIVE)) else False
        if relative and anchor is not None:
            anchor.chained = True
        if isinstance(op, (Content, Pcre)):
            anchor = op
        if isinstance(op, Base64) and op.ops:
            _check(BufferPart(part.name, ops=op.ops), b)
        if isinstance(op, Content) and op.startswith:
            op.offset, op.depth = 0, len(op.pattern)
    if sum(op.chained for op in ops) > MOST_CHAINED:
        raise Problem("", f"more than {MOST_CHAINED} conditions are relative to the one before them")
    sizes = [op for op in ops if isinstance(op, Size) and isinstance(op.high, int) and not op.negated]
    for size in sizes:
        for op in ops:
            if (
                isinstance(op, Content)
                and not op.negated
                and isinstance(size.high, int)
                and len(op.pattern) > size.high
            ):
                raise Problem(
                    "bsize", f"a content of {len(op.pattern)} bytes can't be in a buffer of {size.high}"
                )
            if (
                isinstance(op, Content)
                and not op.negated
                and isinstance(op.offset, int)
                and isinstance(size.high, int)
            ) and op.offset + len(op.pattern) > size.high:
                raise Problem("bsize", "a content's place lies outside of the buffer")


def _variables(rule: Rule) -> None:
    """A variable must be set before it is used in the order in which buffers are asked (``detect``), which is
    not always that of the text.
    """
    header = [(part.name, part.ops) for part in rule.header_parts]
    payload = [("the payload", rule.payload)]
    if rule.stateful:
        order = [*((part.name, part.ops) for part in rule.tx_parts), *header, *payload]
    else:
        order = [*payload, *header]
    already_set: set[object] = set()
    for where, ops in order:
        for op in _flat(ops):
            for name in _NUMBERS:
                used = getattr(op, name, None)
                if isinstance(used, str) and used not in already_set:
                    raise Problem(
                        "byte_extract", f"{used} is used in {where}, which is evaluated before {used} is set"
                    )
            if isinstance(op, (ByteExtract, ByteMath)):
                already_set.add(op.name)


def _flat(ops: list[Op]) -> Iterator[Op]:
    for op in ops:
        yield op
        if isinstance(op, Base64):
            yield from op.ops or ()


_NUMBERS = ("offset", "depth", "distance", "within", "at", "size", "value", "low", "high")


def _directions(rule: Rule) -> None:
    """The direction that the buffers imply, and the application protocol."""
    protos: set[str] = set(rule.app_protos)
    needed = rule.directions
    for part in rule.tx_parts:
        buffer = BUFFERS[part.name]
        if protos and not protos & set(buffer.protos):
            raise Problem(part.name, f"can't be in a rule for {', '.join(sorted(protos))}")
        protos = (protos & set(buffer.protos)) if protos else set(buffer.protos)
        if not needed & buffer.directions:
            raise Problem(
                part.name, "is not sent in the direction of this rule (its flow, or its other buffers)"
            )
        needed &= buffer.directions
    for proto, directions, _ in rule.tx_tests:
        if protos and proto not in protos:
            raise Problem(proto, f"keywords of {proto} can't be in a rule for {', '.join(sorted(protos))}")
        protos = {proto}
        if not needed & directions:
            raise Problem(proto, "a keyword is about the other direction")
        needed &= directions
    rule.directions = needed
    rule.app_protos = tuple(sorted(protos))
    if protos and rule.protocols is not None:
        allowed = frozenset({TCP, UDP}) if "dns" in protos else frozenset({TCP})
        if not rule.protocols & allowed:
            raise Problem(
                "", f"buffers of {', '.join(sorted(protos))} can't be in a rule for {rule.protocol}"
            )


def _stream(b: Builder) -> None:
    """What is asked for payload: packets, the stream, or both (user guide "Rule Types", Packet-Stream)."""
    rule = b.rule
    tcp = rule.protocols is None or TCP in rule.protocols
    if not rule.payload or not tcp:
        return
    if not (rule.needs_packet or rule.needs_stream):
        rule.needs_stream = True
        for op in rule.payload:
            if isinstance(op, Content) and (op.depth is not None or op.offset):
                rule.needs_packet = True
    elif rule.needs_packet and not b.dsize and rule.protocol != "tcp-pkt" and "no_stream" not in rule.flow:
        # flags and the like are asked of each packet, the payload of the stream as well
        rule.needs_stream = True


def _type(rule: Rule) -> None:
    """Rule types (user guide "Rule Types and Categorization"): what an action is about."""
    plain = not (
        rule.payload or rule.buffers or rule.tx_tests or rule.tests or rule.app_layer or rule.bits
        or rule.xbits or rule.ints or rule.flow or rule.events
    )  # fmt: skip
    only_reads = all(bit.command not in ("isset", "isnotset") for bit in (*rule.bits, *rule.xbits))
    one_port = not (rule.source_ports and rule.destination_ports)
    setters = not (
        rule.payload or rule.buffers or rule.tx_tests or rule.tests or rule.app_layer or rule.ints
        or rule.flow
    )  # fmt: skip
    rule.ip_only = not rule.app_protos and one_port and (plain or (setters and only_reads))
    if rule.protocol in ("tcp-pkt", "tcp-stream"):
        rule.ip_only = False
    rule.proto_only = bool(rule.app_layer) and not (
        rule.payload or rule.tests or rule.bits or rule.flow - {"to_server", "to_client"}
    )
    rule.flow_scope = (
        rule.ip_only
        or rule.proto_only
        or plain  # addresses and ports: all of the flow has them
        or rule.stateful
        or bool(rule.app_protos and not rule.payload and not rule.tests)
    )
