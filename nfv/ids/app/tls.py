"""TLS handshakes (RFC 8446, 5246, 6101): the unencrypted parts of client hello, server hello and
certificates; JA3.

JA3 and JA3S follow the definition of their authors (github.com/salesforce/ja3), GREASE (RFC 8701) left out.
Limits: handshake messages are reassembled up to 64 KiB; bytes after the handshake are not parsed.
"""

from __future__ import annotations

import hashlib
from typing import Any

from nfv.ids.app import der
from nfv.ids.app.base import Parser, Tx, Value

MAX_HANDSHAKE = 65536
_VERSIONS = {
    0x0002: "SSLv2",
    0x0300: "SSLv3",
    0x0301: "TLSv1",
    0x0302: "TLS 1.1",
    0x0303: "TLS 1.2",
    0x0304: "TLS 1.3",
}


def _grease(value: int) -> bool:
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 255


def version_name(version: int) -> str:
    """As EVE writes it."""
    if version & 0xFF00 == 0x7F00:
        return f"TLS 1.3 draft-{version & 255:02d}"
    return _VERSIONS.get(version, "UNDETERMINED")


class TlsTx(Tx):
    """The handshake of a connection."""

    proto = "tls"
    __slots__ = (
        "alpn",
        "certificate",
        "chain",
        "client_version",
        "ja3",
        "ja3s",
        "over_tc",
        "over_ts",
        "server_alpn",
        "sni",
        "states",
        "version",
    )

    def __init__(self, number: int, ts: float) -> None:
        super().__init__(number, ts)
        self.version = 0
        self.client_version = 0
        self.sni: bytes | None = None
        self.alpn: list[bytes] = []
        self.server_alpn: list[bytes] = []
        self.ja3 = self.ja3s = ""
        self.chain: list[bytes] = []
        self.certificate: der.Certificate | None = None
        self.states: set[str] = set()
        self.over_ts = self.over_tc = False

    def get(self, name: str, toserver: bool) -> Value:
        """See ``Tx.get``."""
        if toserver:
            if "client_hello" not in self.states:
                return [] if self.over_ts else None
            if name == "tls.sni":
                return [] if self.sni is None else [self.sni]
            if name == "tls.alpn":
                return self.alpn
            if name == "ja3.string":
                return [self.ja3.encode()] if self.ja3 else []
            if name == "ja3.hash":
                return [_md5(self.ja3).encode()] if self.ja3 else []
            return []
        if name in ("ja3s.string", "ja3s.hash"):
            if not self.ja3s:
                return [] if self.over_tc else None
            return [self.ja3s.encode()] if name == "ja3s.string" else [_md5(self.ja3s).encode()]
        if not self.chain:
            return [] if self.over_tc else None
        if name == "tls.certs":
            return self.chain
        certificate = self.certificate
        if certificate is None:
            return []
        if name == "tls.subjectaltname":
            return [text.encode() for text in certificate.names]
        values = {
            "tls.cert_subject": certificate.subject,
            "tls.cert_issuer": certificate.issuer,
            "tls.cert_serial": certificate.serial,
            "tls.cert_fingerprint": certificate.fingerprint,
        }
        return [values[name].encode()] if values.get(name) else []

    def eve(self) -> dict[str, Any]:
        """The ``tls`` object with Suricata's extended fields."""
        out: dict[str, Any] = {}
        certificate = self.certificate
        if certificate is not None:
            out["subject"], out["issuerdn"], out["serial"] = (
                certificate.subject,
                certificate.issuer,
                certificate.serial,
            )
            out["fingerprint"] = certificate.fingerprint
        elif not self.chain and self.version and self.version < 0x0304:
            out["session_resumed"] = True
        if self.sni is not None:
            out["sni"] = self.sni.decode("utf-8", "backslashreplace")
        out["version"] = version_name(self.version or self.client_version)
        if certificate is not None:
            out["notbefore"], out["notafter"] = certificate.not_before, certificate.not_after
            if certificate.names:
                out["subjectaltname"] = certificate.names
        if self.ja3:
            out["ja3"] = {"hash": _md5(self.ja3), "string": self.ja3}
        if self.ja3s:
            out["ja3s"] = {"hash": _md5(self.ja3s), "string": self.ja3s}
        if self.alpn:
            out["client_alpns"] = [value.decode("latin-1") for value in self.alpn]
        if self.server_alpn:
            out["server_alpns"] = [value.decode("latin-1") for value in self.server_alpn]
        return out


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class _Cut(Exception):
    """A message is shorter than its length field."""


