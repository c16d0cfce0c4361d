"""A packet as users write it, ``IP(dst="10.0.0.2")/TCP(dport=80)/Raw(b"x")``, read into layers and fields.

The text is parsed by ``ast``, and is never evaluated: it comes from topology files and command lines of
people that may not run code on the machine. A layer is the name of a class of scapy's from ``LAYERS``, with
fields by name. A field's value is a literal, a list or tuple of literals, or another layer where scapy's
field holds one. An expression describes exactly one packet.

This module imports no scapy. ``lab.packets.build`` checks fields and values, and makes the octets.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from lab.failure import Exit, Failure
from topologies.syntax.problem import nearest, shown

LAYERS: dict[str, str] = {
    **dict.fromkeys(("Ether", "Dot3", "Dot1Q", "LLC", "SNAP", "STP", "ARP", "GRE"), "l2"),
    **dict.fromkeys(("IP", "ICMP", "TCP", "UDP", "IPerror", "ICMPerror", "TCPerror", "UDPerror"), "inet"),
    **dict.fromkeys(("IPOption_NOP", "IPOption_EOL", "IPOption_Router_Alert", "IPOption_RR"), "inet"),
    **dict.fromkeys(
        (
            "IPv6",
            "IPv6ExtHdrHopByHop",
            "IPv6ExtHdrDestOpt",
            "IPv6ExtHdrRouting",
            "IPv6ExtHdrFragment",
            "ICMPv6EchoRequest",
            "ICMPv6EchoReply",
            "ICMPv6DestUnreach",
            "ICMPv6PacketTooBig",
            "ICMPv6TimeExceeded",
            "ICMPv6ParamProblem",
            "ICMPv6ND_RS",
            "ICMPv6ND_RA",
            "ICMPv6ND_NS",
            "ICMPv6ND_NA",
            "ICMPv6NDOptSrcLLAddr",
            "ICMPv6NDOptDstLLAddr",
            "ICMPv6NDOptMTU",
            "ICMPv6NDOptPrefixInfo",
        ),
        "inet6",
    ),
    **dict.fromkeys(("SCTP", "SCTPChunkInit", "SCTPChunkData", "SCTPChunkAbort"), "sctp"),
    **dict.fromkeys(("DNS", "DNSQR", "DNSRR"), "dns"),
    **dict.fromkeys(("BOOTP", "DHCP"), "dhcp"),
    "VXLAN": "vxlan",
    "NTP": "ntp",
}
"""Name of a layer -> the module of ``scapy.layers`` that has its class. ``PLAIN`` are elsewhere."""
PLAIN = ("Raw", "Padding")
"""Octets: their one field may be given without its name, as scapy's users do."""
NAMES = (*LAYERS, *PLAIN)

LONGEST = 65_536
"""Characters of an expression: more than a packet of any size needs."""
MOST_LAYERS = 32
MOST_ENTRIES = 256
"""Entries of a list."""
DEEPEST = 8
"""Lists and layers in each other."""
MOST_OCTETS = 65_535
_LARGEST = 1 << 128

Value: TypeAlias = "int | float | str | bytes | bool | list[Value] | tuple[Value, ...] | Expression | None"


class ExpressionError(Failure):
    """A packet that can't be read or built; ``line`` and ``column`` count from 1, in the user's text."""

    def __init__(self, what: str, allowed: str, text: str, line: int, column: int) -> None:
        at = f"column {column}" if line == 1 else f"line {line}, column {column}"
        super().__init__(f"packet {shown(text.strip())}, {at}: {what}", allowed, Exit.FAILED)
        self.line, self.column = line, column


@dataclass(frozen=True)
class FieldValue:
    """A field of a layer, where in the text it is, and what it should be."""

    name: str
    value: Value
    line: int
    column: int


@dataclass(frozen=True)
class Layer:
    """A layer: the name of scapy's class, and its fields in the order of the text."""

    name: str
    fields: tuple[FieldValue, ...]
    line: int
    column: int

    def get(self, name: str) -> Value:
        """The value of a field; None if the text doesn't say it."""
        return next((field.value for field in self.fields if field.name == name), None)


