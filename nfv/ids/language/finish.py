"""Checks after a rule's last keyword: combinations that are not allowed, and derived properties of the
rule."""

from __future__ import annotations

from collections.abc import Iterator

from nfv.ids.language.buffers import BUFFERS
from nfv.ids.language.builder import RELATIVE, Builder
from nfv.ids.language.rule import BufferPart, Rule
from nfv.ids.language.text import Problem
from nfv.ids.match.ops import Base64, ByteExtract, ByteMath, Content, Op, Pcre, Size
from wire.protocol import TCP, UDP

MOST_CHAINED = 200
"""Limit of chained matches in one buffer: each is a search within the search of the previous one."""


def finish(b: Builder) -> None:
    """Complete the rule when all its keywords are collected. Raises Problem for a combination that is not
    allowed."""
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
    """Check the conditions on one buffer, and find the chained ones."""
    anchor: Op | None = None
    ops = list(part.ops)
    for op in ops:
        relative = op.relative if isinstance(op, RELATIVE) else False
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
    """Check that a variable is set before it is used.

    The order is that in which ``detect`` evaluates buffers; it can differ from the order of the text.
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
    """Derive the direction and the application protocol from the buffers."""
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
    """Where payload conditions search: packets, the stream, or both (user guide "Rule Types",
    Packet-Stream)."""
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
        # flags and similar conditions are evaluated on each packet, payload conditions also on the stream
        rule.needs_stream = True


def _type(rule: Rule) -> None:
    """Rule types (user guide "Rule Types and Categorization"): to what an action applies."""
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
