"""An HTTP transaction: what of it is known, as buffers for rules and as EVE (user guide "HTTP Keywords", "EVE
JSON Format").
"""

from __future__ import annotations

import re
from typing import Any

from nfv.ids.app.base import Tx, Value
from nfv.ids.app.http_body import Body, Budget
from nfv.ids.app.uri import normalized

Headers = list[tuple[bytes, bytes]]

NOT, LINE, HEAD, BODY, DONE = range(5)
"""How far a message has come: nothing, its first line, its headers, parts of its body, all."""

LIMIT = 102400
"""Bytes of a body that are kept for inspection (Suricata's ``request-body-limit`` and
``response-body-limit``).
"""
MINIMUM = {True: 32768, False: 40960}
"""Bytes of a body that must be there before it is inspected, unless it is complete
(``…-body-minimal-inspect-size``).
"""
STEP = 16384
"""Bytes more after which it is inspected again (``response-body-inspect-window``)."""

_VALUES = {
    "http.user_agent": b"user-agent",
    "http.referer": b"referer",
    "http.accept": b"accept",
    "http.accept_enc": b"accept-encoding",
    "http.accept_lang": b"accept-language",
    "http.content_type": b"content-type",
    "http.content_len": b"content-length",
    "http.connection": b"connection",
    "http.server": b"server",
    "http.location": b"location",
}


def by_name(headers: Headers) -> dict[bytes, bytes]:
    """Values by name in small letters, those of several with a comma between (RFC 9110, section 5.3)."""
    found: dict[bytes, bytes] = {}
    for key, value in headers:
        key = key.lower()
        found[key] = found[key] + b", " + value if key in found else value
    return found