@dataclass(frozen=True)
class Expression:
    """A packet, or one in a field of another: its layers, the outermost first. ``text``: of the whole."""

    layers: tuple[Layer, ...]
    text: str


def parse(text: str) -> Expression:
    """Read an expression. Raises ExpressionError."""
    if len(text) > LONGEST:
        what = f"{len(text):,} characters"
        raise ExpressionError(what, f"at most {LONGEST:,} characters", text[:80], 1, 1)
    reader = _Reader(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python doesn't know: people see errors only
            body = ast.parse(reader.source, mode="eval").body
    except SyntaxError as error:
        line, column = reader.place(max((error.offset or 1) - 1, 0))
        raise ExpressionError(_said(error, text), _FORM, text, line, column) from None
    except (
        ValueError,
        MemoryError,
        RecursionError,
    ):  # octets of 0; too many brackets or operators in each other
        what = "a character of code 0" if "\0" in text else "it is nested too deep"
        raise ExpressionError(what, _FORM, text, 1, 1) from None
    return reader.packet(body, 0)


_FORM = 'a packet is written like IP(dst="10.0.0.2")/TCP(dport=80)/Raw(b"x"): layers of scapy, joined by /'
_VALUES = 'allowed are numbers, texts, octets (b"…"), True, False, None, and lists and tuples of them'


def _said(error: SyntaxError, text: str) -> str:
    if "\0" in text:  # a SyntaxError from Python 3.12 on
        return "a character of code 0"
    if not text.strip():
        return "there is nothing"
    said = error.msg or "invalid syntax"
    if "digits" in said:
        return "a number of too many digits"
    return said.split(". Perhaps")[0].split(" on line ")[0]


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.before = len(text) - len(text.lstrip())
        # an expression may have several lines
        self.source = text.strip().replace("\r", " ").replace("\n", " ")
        self.octets = self.source.encode("utf-8", "surrogatepass")
        self.left = MOST_LAYERS

    def packet(self, node: ast.expr, depth: int) -> Expression:
        layers = []
        for part in self.parts(node):
            self.left -= 1
            if self.left < 0:
                raise self.wrong(part, "too many layers", f"at most {MOST_LAYERS} layers")
            layers.append(self.layer(part, depth))
        return Expression(tuple(layers), self.text)

    def parts(self, node: ast.expr) -> Iterator[ast.expr]:
        """The operands of all ``/``, from left to right, without recursion: a chain may be long."""
        ahead = [node]
        while ahead:
            top = ahead.pop()
            if isinstance(top, ast.BinOp) and isinstance(top.op, ast.Div):
                ahead += [top.right, top.left]
            else:
                yield top

    def layer(self, node: ast.expr, depth: int) -> Layer:
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            octets = node.value  # as in scapy: IP()/"payload"
            return Layer("Raw", (self.field("load", octets, node),), *self.at(node))
        if isinstance(node, ast.Name) and node.id in NAMES:
            raise self.wrong(node, f"{node.id} without brackets", f"write {node.id}()")
        if isinstance(node, ast.BinOp):
            raise self.wrong(node, "an operator that joins no layers", "layers are joined by / only")
        if not isinstance(node, ast.Call):
            raise self.wrong(node, f"{_what(node)} where a layer should be", _FORM)
        if not isinstance(node.func, ast.Name):
            raise self.wrong(node.func, f"{_what(node.func)} instead of a layer's name", _layers(""))
        name = node.func.id
        if name not in NAMES:
            raise self.wrong(node.func, f"no layer named {shown(name)}", _layers(name))
        fields = []
        if node.args:
            first, *more = node.args
            if name not in PLAIN or more or isinstance(first, ast.Starred):
                wanted = (more or node.args)[0]
                raise self.wrong(
                    wanted, f"a value of {name} without the name of a field", f"write {name}(field=value)"
                )
            fields.append(self.field("load", self.value(first, depth + 1), first))
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.wrong(keyword.value, "fields by **", f"write {name}(field=value)")
            fields.append(self.field(keyword.arg, self.value(keyword.value, depth + 1), keyword.value))
        names = [field.name for field in fields]
        for field in fields:
            if names.count(field.name) > 1:
                what = f"{name} has {field.name} twice"
                raise ExpressionError(what, "each field at most once", self.text, field.line, field.column)
        return Layer(name, tuple(fields), *self.at(node))

    def field(self, name: str, value: Value, node: ast.expr) -> FieldValue:
        return FieldValue(name, value, *self.at(node))

    def value(self, node: ast.expr, depth: int) -> Value:
        if depth > DEEPEST:
            raise self.wrong(node, "nested too deep", f"at most {DEEPEST} lists or layers in each other")
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            number = self.value(node.operand, depth + 1)
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                return -number
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return self.repeated(node)
        if isinstance(node, (ast.List, ast.Tuple)):
            if len(node.elts) > MOST_ENTRIES:
                raise self.wrong(node, f"a list of {len(node.elts):,}", f"at most {MOST_ENTRIES} entries")
            values = [self.value(entry, depth + 1) for entry in node.elts]
            return values if isinstance(node, ast.List) else tuple(values)
        if _begins_with_layer(node):
            return self.packet(node, depth)
        raise self.wrong(node, f"{_what(node)} as a value", _VALUES)

    def constant(self, node: ast.Constant) -> Value:
        value = node.value
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, int):
            if abs(value) >= _LARGEST:
                raise self.wrong(node, "a number of more than 128 bits", "no field is larger than 128 bits")
            return value
        if isinstance(value, (str, bytes)):
            if len(value) > MOST_OCTETS:
                raise self.wrong(node, f"{len(value):,} octets", f"at most {MOST_OCTETS:,}, as in a packet")
            return value
        raise self.wrong(node, f"{_what(node)} as a value", _VALUES)

    def repeated(self, node: ast.BinOp) -> str | bytes:
        """``b"x" * 1400``, as people write payloads."""
        sides = (node.left, node.right)
        for text, times in (sides, sides[::-1]):
            if isinstance(text, ast.Constant) and isinstance(times, ast.Constant):
                what, number = text.value, times.value
                if isinstance(what, (str, bytes)) and isinstance(number, int):
                    if not 0 <= number <= MOST_OCTETS or len(what) * number > MOST_OCTETS:
                        raise self.wrong(node, "too many octets", f"at most {MOST_OCTETS:,}, as in a packet")
                    return what * number
        raise self.wrong(node, "a product as a value", f'only octets can be repeated: b"x" * 1400; {_VALUES}')

    def wrong(self, node: ast.expr, what: str, allowed: str) -> ExpressionError:
        return ExpressionError(what, allowed, self.text, *self.at(node))

    def at(self, node: ast.expr) -> tuple[int, int]:
        """Line and column in the user's text; ``ast`` counts octets of UTF-8, people count characters."""
        return self.place(len(self.octets[: node.col_offset].decode("utf-8", "ignore")))

    def place(self, character: int) -> tuple[int, int]:
        """Line and column of a character of the source."""
        before = self.text[: self.before + character]
        return before.count("\n") + 1, len(before) - before.rfind("\n")


def _begins_with_layer(node: ast.expr) -> bool:
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        node = node.left
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES


_WHAT: dict[type[ast.expr], str] = {
    ast.Attribute: "an attribute",
    ast.Call: "a call",
    ast.Constant: "a value",
    ast.Dict: "a dictionary",
    ast.JoinedStr: "an f-string",
    ast.Lambda: "a function",
    ast.List: "a list",
    ast.Name: "a name",
    ast.Set: "a set",
    ast.Starred: "a *",
    ast.Subscript: "an index",
    ast.Tuple: "a tuple",
}


def _what(node: ast.expr) -> str:
    """What something is, for messages."""
    if isinstance(node, ast.Name):
        return f"the name {shown(node.id)}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return f"a call of {shown(node.func.id)}"
    if isinstance(node, ast.Constant):
        return f"the value {shown(repr(node.value))}"
    return _WHAT.get(type(node), "an operator")


def _layers(name: str) -> str:
    close = nearest(name, NAMES) if name else ""
    return (f"did you mean {close}? " if close else "") + f"layers: {', '.join(NAMES)}"