class _Reader:
    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.end = data, 0, len(data)

    def number(self, size: int) -> int:
        if self.at + size > self.end:
            raise _Cut
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")

    def take(self, size: int) -> bytes:
        if self.at + size > self.end:
            raise _Cut
        self.at += size
        return self.data[self.at - size : self.at]

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))

    @property
    def more(self) -> bool:
        return self.at < self.end


class TlsParser(Parser):
    """Records of both directions until the handshake is encrypted."""

    proto = "tls"
    tx_name = "tls"

    def __init__(self) -> None:
        super().__init__()
        self._records = {True: bytearray(), False: bytearray()}
        self._handshake = {True: bytearray(), False: bytearray()}
        self._skip = {True: 0, False: 0}
        self._tx: TlsTx | None = None

    def feed(self, toserver: bool, data: bytes, ts: float) -> None:
        """See ``Parser.feed``."""
        if self._tx is None:
            self._tx = TlsTx(self.count, ts)
            self.count += 1
            self.txs.append(self._tx)
        tx = self._tx
        if tx.over_ts if toserver else tx.over_tc:
            return
        skip = min(self._skip[toserver], len(data))
        if skip:
            self._skip[toserver] -= skip
            data = data[skip:]
        buffer = self._records[toserver]
        buffer += data
        while len(buffer) >= 5:
            kind, size = buffer[0], buffer[3] << 8 | buffer[4]
            if buffer[0] & 0x80 and buffer[2] == 1 and toserver:
                self._old_hello(bytes(buffer), tx)
                buffer.clear()
                return
            if kind not in (20, 21, 22, 23, 24) or buffer[1] != 3:
                self.event("invalid_record_type")
                self._over(tx, toserver)
                return
            if size > 16384 + 2048:
                self.event("invalid_record_length")
                self._over(tx, toserver)
                return
            if kind == 23:
                self._over(tx, toserver)
                return
            if len(buffer) < 5 + size:
                return
            body = bytes(buffer[5 : 5 + size])
            del buffer[: 5 + size]
            if kind == 22:
                self._messages(tx, toserver, body)
            elif kind == 20 and tx.version != 0x0304:
                self._over(tx, toserver)
                return

    def incomplete(self) -> bool:
        """See ``Parser.incomplete``."""
        return self._tx is not None and not (self._tx.over_ts and self._tx.over_tc)

    def end(self, toserver: bool, ts: float) -> None:
        """A direction has ended: whole messages of a truncated record count, and certificates as far as they
        came."""
        tx = self._tx
        if tx is None or (tx.over_ts if toserver else tx.over_tc):
            return
        record, message = self._records[toserver], self._handshake[toserver]
        if len(record) > 5 and record[0] == 22 and record[1] == 3:
            self._messages(tx, toserver, bytes(record[5:]))
        if not toserver and len(message) > 7 and message[0] == 11 and not tx.chain:
            _certificates(self, tx, _Reader(bytes(message[4:])), cut=True)
        self._over(tx, toserver)

    def _over(self, tx: TlsTx, toserver: bool) -> None:
        """This side sends nothing unencrypted any more."""
        self._records[toserver].clear()
        if toserver:
            tx.over_ts = tx.done_ts = tx.touched_ts = True
            self.trigger_ts = True
        else:
            tx.over_tc = tx.done_tc = tx.touched_tc = True
            self.trigger_tc = True
        if tx.over_ts and tx.over_tc:
            self.failed_ts = self.failed_tc = True

    def _messages(self, tx: TlsTx, toserver: bool, body: bytes) -> None:
        buffer = self._handshake[toserver]
        buffer += body
        while len(buffer) >= 4:
            kind, size = buffer[0], int.from_bytes(buffer[1:4], "big")
            if size > MAX_HANDSHAKE:
                self.event("handshake_invalid_length")
                self._over(tx, toserver)
                return
            if len(buffer) < 4 + size:
                return
            message = bytes(buffer[4 : 4 + size])
            del buffer[: 4 + size]
            try:
                self._message(tx, toserver, kind, message)
            except (_Cut, IndexError):
                self.event("invalid_handshake_message")

    def _message(self, tx: TlsTx, toserver: bool, kind: int, message: bytes) -> None:
        if kind == 1 and toserver:
            _client_hello(tx, _Reader(message))
            tx.states.add("client_hello")
            tx.touched_ts = True
            self.trigger_ts = True
        elif kind == 2 and not toserver:
            _server_hello(tx, _Reader(message))
            tx.states.add("server_hello")
            tx.touched_tc = True
            self.trigger_tc = True
            if tx.version >= 0x0304:
                self._over(tx, False)
                self._over(tx, True)
        elif kind == 11 and not toserver:
            _certificates(self, tx, _Reader(message))
            tx.touched_tc = True
            self.trigger_tc = True
        elif kind == 12:
            tx.states.add("server_keyx")
            tx.touched_tc = True
        elif kind == 14 and not toserver:
            self._over(tx, False)
        elif kind == 16:
            tx.states.add("client_keyx")
            tx.touched_ts = True

    @staticmethod
    def _old_hello(data: bytes, tx: TlsTx) -> None:
        """A client hello of version 2 that offers a later one."""
        tx.client_version = data[3] << 8 | data[4]
        tx.states.add("client_hello")
        tx.over_ts = tx.done_ts = tx.touched_ts = True


