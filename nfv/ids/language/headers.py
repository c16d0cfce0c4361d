"""Keywords about header fields of IP, TCP, ICMP (user guide "Header Keywords")."""

from __future__ import annotations

import re
from collections.abc import Callable

from nfv.ids.decode.options import IPV4_OPTIONS, ipv4_options
from nfv.ids.decode.packet import Packet
from nfv.ids.language.builder import Builder
from nfv.ids.language.numbers import bounds, compare, whole
from nfv.ids.language.text import Problem, negation
from wire.protocol import ICMP, ICMPV6, TCP


def ttl(b: Builder, value: str | None) -> None:
    """Time to live or hop limit."""
    test = compare("ttl", value, 255)
    b.test(lambda p: p.version != 0 and test(p.ttl))


def tos(b: Builder, value: str | None) -> None:
    """The type-of-service byte of IPv4: ``tos:[!]8``, ``tos:x2a``."""
    negated, rest = negation(value)
    text = (rest or "").strip()
    if re.fullmatch(r"x[0-9a-fA-F]+", text):
        text = "0" + text
    number = whole("tos", text, 0, 255)
    b.test(lambda p: p.version == 4 and (p.tos == number) != negated)


def ident(b: Builder, value: str | None) -> None:
    """The identification of an IPv4 packet."""
    number = whole("id", (value or "").strip('"'), 0, 65535)
    b.test(lambda p: p.version == 4 and (p.data[p.l3 + 4] << 8 | p.data[p.l3 + 5]) == number)


def ipopts(b: Builder, value: str | None) -> None:
    """Options of an IPv4 header."""
    name = (value or "").strip().lower()
    if name == "any":
        b.test(lambda p: p.version == 4 and bool(ipv4_options(p)))
        return
    if name not in IPV4_OPTIONS:
        raise Problem("ipopts", f"{name!r} is unknown; there are any, {', '.join(IPV4_OPTIONS)}")
    number = IPV4_OPTIONS[name]
    b.test(lambda p: p.version == 4 and number in ipv4_options(p))


def fragbits(b: Builder, value: str | None) -> None:
    """``fragbits:[*+!]<MDR>``."""
    match = re.fullmatch(r"\s*([*+!]?)\s*([MDR]+)\s*([*+!]?)\s*", value or "")
    if not match:
        raise Problem("fragbits", "must be of M, D, R, with *, + or ! before them")
    bits = sum({"M": 0x2000, "D": 0x4000, "R": 0x8000}[letter] for letter in set(match[2]))
    b.test(_bits(match[1] or match[3], bits, lambda p: p.frag & 0xE000, lambda p: p.version == 4))


def _bits(
    sign: str, bits: int, get: Callable[[Packet], int], valid: Callable[[Packet], bool]
) -> Callable[[Packet], bool]:
    if sign == "+":
        return lambda p: valid(p) and get(p) & bits == bits
    if sign == "*":
        return lambda p: valid(p) and get(p) & bits != 0
    if sign == "!":
        return lambda p: valid(p) and get(p) & bits != bits
    return lambda p: valid(p) and get(p) == bits


def fragoffset(b: Builder, value: str | None) -> None:
    """Where a fragment begins, in units of eight bytes."""
    test = compare("fragoffset", value, 65535)
    b.test(lambda p: (p.version == 4 or p.fragment) and test(p.frag & 0x1FFF))


_IP_NAMES = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmp6": 58,
    "ipv6-icmp": 58, "ospf": 89, "pim": 103, "sctp": 132, "ipv6": 41, "egp": 8, "eigrp": 88,
    "vrrp": 112, "l2tp": 115,
    "ip": 0, "hopopt": 0,
}  # fmt: skip


def ip_proto(b: Builder, value: str | None) -> None:
    """The IP protocol by number or name: ``[!<>]47``."""
    match = re.fullmatch(r"\s*([!<>]?)\s*([\w\-]+)\s*", (value or "").strip('"'))
    if not match:
        raise Problem("ip_proto", "must be a number or a name, with !, < or > before it")
    sign, name = match.groups()
    number = _IP_NAMES.get(name.lower(), -1)
    if number < 0:
        number = whole("ip_proto", name, 0, 255)
    tests: dict[str, Callable[[Packet], bool]] = {
        "": lambda p: p.version != 0 and p.proto == number,
        "!": lambda p: p.version != 0 and p.proto != number,
        "<": lambda p: p.version != 0 and p.proto < number,
        ">": lambda p: p.version != 0 and p.proto > number,
    }
    b.test(tests[sign])


