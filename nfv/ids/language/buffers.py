"""Buffers that rules search: their names (new, old, and letters of pcre), their sources, and transforms.

User guide "HTTP Keywords", "DNS Keywords", "SSL/TLS Keywords", "JA3 Keywords", "SSH Keywords", "File
Keywords", "Transformations".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from nfv.ids.language.text import Problem
from nfv.ids.match.regex import Regex
from nfv.ids.match.work import Exhausted, Work

SERVER, CLIENT = 1, 2


@dataclass(frozen=True, slots=True)
class Buffer:
    """``protos``: application protocols; ``directions`` 1: to server, 2: to client; ``many``: a list of
    buffers.
    """

    name: str
    protos: tuple[str, ...]
    directions: int
    many: bool = False
    header: bool = False


def _table() -> dict[str, Buffer]:
    table: dict[str, Buffer] = {}

    def add(protos: str, directions: int, names: str, many: bool = False) -> None:
        for name in names.split():
            table[name] = Buffer(name, tuple(protos.split()), directions, many)

    add(
        "http",
        SERVER,
        "http.uri http.uri.raw http.method http.request_line http.request_body http.host http.host.raw",
    )
    add("http", SERVER, "http.user_agent http.referer http.accept http.accept_enc http.accept_lang")
    add(
        "http", SERVER | CLIENT, "http.header http.header.raw http.header_names http.cookie http.content_type"
    )
    add("http", SERVER | CLIENT, "http.content_len http.connection http.protocol http.start")
    add("http", CLIENT, "http.stat_code http.stat_msg http.response_line http.server http.location")
    add("http", CLIENT, "http.response_body")
    add("http", SERVER | CLIENT, "file.data file.name", many=True)
    add("http", SERVER, "http.request_header", many=True)
    add("http", CLIENT, "http.response_header", many=True)
    add("dns", SERVER | CLIENT, "dns.queries.rrname dns.answers.rrname dns.authorities.rrname", many=True)
    add("dns", SERVER | CLIENT, "dns.additionals.rrname", many=True)
    add("dns", SERVER, "dns.query", many=True)
    add("dns", CLIENT, "dns.response.rrname", many=True)
    add("tls", SERVER, "tls.sni ja3.hash ja3.string")
    add("tls", SERVER, "tls.alpn", many=True)
    add(
        "tls",
        CLIENT,
        "tls.cert_subject tls.cert_issuer tls.cert_serial tls.cert_fingerprint ja3s.hash ja3s.string",
    )
    add("tls", CLIENT, "tls.certs tls.subjectaltname", many=True)
    add("ssh", SERVER | CLIENT, "ssh.proto ssh.software")
    for name in ("ipv4.hdr", "ipv6.hdr", "tcp.hdr", "udp.hdr", "icmpv4.hdr", "icmpv6.hdr"):
        table[name] = Buffer(name, (), SERVER | CLIENT, header=True)
    return table


BUFFERS = _table()

GROWING = frozenset({"file.data", "file.name", "http.request_body", "http.response_body"})
"""Buffers that grow in size or number while a message arrives."""

STICKY = {
    **{name: name for name in BUFFERS},
    "file_data": "file.data",
    "dns_query": "dns.query",
    "dns.query.name": "dns.queries.rrname",
    "dns.queries.rrname": "dns.queries.rrname",
    "dns.answer.name": "dns.answers.rrname",
    "tls_sni": "tls.sni",
    "tls_cert_subject": "tls.cert_subject",
    "tls_cert_issuer": "tls.cert_issuer",
    "tls_cert_serial": "tls.cert_serial",
    "tls_cert_fingerprint": "tls.cert_fingerprint",
    "ja3_hash": "ja3.hash",
    "ja3_string": "ja3.string",
    "ja3s_hash": "ja3s.hash",
    "ja3s_string": "ja3s.string",
    "http_accept": "http.accept",
    "http_accept_enc": "http.accept_enc",
    "http_accept_lang": "http.accept_lang",
    "http_connection": "http.connection",
    "http_content_len": "http.content_len",
    "http_content_type": "http.content_type",
    "http_header_names": "http.header_names",
    "http_protocol": "http.protocol",
    "http_referer": "http.referer",
    "http_request_line": "http.request_line",
    "http_response_line": "http.response_line",
    "http_start": "http.start",
    "ssh_proto": "ssh.proto",
    "ssh_software": "ssh.software",
}
"""Keywords that select the buffer of the conditions after them."""

MODIFIERS = {
    "http_uri": "http.uri",
    "http_raw_uri": "http.uri.raw",
    "http_method": "http.method",
    "http_client_body": "http.request_body",
    "http_header": "http.header",
    "http_raw_header": "http.header.raw",
    "http_cookie": "http.cookie",
    "http_user_agent": "http.user_agent",
    "http_host": "http.host",
    "http_raw_host": "http.host.raw",
    "http_stat_code": "http.stat_code",
    "http_stat_msg": "http.stat_msg",
    "http_server_body": "http.response_body",
}
"""Keywords that select the buffer of the content before them."""

PCRE_LETTERS = {
    "U": "http.uri",
    "I": "http.uri.raw",
    "P": "http.request_body",
    "Q": "http.response_body",
    "H": "http.header",
    "D": "http.header.raw",
    "M": "http.method",
    "C": "http.cookie",
    "S": "http.stat_code",
    "Y": "http.stat_msg",
    "V": "http.user_agent",
    "W": "http.host",
    "Z": "http.host.raw",
}

_XOR_LIMIT = 64


def _url_decode(data: bytes, _: str) -> bytes:
    decoded = re.sub(rb"%([0-9a-fA-F]{2})", lambda m: bytes((int(m[1], 16),)), data.replace(b"+", b" "))
    return decoded


def _xor(data: bytes, key: str) -> bytes:
    raw, size = bytes.fromhex(key), len(data)
    pad = (raw * (size // len(raw) + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def _lower_names(data: bytes, _: str) -> bytes:
    return b"\n".join(
        name.lower() + colon + rest
        for name, colon, rest in (line.partition(b":") for line in data.split(b"\n"))
    )


def _strip_pseudo(data: bytes, _: str) -> bytes:
    return b"\n".join(line for line in data.split(b"\n") if not line.startswith(b":"))


def _domain(data: bytes, _: str) -> bytes:
    parts = data.split(b".")
    return b".".join(parts[-2:])


def _from_base64(data: bytes, _: str) -> bytes:
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    try:
        return base64.b64decode(kept + b"=" * (-len(kept) % 4))
    except binascii.Error:
        return base64.b64decode(kept[: len(kept) // 4 * 4])


TRANSFORMS: dict[str, Any] = {
    "dotprefix": lambda data, _: b"." + data,
    "to_lowercase": lambda data, _: data.lower(),
    "to_uppercase": lambda data, _: data.upper(),
    "strip_whitespace": lambda data, _: re.sub(rb"[\t\n\v\f\r ]", b"", data),
    "compress_whitespace": lambda data, _: re.sub(rb"([\t\n\v\f\r ])[\t\n\v\f\r ]+", rb"\1", data),
    "to_md5": lambda data, _: hashlib.md5(data, usedforsecurity=False).digest(),
    "to_sha1": lambda data, _: hashlib.sha1(data, usedforsecurity=False).digest(),
    "to_sha256": lambda data, _: hashlib.sha256(data).digest(),
    "url_decode": _url_decode,
    "header_lowercase": _lower_names,
    "strip_pseudo_headers": _strip_pseudo,
    "xor": _xor,
    "from_base64": _from_base64,
    "pcrexform": None,
}
"""Functions from (bytes, option) to bytes; ``pcrexform`` is compiled by its rule."""


def check_transform(name: str, value: str | None) -> str:
    """The option of a transform. Raises Problem."""
    text = (value or "").strip().strip('"')
    if name == "xor":
        if not re.fullmatch(r"([0-9a-fA-F]{2})+", text) or len(text) > 2 * _XOR_LIMIT:
            raise Problem(name, "needs a key of hexadecimal digits in pairs")
    elif name == "pcrexform":
        import pcre2

        try:
            pattern = pcre2.compile(text.encode("latin-1"))
        except Exception as error:
            raise Problem(name, f"the expression can't be compiled: {error}") from None
        if pattern.groups < 1:
            raise Problem(name, "needs an expression with a group")
    elif text and name != "from_base64":
        raise Problem(name, "takes no value")
    elif text:
        raise Problem(name, "options are not supported")
    return text


def transformed(data: bytes, transforms: tuple[tuple[str, str], ...], work: Work) -> bytes:
    """The buffer after its transforms, one after the other, as long as steps are left."""
    try:
        for name, option in transforms:
            work.take(1 + len(data) // 128)
            data = _pcrexform(data, option, work) if name == "pcrexform" else TRANSFORMS[name](data, option)
    except Exhausted:
        pass  # the bytes stay as they are
    return data


_compiled: dict[str, Regex] = {}


def _pcrexform(data: bytes, option: str, work: Work) -> bytes:
    pattern = _compiled.get(option)
    if pattern is None:
        pattern = _compiled[option] = Regex(option.encode("latin-1", "replace"))
    group = pattern.group(data, work)
    return data if group is None else group
