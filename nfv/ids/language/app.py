"""Keywords about application protocols that are no buffers: urilen, tls.*, ssl_*, dns.*, ssh versions."""

from __future__ import annotations

import re
from typing import Any

from nfv.ids.app.dns import names as dns_names
from nfv.ids.language.builder import Builder
from nfv.ids.language.numbers import bounds, compare
from nfv.ids.language.rule import TO_CLIENT, TO_SERVER
from nfv.ids.language.text import Problem, content, negation, unquote
from nfv.ids.match.ops import Content, Size


def urilen(b: Builder, value: str | None) -> None:
    """The length of the URI: ``5``, ``<5``, ``>5``, ``3<>9``, with ``,norm`` (as without) or ``,raw``."""
    size, _, kind = (value or "").partition(",")
    kind = kind.strip() or "norm"
    if kind not in ("norm", "raw"):
        raise Problem("urilen", f"{kind!r} is unknown; there are norm and raw")
    low, high, negated = bounds("urilen", size, 65535)
    b.add(Size(low=low, high=high, negated=negated), "http.uri" if kind == "norm" else "http.uri.raw")


def _legacy_tls(keyword: str, buffer: str) -> Any:
    def handle(b: Builder, value: str | None) -> None:
        negated, rest = negation(value)
        pattern = content(keyword, unquote(keyword, rest))
        sticky, b.sticky = b.sticky, None
        b.add(Content(pattern=pattern, negated=negated), buffer)
        b.sticky = sticky

    return handle


_VERSIONS = {
    "sslv2": 0x0002, "sslv3": 0x0300, "tls1.0": 0x0301, "tls1.1": 0x0302, "tls1.2": 0x0303, "tls1.3": 0x0304,
    "1.0": 0x0301, "1.1": 0x0302, "1.2": 0x0303, "1.3": 0x0304,
}  # fmt: skip


def tls_version(b: Builder, value: str | None) -> None:
    """``tls.version:1.2``."""
    text = unquote("tls.version", value).strip().lower()
    number = _VERSIONS.get(text) if text in _VERSIONS else None
    if number is None:
        if not re.fullmatch(r"0x[0-9a-f]{4}", text):
            raise Problem("tls.version", f"{text!r} is unknown; there are 1.0, 1.1, 1.2, 1.3, 0x0303")
        number = int(text, 16)
    b.tx_test("tls", TO_SERVER | TO_CLIENT, lambda tx: tx.version == number)


def ssl_version(b: Builder, value: str | None) -> None:
    """``ssl_version:tls1.2,tls1.3``, each may be negated."""
    wanted: set[int] = set()
    without: set[int] = set()
    for word in (value or "").strip('"').split(","):
        negated, name = negation(word.strip().lower())
        if name not in _VERSIONS or name[0].isdigit():
            raise Problem(
                "ssl_version", f"{name!r} is unknown; there are sslv2, sslv3, tls1.0, tls1.1, tls1.2, tls1.3"
            )
        (without if negated else wanted).add(_VERSIONS[name])
    if wanted and without:
        raise Problem("ssl_version", "negated and plain versions can't be together")
    b.tx_test(
        "tls",
        TO_SERVER | TO_CLIENT,
        lambda tx: tx.version in wanted if wanted else bool(tx.version) and tx.version not in without,
    )


_STATES = ("client_hello", "server_hello", "client_keyx", "server_keyx", "unknown")


def ssl_state(b: Builder, value: str | None) -> None:
    """``ssl_state:client_hello``, alternatives parted by ``|``."""
    plain: set[str] = set()
    not_: set[str] = set()
    for word in (value or "").strip('"').replace(",", "|").split("|"):
        negated, name = negation(word.strip())
        if name not in _STATES[:4]:
            raise Problem(
                "ssl_state", f"{name!r} is unknown or not supported; there are {', '.join(_STATES[:4])}"
            )
        (not_ if negated else plain).add(name)
    sides = {TO_CLIENT if name.startswith("server") else TO_SERVER for name in plain | not_}
    b.tx_test("tls", sum(sides), lambda tx: bool(plain & tx.states) or bool(not_ and not not_ & tx.states))


def tls_chain(b: Builder, value: str | None) -> None:
    """Certificates in the server's chain."""
    test = compare("tls.cert_chain_len", value)
    b.tx_test("tls", TO_CLIENT, lambda tx: bool(tx.chain) and test(len(tx.chain)))


_OPCODES = {"QUERY": 0, "IQUERY": 1, "STATUS": 2, "NOTIFY": 4, "UPDATE": 5}


def _dns_number(keyword: str, high: int, get: Any, names: dict[str, int]) -> Any:
    def handle(b: Builder, value: str | None) -> None:
        text = (value or "").strip()
        negated, name = negation(text)
        if name and name.upper() in names:
            text = ("!" if negated else "") + str(names[name.upper()])
        test = compare(keyword, text, high)
        b.tx_test("dns", TO_SERVER | TO_CLIENT, lambda tx: any(test(number) for number in get(tx)))

    return handle


def ssh_protoversion(b: Builder, value: str | None) -> None:
    """``ssh.protoversion:2.0`` or ``2_compat``."""
    text = unquote("ssh.protoversion", value)
    versions = ("2", "2.0", "1.99") if text == "2_compat" else (text,)
    b.tx_test(
        "ssh", TO_SERVER | TO_CLIENT, lambda tx: any(v.decode("latin-1") in versions for v in tx.protos)
    )


KEYWORDS = {
    "urilen": urilen,
    "tls.subject": _legacy_tls("tls.subject", "tls.cert_subject"),
    "tls.issuerdn": _legacy_tls("tls.issuerdn", "tls.cert_issuer"),
    "tls.fingerprint": _legacy_tls("tls.fingerprint", "tls.cert_fingerprint"),
    "tls.version": tls_version,
    "ssl_version": ssl_version,
    "ssl_state": ssl_state,
    "tls.cert_chain_len": tls_chain,
    "dns.opcode": _dns_number("dns.opcode", 15, lambda tx: tx.opcodes, _OPCODES),
    "dns.rcode": _dns_number("dns.rcode", 4095, lambda tx: tx.rcodes, dns_names.RCODES),
    "dns.rrtype": _dns_number("dns.rrtype", 65535, lambda tx: tx.rrtypes, dns_names.TYPES),
    "ssh.protoversion": ssh_protoversion,
}