def _extensions(reader: _Reader) -> list[tuple[int, bytes]]:
    if not reader.more:
        return []
    inner = _Reader(reader.vector(2))
    extensions: list[tuple[int, bytes]] = []
    while inner.more and len(extensions) < 256:
        extensions.append((inner.number(2), inner.vector(2)))
    return extensions


def _numbers(data: bytes, size: int) -> list[int]:
    return [int.from_bytes(data[i : i + size], "big") for i in range(0, len(data) - size + 1, size)]


def _joined(numbers: list[int]) -> str:
    return "-".join(str(number) for number in numbers if not _grease(number))


def _client_hello(tx: TlsTx, reader: _Reader) -> None:
    version = tx.client_version = reader.number(2)
    reader.take(32)
    reader.vector(1)
    ciphers = _numbers(reader.vector(2), 2)
    reader.vector(1)
    extensions = _extensions(reader)
    curves: list[int] = []
    formats: list[int] = []
    for kind, body in extensions:
        if kind == 0 and tx.sni is None:
            inner = _Reader(body)
            if body:
                names = _Reader(inner.vector(2))
                while names.more:
                    name_type, name = names.number(1), names.vector(2)
                    if name_type == 0:
                        tx.sni = name
                        break
        elif kind == 10:
            curves = _numbers(_Reader(body).vector(2), 2)
        elif kind == 11:
            formats = _numbers(_Reader(body).vector(1), 1)
        elif kind == 16:
            names = _Reader(_Reader(body).vector(2))
            while names.more:
                tx.alpn.append(names.vector(1))
    if tx.ja3:
        return  # a second hello, after the server asked for it (RFC 8446, section 4.1.2)
    tx.ja3 = ",".join(
        (
            str(version),
            _joined(ciphers),
            _joined([kind for kind, _ in extensions]),
            _joined(curves),
            "-".join(map(str, formats)),
        )
    )


def _server_hello(tx: TlsTx, reader: _Reader) -> None:
    version = tx.version = reader.number(2)
    reader.take(32)
    reader.vector(1)
    cipher = reader.number(2)
    reader.number(1)
    extensions = _extensions(reader)
    for kind, body in extensions:
        if kind == 43 and len(body) == 2:
            tx.version = int.from_bytes(body, "big")
        elif kind == 16:
            names = _Reader(_Reader(body).vector(2))
            while names.more:
                tx.server_alpn.append(names.vector(1))
    tx.ja3s = f"{version},{cipher},{'-'.join(str(kind) for kind, _ in extensions)}"


def _certificates(parser: TlsParser, tx: TlsTx, reader: _Reader, cut: bool = False) -> None:
    size = reader.number(3)
    chain = _Reader(reader.take(min(size, reader.end - reader.at) if cut else size))
    while chain.more and len(tx.chain) < 32:
        before = chain.at
        try:
            tx.chain.append(chain.vector(3))
        except _Cut:
            if not cut:
                raise
            tx.chain.append(chain.data[before + 3 :])
            break
    if tx.chain:
        try:
            tx.certificate = der.certificate(tx.chain[0])
        except (der.Invalid, IndexError):
            parser.event("invalid_certificate")
