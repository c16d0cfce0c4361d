"""An HTTP transaction: its data as buffers for rules and as EVE (user guide "HTTP Keywords", "EVE JSON
Format").
"""

from __future__ import annotations

from typing import Any

from nfv.ids.app.base import Tx, Value
from nfv.ids.app.http.body import Body, Budget
from nfv.ids.app.http.files import File, Multipart, boundary, disposition_name
from nfv.ids.app.http.lines import Fields, codings
from nfv.ids.app.uri import authority, host_name, normalized

NOT, LINE, HEAD, BODY, DONE = range(5)
"""The progress of a message: nothing, its first line, its headers, parts of its body, all."""

LIMIT = 102400
"""Bytes of a body that are kept for inspection (Suricata's ``request-body-limit`` and
``response-body-limit``).
"""
FILES_LIMIT = 1 << 20
"""Bytes of all files of a form that are kept."""
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


class HttpTx(Tx):
    """A request and its response."""

    proto = "http"
    __slots__ = (
        "_cache",
        "eager",
        "files_logged",
        "heads",
        "method",
        "multipart",
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
        self.request_headers, self.response_headers = Fields(), Fields()
        self.request_raw, self.response_raw = bytearray(), bytearray()
        self.request_body = Body(LIMIT, budget)
        self.response_body = Body(LIMIT, budget)
        self.request_body.inspect_at, self.response_body.inspect_at = MINIMUM[True], MINIMUM[False]
        self.multipart: Multipart | None = None
        self.files_logged = self.heads = 0
        self._cache: dict[str, Value] = {}

    def header(self, toserver: bool, name: bytes) -> bytes | None:
        """The value of a header by its name in small letters, as far as headers have come."""
        return (self.request_headers if toserver else self.response_headers).by_name.get(name)

    def body(self, toserver: bool) -> Body:
        """A direction's body."""
        return self.request_body if toserver else self.response_body

    def begin_body(self, toserver: bool) -> bool:
        """All headers are there: set up for the body; False when its codings are not all understood."""
        body = self.request_body if toserver else self.response_body
        border = boundary(self.header(True, b"content-type") or b"") if toserver else b""
        if border:
            self.multipart = Multipart(border, self._file_body)
        coding = self.header(toserver, b"content-encoding")
        if not coding:
            return True
        names, understood = codings(coding)
        return body.encoded_by(names) and understood

    def _file_body(self) -> Body:
        """Where a part's bytes go: all of them together have a limit, too."""
        assert self.multipart is not None
        used = sum(len(file.body.kept) for file in self.multipart.files)
        return Body(min(LIMIT, max(FILES_LIMIT - used, 0)), self.request_body.budget)

    def add(self, toserver: bool, data: bytes) -> None:
        """More bytes of a body."""
        body = self.request_body if toserver else self.response_body
        body.wire += len(data)
        decoded = body.add(data)
        if toserver:
            self.progress_ts, self.touched_ts = BODY, True
            if self.multipart is not None:
                self.multipart.feed(decoded)
        else:
            self.progress_tc, self.touched_tc = BODY, True

    def complete(self, toserver: bool) -> None:
        """A message is complete."""
        rest = (self.request_body if toserver else self.response_body).end()
        if not toserver:
            self.progress_tc, self.done_tc, self.touched_tc = DONE, True, True
            return
        if self.multipart is not None:
            self.multipart.feed(rest)
            self.multipart.end()
        self.progress_ts, self.done_ts, self.touched_ts = DONE, True, True

    def hurry(self) -> None:
        """The connection may have ended: from now on, inspect bodies immediately, as far as they came."""
        self.eager = self.touched_ts = self.touched_tc = True

    def forget_response(self) -> None:
        """The response was an interim one."""
        self.response_headers = Fields()
        self.response_raw = bytearray()
        self.response_line = self.response_protocol = self.status = self.status_text = b""
        self.progress_tc = NOT
        if self.state_tc is not None:
            self.state_tc.restart()
        self._cache = {key: value for key, value in self._cache.items() if key[0] != "<"}

    def get(self, name: str, toserver: bool) -> Value:
        """See ``Tx.get``."""
        if name == "file.data":
            return self._files(toserver)
        if name in ("http.request_body", "http.response_body"):
            return self._body(toserver) if toserver == (name == "http.request_body") else []
        if name == "file.name":
            return self._names(toserver)
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
        if self.done_ts if toserver else self.done_tc:
            return [body.data] if body.length else []
        if body.length and (self.eager or len(body.kept) >= body.inspect_at):
            return [body.data]
        return None

    def files(self, toserver: bool) -> list[File]:
        """The body of a direction, as far as it is known."""
        if toserver and self.multipart is not None:
            return self.multipart.files
        body = self.request_body if toserver else self.response_body
        if not body.length:
            return []
        file = File(self.filename(toserver), body)
        file.done = self.done_ts if toserver else self.done_tc
        return [file]

    def _files(self, toserver: bool) -> Value:
        if not toserver or self.multipart is None:
            return self._body(toserver)
        files = self.multipart.files
        if not self.done_ts and not any(self._ready(file) and not file.inspected for file in files):
            return None
        return [file.body.data for file in files if self._ready(file)]

    def _ready(self, file: File) -> bool:
        body = file.body
        return bool(body.length) and (
            file.done or self.done_ts or self.eager or len(body.kept) >= body.inspect_at
        )

    def _names(self, toserver: bool) -> Value:
        if toserver and self.multipart is not None:
            names = [file.name for file in self.multipart.files]
            return names if names or self.done_ts else None
        if (self.progress_ts if toserver else self.progress_tc) < HEAD:
            return [] if (self.done_ts if toserver else self.done_tc) else None
        return [self.filename(toserver)] if self.uri else []

    def release(self, toserver: bool) -> None:
        """The body of a direction was inspected to its end."""
        (self.request_body if toserver else self.response_body).release()
        if toserver and self.multipart is not None:
            for file in self.multipart.files:
                file.body.release()

    def forget(self) -> None:
        """See ``Tx.forget``."""
        self.release(True)
        self.release(False)
        self.request_body.budget.used -= self.heads
        self.heads = 0

    def inspected(self, toserver: bool) -> None:
        """The present body was inspected; sets when to inspect it again."""
        body = self.request_body if toserver else self.response_body
        if len(body.kept) >= body.inspect_at:
            body.inspect_at = len(body.kept) + STEP
        if toserver and self.multipart is not None:
            for file in self.multipart.files:
                if file.done:
                    file.inspected = True
                elif len(file.body.kept) >= file.body.inspect_at:
                    file.body.inspect_at = len(file.body.kept) + STEP

    def _make(self, name: str, toserver: bool) -> Value:
        headers = (self.request_headers if toserver else self.response_headers).lines
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
            raw = self.raw_host()
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
            return [bytes(self.request_raw if toserver else self.response_raw)] if headers else []
        if name == "http.header_names":
            return [b"\r\n" + b"".join(k + b"\r\n" for k, _ in headers) + b"\r\n"] if headers else []
        if name == "http.start":
            line = self.request_line if toserver else self.response_line
            head = self.request_raw if toserver else self.response_raw
            return [line + b"\r\n" + bytes(head)] if line else []
        if name in ("http.request_header", "http.response_header"):
            return [k + b": " + v for k, v in headers]
        return []

    def raw_host(self) -> bytes | None:
        """The requested host: the URI's authority; without one, the field Host (RFC 9112, section 3.2.2)."""
        if self.method == b"CONNECT":
            return self.uri or None
        given = authority(self.uri)
        return self.header(True, b"host") if given is None else given

    def host(self) -> bytes | None:
        """The requested host, in small letters and without port."""
        value = self.raw_host()
        return None if value is None else host_name(value)

    def filename(self, toserver: bool) -> bytes:
        """The name of a body's file: from Content-Disposition, otherwise from the path of the URI."""
        name = disposition_name(self.header(toserver, b"content-disposition") or b"")
        return normalized(self.uri).partition(b"?")[0] if name is None else name.strip()

    def eve(self) -> dict[str, Any]:
        """The ``http`` object, with Suricata's extended fields."""
        out: dict[str, Any] = {}
        asked, answered = self.request_headers.by_name.get, self.response_headers.by_name.get
        given = self.raw_host()
        if given:
            out["hostname"] = words(host_name(given))
            _, colon, port = given.rpartition(b":")
            if colon and port.isdigit() and len(port) < 6 and int(port) < 65536:
                out["http_port"] = int(port)
        if self.uri:
            out["url"] = words(self.uri)
        agent = asked(b"user-agent")
        if agent is not None:
            out["http_user_agent"] = words(agent)
        forwarded = asked(b"x-forwarded-for")
        if forwarded:
            out["xff"] = words(forwarded)
        kind = answered(b"content-type")
        if kind is not None:
            out["http_content_type"] = words(kind.partition(b";")[0])
        referer = asked(b"referer")
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
            location = answered(b"location")
            if location is not None and 300 < out.get("status", 0) < 400:
                out["redirect"] = words(location)
        span = answered(b"content-range")
        if span is not None:
            out["content_range"] = {"raw": words(span)}
        out["length"] = self.response_body.wire
        return out


def words(value: bytes) -> str:
    """Bytes as text: bytes other than printable ASCII become \\xNN, as in Suricata."""
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
}