class HttpTx(Tx):
    """A request and its response."""

    proto = "http"
    __slots__ = (
        "_cache",
        "_request",
        "_response",
        "eager",
        "files_logged",
        "method",
        "progress_tc",
        "progress_ts",
        "protocol",
        "request_body",
        "request_headers",
        "request_line",
        "request_raw",
        "response_body",
        "response_headers",
        "response_line",
        "response_protocol",
        "response_raw",
        "status",
        "status_text",
        "uri",
    )

    def __init__(self, number: int, ts: float, eager: bool, budget: Budget | None = None) -> None:
        super().__init__(number, ts)
        self.eager = eager
        self.progress_ts = self.progress_tc = NOT
        self.method = self.uri = self.protocol = self.request_line = b""
        self.response_line = self.response_protocol = self.status = self.status_text = b""
        self.request_headers: Headers = []
        self.response_headers: Headers = []
        self.request_raw = self.response_raw = b""
        self.request_body = Body(LIMIT, budget)
        self.response_body = Body(LIMIT, budget)
        self.files_logged = 0
        self._cache: dict[str, Value] = {}
        self._request: dict[bytes, bytes] = {}
        self._response: dict[bytes, bytes] = {}

    def header(self, toserver: bool, name: bytes) -> bytes | None:
        """The value of a header by its name in small letters."""
        if toserver:
            if not self._request and self.request_headers:
                self._request = by_name(self.request_headers)
            return self._request.get(name)
        if not self._response and self.response_headers:
            self._response = by_name(self.response_headers)
        return self._response.get(name)

    def forget_response(self) -> None:
        """The response was an interim one."""
        self.response_headers, self._response = [], {}
        self.response_raw = self.response_line = self.status = self.status_text = b""
        self.progress_tc = NOT

    def get(self, name: str, toserver: bool) -> Value:
        """See ``Tx.get``."""
        if name in ("http.request_body", "http.response_body", "file.data"):
            if (name == "http.request_body" and not toserver) or (name == "http.response_body" and toserver):
                return []
            return self._body(toserver)
        progress = self.progress_ts if toserver else self.progress_tc
        needs = LINE if name in _AT_LINE else HEAD
        if progress < needs:
            return [] if (self.done_ts if toserver else self.done_tc) else None
        key = name if toserver else "<" + name
        if key not in self._cache:
            self._cache[key] = self._make(name, toserver)
        return self._cache[key]

    def _body(self, toserver: bool) -> Value:
        body = self.request_body if toserver else self.response_body
        complete = self.done_ts if toserver else self.done_tc
        if complete:
            return [body.data] if body.length else []
        if body.length and (self.eager or len(body.kept) >= body.inspect_at):
            return [body.data]
        return None

    def release(self, toserver: bool) -> None:
        """The body of a direction was inspected to its end."""
        (self.request_body if toserver else self.response_body).release()

    def forget(self) -> None:
        """See ``Tx.forget``."""
        self.request_body.release()
        self.response_body.release()

    def inspected(self, toserver: bool) -> None:
        """The body was inspected as far as it is there: say when next."""
        body = self.request_body if toserver else self.response_body
        if len(body.kept) >= body.inspect_at:
            body.inspect_at = len(body.kept) + STEP

    def _make(self, name: str, toserver: bool) -> Value:
        headers = self.request_headers if toserver else self.response_headers
        if name in _VALUES:
            value = self.header(toserver, _VALUES[name])
            return [] if value is None else [value]
        if name == "http.uri":
            return [normalized(self.uri)] if self.uri else []
        if name == "http.uri.raw":
            return [self.uri] if self.uri else []
        if name == "http.method":
            return [self.method] if self.method else []
        if name == "http.protocol":
            protocol = self.protocol if toserver else self.response_protocol
            return [protocol] if protocol else []
        if name == "http.request_line":
            return [self.request_line] if self.request_line else []
        if name == "http.response_line":
            return [self.response_line] if self.response_line else []
        if name == "http.stat_code":
            return [self.status] if self.status else []
        if name == "http.stat_msg":
            return [self.status_text] if self.status_text else []
        if name == "http.host":
            host = self.host()
            return [] if host is None else [host]
        if name == "http.host.raw":
            raw = self.header(True, b"host")
            return [] if raw is None else [raw]
        if name == "http.cookie":
            value = self.header(toserver, b"cookie" if toserver else b"set-cookie")
            return [] if value is None else [value]
        if name == "http.header":
            lines = [
                k + b": " + v + b"\r\n" for k, v in headers if k.lower() not in (b"cookie", b"set-cookie")
            ]
            return [b"".join(lines)] if lines else []
        if name == "http.header.raw":
            raw = self.request_raw if toserver else self.response_raw
            return [raw] if headers else []
        if name == "http.header_names":
            return [b"\r\n" + b"".join(k + b"\r\n" for k, _ in headers) + b"\r\n"] if headers else []
        if name == "http.start":
            line = self.request_line if toserver else self.response_line
            return [line + b"\r\n" + (self.request_raw if toserver else self.response_raw)] if line else []
        if name in ("http.request_header", "http.response_header"):
            return [k + b": " + v for k, v in headers]
        if name == "file.name":
            return [self.filename()] if self.uri else []
        return []

    def host(self) -> bytes | None:
        """The host that is asked, in small letters and without port."""
        value = self.header(True, b"host")
        if value is None:
            scheme, mark, rest = self.uri.partition(b"://")
            if not mark or b"/" in scheme:
                return None
            value = rest.split(b"/")[0]
        value = value.strip().lower()
        if value.startswith(b"["):
            return value.partition(b"]")[0] + b"]"
        return value.partition(b":")[0]

    def filename(self) -> bytes:
        """The path of the URI, which names a file."""
        given = re.search(rb'filename\s*=\s*"?([^";]+)', self.header(False, b"content-disposition") or b"")
        return given[1].strip() if given else normalized(self.uri).partition(b"?")[0]

    def eve(self) -> dict[str, Any]:
        """The ``http`` object, with Suricata's extended fields."""
        out: dict[str, Any] = {}
        host = self.host()
        if host:
            out["hostname"] = words(host)
            port = (self.header(True, b"host") or b"").rpartition(b":")[2]
            if port.isdigit() and b":" in (self.header(True, b"host") or b"") and int(port) < 65536:
                out["http_port"] = int(port)
        if self.uri:
            out["url"] = words(self.uri)
        for key, name in (("http_user_agent", b"user-agent"), ("xff", b"x-forwarded-for")):
            value = self.header(True, name)
            if value is not None and (value or key != "xff"):
                out[key] = words(value)
        kind = self.header(False, b"content-type")
        if kind is not None:
            out["http_content_type"] = words(kind.partition(b";")[0])
        referer = self.header(True, b"referer")
        if referer is not None:
            out["http_refer"] = words(referer)
        if self.method:
            out["http_method"] = words(self.method)
        if self.protocol or self.response_protocol:
            out["protocol"] = words(self.protocol or self.response_protocol)
        if self.status:
            if self.status.isdigit() and len(self.status) < 10:
                out["status"] = int(self.status)
            else:
                out["status_string"] = words(self.status)
            location = self.header(False, b"location")
            if location is not None and 300 < out.get("status", 0) < 400:
                out["redirect"] = words(location)
        span = self.header(False, b"content-range")
        if span is not None:
            out["content_range"] = {"raw": words(span)}
        out["length"] = self.response_body.wire
        return out


def words(value: bytes) -> str:
    """Bytes as text: what isn't printable ASCII becomes \\xNN, as Suricata writes it."""
    if value.isascii() and value.decode("ascii").isprintable():
        return value.decode("ascii")
    try:
        text = value.decode("utf-8")
        if text.isprintable():
            return text
    except UnicodeDecodeError:
        pass
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in value)


_AT_LINE = {
    "http.uri",
    "http.uri.raw",
    "http.method",
    "http.request_line",
    "http.response_line",
    "http.stat_code",
    "http.stat_msg",
    "http.protocol",
    "file.name",
}