def sameip(b: Builder, value: str | None) -> None:
    """Source and destination are one address."""
    if value:
        raise Problem("sameip", "takes no value")
    b.test(lambda p: p.version != 0 and p.src == p.dst)


_TCP_FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "2": 64, "C": 128, "1": 128, "0": 0}


def flags(b: Builder, value: str | None) -> None:
    """TCP's flags: ``[!*+]FSRPAUCE0[,those to ignore]``."""
    match = re.fullmatch(
        r"\s*(?:flags:)?([!*+]?)\s*([FSRPAUEC120]+)\s*([!*+]?)\s*(?:,\s*([FSRPAUEC120]+))?\s*",
        value or "",
        re.I,
    )
    if not match:
        raise Problem("flags", "must be of the letters F S R P A U C E 0, with !, * or + before them")
    bits = 0
    for letter in match[2].upper():
        bits |= _TCP_FLAGS[letter]
    ignored = 0
    for letter in (match[4] or "").upper():
        ignored |= _TCP_FLAGS[letter]
    keep = ~ignored & 0xFF
    b.test(_bits(match[1] or match[3], bits, lambda p: p.flags & keep, lambda p: p.proto == TCP))
    b.rule.needs_packet = True


def ack(b: Builder, value: str | None) -> None:
    """TCP's acknowledgement number."""
    test = compare("tcp.ack", value)
    b.test(lambda p: p.proto == TCP and test(p.ack))


def seq(b: Builder, value: str | None) -> None:
    """TCP's sequence number."""
    test = compare("tcp.seq", value)
    b.test(lambda p: p.proto == TCP and test(p.seq))


def window(b: Builder, value: str | None) -> None:
    """TCP's window, without its scale."""
    test = compare("window", value, 65535)
    b.test(lambda p: p.proto == TCP and test(p.win))


def tcp_mss(b: Builder, value: str | None) -> None:
    """The maximum segment size in a SYN."""
    test = compare("tcp.mss", value, 65535)
    b.test(lambda p: p.proto == TCP and p.mss >= 0 and test(p.mss))


def _is_icmp(p: Packet) -> bool:
    return p.proto in (ICMP, ICMPV6) and p.kind >= 0


def itype(b: Builder, value: str | None) -> None:
    """ICMP's type."""
    test = compare("itype", value, 255)
    b.test(lambda p: _is_icmp(p) and test(p.kind))


def icode(b: Builder, value: str | None) -> None:
    """ICMP's code."""
    test = compare("icode", value, 255)
    b.test(lambda p: _is_icmp(p) and test(p.code))


def icmp_id(b: Builder, value: str | None) -> None:
    """The identifier of an echo."""
    number = whole("icmp_id", (value or "").strip('"'), 0, 65535)
    b.test(lambda p: _is_icmp(p) and p.icmp_id == number)


def icmp_seq(b: Builder, value: str | None) -> None:
    """The sequence number of an echo."""
    number = whole("icmp_seq", (value or "").strip('"'), 0, 65535)
    b.test(lambda p: _is_icmp(p) and p.icmp_seq == number)


def icmpv6_mtu(b: Builder, value: str | None) -> None:
    """The MTU in a packet-too-big."""
    test = compare("icmpv6.mtu", value)
    b.test(
        lambda p: (
            p.proto == ICMPV6 and p.kind == 2 and test(int.from_bytes(p.data[p.l4 + 4 : p.l4 + 8], "big"))
        )
    )


def dsize(b: Builder, value: str | None) -> None:
    """The size of a packet's payload."""
    low, high, negated = bounds("dsize", value, 65535)
    b.test(lambda p: (low <= p.end - p.pay <= high) != negated)
    b.rule.needs_packet = b.rule.real_packet = True
    b.dsize = True


KEYWORDS = {
    "ttl": ttl,
    "tos": tos,
    "id": ident,
    "ipopts": ipopts,
    "fragbits": fragbits,
    "fragoffset": fragoffset,
    "ip_proto": ip_proto,
    "sameip": sameip,
    "flags": flags,
    "tcp.flags": flags,
    "ack": ack,
    "tcp.ack": ack,
    "seq": seq,
    "tcp.seq": seq,
    "window": window,
    "tcp.window": window,
    "tcp.mss": tcp_mss,
    "itype": itype,
    "icode": icode,
    "icmp_id": icmp_id,
    "icmp_seq": icmp_seq,
    "icmpv6.mtu": icmpv6_mtu,
    "dsize": dsize,
}
