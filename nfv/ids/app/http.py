"""HTTP/1 (RFC 9112): requests and responses from the bytes of both directions, in any pieces.

Tolerant in the way of servers: bare LF ends lines, headers may be folded, requests may come before responses
are through (pipelining), responses may come without requests when the connection was taken up midstream.
Limits: a line or header block of 64 KiB, 1,024 headers; beyond them the direction is given up.
"""

from __future__ import annotations

import re

from nfv.ids.app.base import Parser
from nfv.ids.app.http_body import Budget
from nfv.ids.app.http_tx import BODY, DONE, HEAD, LINE, MINIMUM, Headers, HttpTx

MAX_HEAD = 65536
MAX_HEADERS = 1024

_IDLE, _HEAD, _LENGTH, _CHUNK, _CHUNK_DATA, _CHUNK_END, _TRAILER, _CLOSE, _STOP = range(9)


class _Side:
    __slots__ = ("buffer", "mode", "remaining", "tx")

    def __init__(self) -> None:
        self.mode = _IDLE
        self.buffer = bytearray()
        self.remaining = 0
        self.tx: HttpTx | None = None


class HttpParser(Parser):
    """Both directions of a connection."""

    proto = "http"
    tx_name = "http"

    def __init__(self, eager: bool = False, budget: Budget | None = None) -> None:
        super().__init__()
        self._budget = budget
        self._eager = eager
        self._sides = {True: _Side(), False: _Side()}
        self._waiting: list[HttpTx] = []  # requests whose response has not begun

    def feed(self, toserver: bool, data: bytes, ts: float) -> None:
        """See ``Parser.feed``."""
        side = self._sides[toserver]
        while data or side.mode == _CLOSE:
            mode = side.mode
            if mode == _STOP:
                return
            if mode in (_LENGTH, _CHUNK_DATA, _CLOSE):
                data = self._body(side, toserver, data)
                if not data:
                    return
                continue
            line, data = self._line(side, data)
            if line is None:
                if len(side.buffer) > MAX_HEAD:
                    self.event("REQUEST_FIELD_TOO_LONG" if toserver else "RESPONSE_FIELD_TOO_LONG")
                    self._stop(side, toserver)
                return
            if mode == _IDLE:
                self._first_line(side, toserver, line, ts)
            elif mode == _HEAD:
                self._header(side, toserver, line)
            elif mode == _CHUNK:
                self._chunk(side, toserver, line)
            elif mode == _CHUNK_END:
                self._wire(side, toserver, len(line))
                side.mode = _CHUNK
            elif mode == _TRAILER:
                self._wire(side, toserver, len(line))
                if not line.strip():
                    self._complete(side, toserver)

    @staticmethod
    def _line(side: _Side, data: bytes) -> tuple[bytes | None, bytes]:
        end = data.find(b"\n")
        if end < 0:
            side.buffer += data
            return None, b""
        line = bytes(side.buffer) + data[: end + 1] if side.buffer else data[: end + 1]
        side.buffer.clear()
        return line, data[end + 1 :]

    # ------------------------------------------------------------ first lines and headers

    def _first_line(self, side: _Side, toserver: bool, line: bytes, ts: float) -> None:
        text = line.rstrip(b"\r\n")
        if not text.strip():
            return  # empty lines between messages (RFC 9112, section 2.2)
        if toserver:
            self._request_line(side, text, ts)
        else:
            self._status_line(side, text, ts)

    def _new(self, ts: float) -> HttpTx:
        tx = HttpTx(self.count, ts, self._eager, self._budget)
        tx.request_body.inspect_at, tx.response_body.inspect_at = MINIMUM[True], MINIMUM[False]
        self.count += 1
        self.txs.append(tx)
        self.overflow()
        return tx

    def _request_line(self, side: _Side, text: bytes, ts: float) -> None:
        tx = self._new(ts)
        self._waiting.append(tx)
        tx.request_line = text
        method, _, rest = text.lstrip().partition(b" ") if b" " in text else (*text.partition(b"\t"),)
        rest = rest.strip()
        head, _, last = rest.rpartition(b" ")
        if last[:5].upper() == b"HTTP/" and head:
            tx.uri, tx.protocol = head.strip(), last
        elif last[:5].upper() == b"HTTP/" and not head:
            tx.uri, tx.protocol = b"", last
        else:
            tx.uri = rest
            self.event("REQUEST_LINE_INCOMPLETE", tx.number)
        tx.method = method
        tx.progress_ts = LINE
        tx.touched_ts = True
        side.tx = tx
        if not tx.protocol and re.match(rb"\S*$", rest):  # HTTP/0.9: no headers
            tx.progress_ts = HEAD
            self._complete(side, True)
            return
        side.mode = _HEAD

    def _status_line(self, side: _Side, text: bytes, ts: float) -> None:
        if self._waiting:
            tx = self._waiting.pop(0)
        else:
            tx = self._new(ts)
            if not text.startswith(b"HTTP"):
                self.txs.pop()
                self.count -= 1
                self._stop(side, False)
                return
            self.event("UNABLE_TO_MATCH_RESPONSE_TO_REQUEST", tx.number)
            tx.uri = b"/libhtp::request_uri_not_seen"  # what Suricata shows for it
            tx.progress_ts, tx.done_ts = DONE, True
        tx.response_line = text
        if not text.startswith(b"HTTP"):
            # a response without a status line: HTTP/0.9
            side.tx, side.mode = tx, _CLOSE
            tx.progress_tc = HEAD
            tx.touched_tc = True
            tx.response_body.wire += len(text)
            tx.response_body.add(text + b"\n")
            return
        parts = text.split(None, 2)
        tx.response_protocol = parts[0]
        tx.status = parts[1] if len(parts) > 1 else b""
        tx.status_text = parts[2] if len(parts) > 2 else b""
        if not tx.status.isdigit():
            self.event("INVALID_RESPONSE_LINE", tx.number)
        tx.progress_tc = LINE
        tx.touched_tc = True
        side.tx = tx
        side.mode = _HEAD

    def _header(self, side: _Side, toserver: bool, line: bytes) -> None:
        tx = side.tx
        assert tx is not None
        if toserver:
            tx.request_raw += line
            size = len(tx.request_raw)
        else:
            tx.response_raw += line
            size = len(tx.response_raw)
        headers = tx.request_headers if toserver else tx.response_headers
        text = line.rstrip(b"\r\n")
        if not text:
            self._headers_done(side, toserver, tx, headers)
        elif size > MAX_HEAD or len(headers) > MAX_HEADERS:
            self.event("TOO_MANY_HEADERS", tx.number)
            self._stop(side, toserver)
        elif text[:1] in b" \t" and headers:
            name, value = headers[-1]
            headers[-1] = (name, value + b" " + text.strip())
        else:
            name, colon, value = text.partition(b":")
            if not colon:
                self.event(
                    "REQUEST_FIELD_MISSING_COLON" if toserver else "RESPONSE_FIELD_MISSING_COLON", tx.number
                )
                headers.append((b"", text.strip()))
            else:
                headers.append((name.strip(), value.strip()))

    def _headers_done(self, side: _Side, toserver: bool, tx: HttpTx, headers: Headers) -> None:
        if not toserver and tx.status[:1] == b"1" and len(tx.status) == 3 and tx.status != b"101":
            # an interim response (RFC 9110, section 15.2): the real one follows
            tx.forget_response()
            self._waiting.insert(0, tx)
            side.tx, side.mode = None, _IDLE
            return
        body = tx.request_body if toserver else tx.response_body
        if toserver:
            tx.progress_ts, tx.touched_ts = HEAD, True
        else:
            tx.progress_tc, tx.touched_tc = HEAD, True
        if not body.encoding(tx.header(toserver, b"content-encoding")):
            self.event("ABNORMAL_CE_HEADER", tx.number)
        if not toserver and (tx.method == b"HEAD" or tx.status in (b"204", b"304") or tx.status[:1] == b"1"):
            self._complete(side, toserver)
            if tx.status == b"101":
                self._stop(side, False)
                self._stop(self._sides[True], True)
            return
        if tx.method == b"CONNECT" and not toserver and tx.status[:1] == b"2":
            self._complete(side, toserver)
            self._stop(side, False)
            self._stop(self._sides[True], True)
            return
        if b"chunked" in (tx.header(toserver, b"transfer-encoding") or b"").lower():
            side.mode = _CHUNK
            return
        length = tx.header(toserver, b"content-length")
        if length is not None:
            digits = re.match(rb"\s*(\d{1,18})", length)
            if digits is None:
                self.event(
                    "INVALID_CONTENT_LENGTH_FIELD_IN_" + ("REQUEST" if toserver else "RESPONSE"), tx.number
                )
            side.remaining = int(digits[1]) if digits else 0
            side.mode = _LENGTH
            if side.remaining == 0:
                self._complete(side, toserver)
        elif toserver:
            self._complete(side, toserver)
        else:
            side.mode = _CLOSE

    # ------------------------------------------------------------ bodies

    @staticmethod
    def _wire(side: _Side, toserver: bool, size: int) -> None:
        if side.tx is not None:
            (side.tx.request_body if toserver else side.tx.response_body).wire += size

    def _body(self, side: _Side, toserver: bool, data: bytes) -> bytes:
        tx = side.tx
        assert tx is not None
        body = tx.request_body if toserver else tx.response_body
        if side.mode == _CLOSE:
            part, rest = data, b""
        else:
            part, rest = data[: side.remaining], data[side.remaining :]
            side.remaining -= len(part)
        if part:
            body.wire += len(part)
            body.add(part)
            if toserver:
                tx.progress_ts, tx.touched_ts = BODY, True
            else:
                tx.progress_tc, tx.touched_tc = BODY, True
            if body.bad:
                self.event(
                    "GZIP_DECOMPRESSION_FAILED" if "failed" in body.bad else "COMPRESSION_BOMB", tx.number
                )
                body.bad = ""
        if side.mode == _LENGTH and side.remaining == 0:
            self._complete(side, toserver)
        elif side.mode == _CHUNK_DATA and side.remaining == 0:
            side.mode = _CHUNK_END
        return rest

    def _chunk(self, side: _Side, toserver: bool, line: bytes) -> None:
        self._wire(side, toserver, len(line))
        match = re.match(rb"[ \t\r\n]*([0-9a-fA-F]{1,15})", line)
        if match is None:
            if not line.strip():
                return
            self.event(
                f"INVALID_{'REQUEST' if toserver else 'RESPONSE'}_CHUNK_LEN",
                side.tx.number if side.tx else -1,
            )
            side.mode = _CLOSE  # whatever comes belongs to the body
            if toserver:
                self._stop(side, toserver)
            return
        side.remaining = int(match[1], 16)
        side.mode = _CHUNK_DATA if side.remaining else _TRAILER

    def _complete(self, side: _Side, toserver: bool) -> None:
        tx = side.tx
        if tx is None:
            return
        if toserver:
            tx.progress_ts, tx.done_ts, tx.touched_ts = DONE, True, True
            self.trigger_ts = True
        else:
            tx.progress_tc, tx.done_tc, tx.touched_tc = DONE, True, True
            self.trigger_tc = True
        side.tx, side.mode = None, _IDLE

    def _stop(self, side: _Side, toserver: bool) -> None:
        side.mode = _STOP
        side.buffer.clear()
        if toserver:
            self.failed_ts = True
        else:
            self.failed_tc = True

    def gap(self, toserver: bool, size: int) -> None:
        """Within a body of known length bytes may be missing; elsewhere nothing is understood after a gap."""
        side = self._sides[toserver]
        if side.tx is not None and side.mode in (_LENGTH, _CHUNK_DATA) and size <= side.remaining:
            side.remaining -= size
            self._wire(side, toserver, size)
            if side.remaining == 0:
                if side.mode == _LENGTH:
                    self._complete(side, toserver)
                else:
                    side.mode = _CHUNK_END
        elif side.tx is not None and side.mode == _CLOSE:
            self._wire(side, toserver, size)
        else:
            self._stop(side, toserver)

    def close(self) -> None:
        """See ``Parser.close``."""
        for tx in self.txs:
            tx.forget()
        self.txs.clear()

    def end(self, toserver: bool, ts: float) -> None:
        """A response without length ends with its connection."""
        side = self._sides[toserver]
        if side.tx is not None and side.mode == _CLOSE:
            self._complete(side, toserver)
