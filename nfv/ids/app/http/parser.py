"""HTTP/1 (RFC 9112): requests and responses from the bytes of both directions, in any pieces.

As lenient as servers are with requests and clients with responses (``http_lines``, ``http_coding``): what is
no line where one must stand becomes a body; what is cut by the connection's end counts as far as it came.
Requests may come before responses are through (pipelining), responses without requests when the connection
was taken up midstream.  After CONNECT and a switch of protocols the bytes are another protocol's (``rest``).

Limits: a line or header block of 64 KiB, 1,024 headers; beyond them the direction is given up.  The work is
linear in the bytes, however they are cut.
"""

from __future__ import annotations

from nfv.ids.app.base import MAX_TRANSACTIONS, Parser
from nfv.ids.app.http import lines as lines
from nfv.ids.app.http.body import Budget
from nfv.ids.app.http.tx import DONE, HEAD, LINE, HttpTx

MAX_HEAD = 65536
MAX_HEADERS = 1024
PER_MESSAGE, PER_HEADER = 600, 60
"""Bytes that a transaction takes, and a header besides its own, a third of each."""
MAX_HEADS = 1 << 20
"""Bytes that the heads of a connection's messages may take together."""
UNSEEN = b"/libhtp::request_uri_not_seen"
"""What Suricata shows for the URI of a request that was not seen."""

(
    _IDLE,
    _MAYBE_HEAD,
    _HEAD,
    _LENGTH,
    _CHUNK,
    _CHUNK_DATA,
    _CHUNK_END,
    _TRAILER,
    _CLOSE,
    _EXCESS,
    _WAIT,
    _TUNNEL,
    _STOP,
) = range(13)


class _Side:
    __slots__ = ("after_lf", "buffer", "closed", "field", "mode", "remaining", "scanned", "tx")

    def __init__(self) -> None:
        self.mode = _IDLE
        self.buffer = b""  # of an incomplete line
        self.scanned = 0  # bytes of it in which no line ends
        self.remaining = 0
        self.tx: HttpTx | None = None
        self.field = b""  # a header that may be continued
        self.after_lf = False
        self.closed = False


class HttpParser(Parser):
    """Both directions of a connection."""

    proto = "http"
    tx_name = "http"

    def __init__(self, eager: bool = False, budget: Budget | None = None) -> None:
        super().__init__()
        self._budget = budget or Budget()
        self._heads = 0  # at most so many bytes of heads are kept
        self._eager = eager
        self._sides = {True: _Side(), False: _Side()}
        self._waiting: list[HttpTx] = []  # requests whose response has not begun

    def feed(self, toserver: bool, data: bytes, ts: float) -> None:
        """See ``Parser.feed``."""
        side = self._sides[toserver]
        if side.buffer:
            data = side.buffer + data
            self._keep(side, b"")
        at, size = 0, len(data)
        while at < size:
            mode = side.mode
            if mode in (_LENGTH, _CHUNK_DATA, _CLOSE):
                at = self._body(side, toserver, data, at)
            elif mode == _IDLE and self._budget.used > self._budget.limit:
                self._budget.refused += 1
                self._stop(side, toserver)
            elif mode == _IDLE and self._full():
                self.backlog = data[at:]
                return
            elif mode == _STOP:
                return
            elif mode in (_WAIT, _TUNNEL):
                self._hold(side, toserver, data[at:])
                return
            else:
                after = self._step(side, toserver, data, at, ts)
                if after < 0:
                    self._keep(side, data[at:] if at else data)
                    return
                at = after
                side.scanned = 0
        if side.mode == _EXCESS:
            self._finish(side, toserver)

    def _keep(self, side: _Side, data: bytes) -> None:
        """Bytes of an incomplete line."""
        self._budget.used += len(data) - len(side.buffer)
        side.buffer = data

    def _full(self) -> bool:
        """Must transactions be inspected and given up before there can be more?"""
        if self._heads > MAX_HEADS:
            self._heads = sum(tx.heads for tx in self.txs)
        return len(self.txs) >= MAX_TRANSACTIONS or (self._heads > MAX_HEADS and len(self.txs) > 1)

    def overflow(self) -> None:
        """See ``Parser.overflow``."""
        super().overflow()
        while self._heads > MAX_HEADS // 2 and len(self.txs) > 1:
            self.txs.pop(0).forget()
            self._heads = sum(tx.heads for tx in self.txs)

    def _charge(self, tx: HttpTx, size: int) -> None:
        size *= 3
        tx.heads += size
        self._heads += size
        self._budget.used += size

    def _step(self, side: _Side, toserver: bool, data: bytes, at: int, ts: float) -> int:
        """Take a line; where it ends, -1 when more is needed."""
        mode = side.mode
        if mode == _CHUNK:
            return self._chunk(side, toserver, data, at)
        if mode == _EXCESS:
            return self._excess(side, toserver, data, at)
        if mode == _CHUNK_END:
            end = data.find(b"\n", at) + 1 or len(data)
            self._wire(side, toserver, end - at)
            if data[end - 1] == lines.LF:
                side.mode = _CHUNK
            return end
        if mode == _IDLE and data[at] in b"\r\n":  # empty lines between messages (RFC 9112, section 2.2)
            return lines.after_line_ends(data, at)
        if mode == _HEAD and not side.scanned and not side.field:
            found = lines.PLAIN_HEADERS.match(data, at, at + MAX_HEAD)
            if found is not None:
                return self._plain_headers(side, toserver, found[0], at)
        if side.after_lf and not toserver and data[at] == lines.CR and mode in (_HEAD, _TRAILER):
            side.after_lf = False  # LF CR ends a line, too
            return at + 1
        find = lines.request_line_end if toserver else lines.response_line_end
        end = find(data, at + side.scanned, side.closed)
        if end < 0:
            return self._incomplete(side, toserver, data, at, ts)
        line = data[at:end]
        special = len(line) == 2 if mode == _HEAD else mode == _IDLE and not toserver
        if special and not side.closed and self._needs_following(mode, line, data, end):
            after = self._incomplete(side, toserver, data, at, ts)
            side.scanned = end - at - 1
            return after
        if mode == _IDLE:
            self._first_line(side, toserver, line, data, end, ts)
        elif mode == _MAYBE_HEAD:
            self._maybe_header(side, line, ts)
        elif mode == _HEAD:
            self._header(side, toserver, line, data[end] if end < len(data) else -1)
        else:
            self._wire(side, toserver, end - at)
            if not line.strip():
                self._complete(side, toserver, data, end)
        side.after_lf = line[-1:] == b"\n" and line[-2:] != b"\r\n"
        return end

    @staticmethod
    def _needs_following(mode: int, line: bytes, data: bytes, end: int) -> bool:
        """Does what a line is depend on bytes behind it that are not there yet?"""
        if mode == _HEAD:
            return end == len(data) and line in (b" \n", b"\t\n")
        return not lines.looks_like_status(line) and bool(line.strip()) and lines.may_become_status(data, end)

    def _incomplete(self, side: _Side, toserver: bool, data: bytes, at: int, ts: float) -> int:
        size = len(data) - at
        side.scanned = max(size - 2, 0)  # what is at the end may yet end a line
        if not toserver and side.mode == _IDLE and size > 8192 and not lines.looks_like_status(data, at):
            self._old_response(side, self._response(ts), data[at:])
            return len(data)
        if size > MAX_HEAD:
            self.event("REQUEST_FIELD_TOO_LONG" if toserver else "RESPONSE_FIELD_TOO_LONG")
            self._stop(side, toserver)
            return len(data)
        return -1

    # ------------------------------------------------------------ first lines

    def _first_line(self, side: _Side, toserver: bool, line: bytes, data: bytes, end: int, ts: float) -> None:
        text = line.rstrip(b"\r\n")
        if not text.strip():
            return
        if toserver:
            self._request_line(side, text, ts)
            return
        if not lines.looks_like_status(text):
            if lines.looks_like_status(data, end):
                return  # browsers skip such a line
            if not self._waiting and not self.count:
                self._stop(side, False)
                return
            self._old_response(side, self._response(ts), line)
            return
        self._status_line(side, text, self._response(ts))

    def _new(self, ts: float, size: int) -> HttpTx:
        tx = HttpTx(self.count, ts, self._eager, self._budget)
        self.count += 1
        self.txs.append(tx)
        self._charge(tx, PER_MESSAGE + size)
        return tx

    def _request_line(self, side: _Side, text: bytes, ts: float) -> None:
        tx = self._new(ts, len(text))
        self._waiting.append(tx)
        tx.request_line = text
        tx.method, tx.uri, tx.protocol = lines.request_line(text)
        tx.progress_ts = LINE
        tx.touched_ts = True
        side.tx, side.mode, side.field = tx, _HEAD, b""
        if not tx.protocol:
            self.event("REQUEST_LINE_INCOMPLETE", tx.number)
            side.mode = _MAYBE_HEAD

    def _maybe_header(self, side: _Side, line: bytes, ts: float) -> None:
        """What follows on a request line without protocol: headers, if the protocol was forgotten."""
        tx = side.tx
        assert tx is not None
        if lines.begins_field(line, 0):
            side.mode = _HEAD
            self._header(side, True, line, -1)
            return
        tx.progress_ts = HEAD
        self._finish(side, True)
        if line.strip():
            self._request_line(side, line.rstrip(b"\r\n"), ts)

    def _response(self, ts: float) -> HttpTx:
        """The transaction that a response belongs to."""
        asked = self._sides[True]
        if self._waiting:
            tx = self._waiting.pop(0)
            if asked.tx is tx and asked.mode == _MAYBE_HEAD:  # HTTP/0.9: it has no headers
                tx.progress_ts = HEAD
                self._finish(asked, True)
            return tx
        tx = self._new(ts, 0)
        self.event("UNABLE_TO_MATCH_RESPONSE_TO_REQUEST", tx.number)
        tx.uri = UNSEEN
        tx.progress_ts, tx.done_ts = DONE, True
        return tx

    def _old_response(self, side: _Side, tx: HttpTx, data: bytes) -> None:
        """A response without status line (HTTP/0.9): all of it is the body."""
        side.tx, side.mode = tx, _CLOSE
        tx.response_line = data.rstrip(b"\r\n")[:MAX_HEAD]
        tx.progress_tc = HEAD
        self._add(tx, False, data)

    def _status_line(self, side: _Side, text: bytes, tx: HttpTx) -> None:
        tx.response_line = text
        self._charge(tx, len(text))
        tx.response_protocol, tx.status, tx.status_text = lines.status_line(text)
        if not tx.status.isdigit():
            self.event("INVALID_RESPONSE_LINE", tx.number)
        tx.progress_tc = LINE
        tx.touched_tc = True
        side.tx, side.mode, side.field = tx, _HEAD, b""

    # ------------------------------------------------------------ headers

    def _header(self, side: _Side, toserver: bool, line: bytes, following: int) -> None:
        tx = side.tx
        assert tx is not None
        raw, fields = (
            (tx.request_raw, tx.request_headers) if toserver else (tx.response_raw, tx.response_headers)
        )
        raw += line
        self._charge(tx, len(line) + PER_HEADER)
        if lines.is_end_of_headers(line, following):
            self._field(side, toserver, tx)
            self._headers_done(side, toserver, tx)
            return
        if len(raw) > MAX_HEAD or len(fields.lines) > MAX_HEADERS:
            self.event("TOO_MANY_HEADERS", tx.number)
            self._stop(side, toserver)
            return
        text = line.rstrip(b"\r\n")
        if side.field and lines.is_folded(text):
            newer = b":" in text and b":" in side.field and not toserver
            if not newer or tx.response_protocol.upper() != b"HTTP/1.1":
                side.field += b" " + text.strip(b" \t\0")
                return
            text = text[1:]  # clients take it for a header of its own
        self._field(side, toserver, tx)
        side.field = text

    def _plain_headers(self, side: _Side, toserver: bool, block: bytes, at: int) -> int:
        """All headers at once, where nothing about them is special."""
        tx = side.tx
        assert tx is not None
        raw, fields = (
            (tx.request_raw, tx.request_headers) if toserver else (tx.response_raw, tx.response_headers)
        )
        raw += block
        self._charge(tx, len(block) + PER_HEADER * len(fields.lines))
        fields.add_block(block)
        side.after_lf = False
        if len(raw) > MAX_HEAD or len(fields.lines) > MAX_HEADERS:
            self.event("TOO_MANY_HEADERS", tx.number)
            self._stop(side, toserver)
        else:
            self._headers_done(side, toserver, tx)
        return at + len(block)

    def _field(self, side: _Side, toserver: bool, tx: HttpTx) -> None:
        """The header before is whole now."""
        text, side.field = side.field, b""
        if not text:
            return
        headers = tx.request_headers if toserver else tx.response_headers
        found = lines.field(text)
        if found is None:
            self.event(
                "REQUEST_FIELD_MISSING_COLON" if toserver else "RESPONSE_FIELD_MISSING_COLON", tx.number
            )
            found = b"", text.strip()
        headers.add(*found)

    def _headers_done(self, side: _Side, toserver: bool, tx: HttpTx) -> None:
        coding = tx.header(toserver, b"transfer-encoding")
        chunked = coding is not None and b"chunked" in coding.replace(b"\0", b"").lower()
        given = tx.header(toserver, b"content-length")
        length = lines.content_length(given) if given is not None else None
        if not toserver and self._interim(side, tx, chunked or bool(length)):
            return
        if toserver:
            tx.progress_ts, tx.touched_ts = HEAD, True
        else:
            tx.progress_tc, tx.touched_tc = HEAD, True
        if not tx.begin_body(toserver):
            self.event("ABNORMAL_CE_HEADER", tx.number)
        if given is not None and length is None:
            self.event(
                "INVALID_CONTENT_LENGTH_FIELD_IN_" + ("REQUEST" if toserver else "RESPONSE"), tx.number
            )
        side.remaining = length or 0
        if tx.method == b"CONNECT" and (toserver or tx.status[:1] == b"2"):
            self._tunnel(side, toserver)
        elif not toserver and tx.method == b"HEAD":
            self._excess_after(side)
        elif chunked:
            side.mode = _CHUNK
        elif side.remaining:
            side.mode = _LENGTH
        elif toserver or length == 0 or self._without_body(tx):
            self._excess_after(side)
        else:
            side.mode = _CLOSE

    @staticmethod
    def _without_body(tx: HttpTx) -> bool:
        """Has the response none when it doesn't say how long it is (RFC 9112, section 6.3)?"""
        return tx.status in (b"204", b"304") or tx.status[:1] == b"1"

    def _interim(self, side: _Side, tx: HttpTx, body: bool) -> bool:
        """A response before the real one (RFC 9110, section 15.2), unless it has a body: then browsers take
        it for the real one.  101 is the end of HTTP here.
        """
        if tx.status[:1] != b"1" or len(tx.status) != 3 or body:
            return False
        if tx.status == b"101":
            tx.progress_tc = HEAD
            self._tunnel(side, False)
            return True
        tx.forget_response()
        self._waiting.insert(0, tx)
        side.tx, side.mode = None, _IDLE
        return True

    # ------------------------------------------------------------ other protocols

    def _tunnel(self, side: _Side, toserver: bool) -> None:
        """After CONNECT the client waits for the answer; a good one makes all that follows another's."""
        self._finish(side, toserver)
        if toserver:
            side.mode = _WAIT
            return
        self.changed = True
        asked = self._sides[True]
        if asked.tx is not None:
            self._finish(asked, True)
        for each, direction in ((side, False), (asked, True)):
            held = each.buffer
            self._keep(each, b"")
            each.mode = _TUNNEL
            if held:
                self._hold(each, direction, held)

    def _hold(self, side: _Side, toserver: bool, data: bytes) -> None:
        if side.mode == _WAIT:
            if self._sides[False].mode == _IDLE and not self._waiting and self._sides[False].tx is None:
                side.mode = _IDLE  # it was refused: HTTP goes on
                self.feed(toserver, data, self.txs[-1].ts if self.txs else 0.0)
                return
            self._keep(side, data)
            if len(data) > MAX_HEAD:
                self._stop(side, toserver)
            return
        self.rest[toserver] += data[: MAX_HEAD - len(self.rest[toserver])]

    # ------------------------------------------------------------ bodies

    @staticmethod
    def _wire(side: _Side, toserver: bool, size: int) -> None:
        if side.tx is not None:
            side.tx.body(toserver).wire += size

    def _add(self, tx: HttpTx, toserver: bool, data: bytes) -> None:
        tx.add(toserver, data)
        body = tx.body(toserver)
        if body.bad:
            self.event("GZIP_DECOMPRESSION_FAILED" if "failed" in body.bad else "COMPRESSION_BOMB", tx.number)
            body.bad = ""

    def _body(self, side: _Side, toserver: bool, data: bytes, at: int) -> int:
        tx = side.tx
        assert tx is not None
        if side.mode == _CLOSE:
            end = len(data)
        else:
            end = min(len(data), at + side.remaining)
            side.remaining -= end - at
        self._add(tx, toserver, data[at:end] if at or end < len(data) else data)
        if side.remaining == 0 and side.mode == _LENGTH:
            self._complete(side, toserver, data, end)
        elif side.remaining == 0 and side.mode == _CHUNK_DATA:
            side.mode = _CHUNK_END
        return end

    def _chunk(self, side: _Side, toserver: bool, data: bytes, at: int) -> int:
        """A chunk's first line; what can't be one is the body itself, as browsers take it."""
        assert side.tx is not None
        begin = at
        parts: list[bytes] = []
        while (found := lines.SMALL_CHUNK.match(data, at)) is not None:
            stop = found.end() + int(found[1], 16)
            if stop == found.end() or data[stop : stop + 2] != b"\r\n":
                break
            parts.append(data[found.end() : stop])
            at = stop + 2
        if parts:
            whole = b"".join(parts)
            self._wire(side, toserver, at - begin - len(whole))
            self._add(side.tx, toserver, whole)
            return at
        if data[at] in b"\r\n":
            end = lines.after_line_ends(data, at)
            self._wire(side, toserver, end - at)
            return end
        end = data.find(b"\n", at + side.scanned) + 1
        if not end and not side.closed and lines.may_be_chunk(data, at) and len(data) - at <= MAX_HEAD:
            side.scanned = len(data) - at
            return -1
        end = end or len(data)
        length = lines.chunk_length(data[at:end])
        if length == lines.BLANK:
            self._wire(side, toserver, end - at)
        elif length == lines.NO_CHUNK:
            self.event(
                f"INVALID_{'REQUEST' if toserver else 'RESPONSE'}_CHUNK_LEN",
                side.tx.number,
            )
            side.mode = _CLOSE
            return at
        else:
            self._wire(side, toserver, end - at)
            side.remaining = length
            side.mode = _CHUNK_DATA if length else _TRAILER
        return end

    def _complete(self, side: _Side, toserver: bool, data: bytes, at: int) -> None:
        """A message is through, unless bytes follow at once that can't be the next one."""
        if at < len(data):
            self._excess_after(side)
        else:
            self._finish(side, toserver)

    def _excess_after(self, side: _Side) -> None:
        side.mode = _EXCESS
        side.scanned = 0

    def _excess(self, side: _Side, toserver: bool, data: bytes, at: int) -> int:
        """Bytes behind a message: they belong to it, line by line, until something looks like the next."""
        # what is blank up to where it isn't is asked about once
        end = data.find(b"\n", at if toserver else lines.not_blank(data, at)) + 1 or len(data)
        known = lines.looks_like_request if toserver else lines.looks_like_status
        cut = data[end - 1] != lines.LF and not side.closed
        if known(data, at) or (
            cut and (lines.may_become_request if toserver else lines.may_become_status)(data, at)
        ):
            self._finish(side, toserver)
            return at
        assert side.tx is not None
        excess = data[at:end].lstrip(b"\r\n")
        if excess:
            self._add(side.tx, toserver, excess)
        return end

    def _finish(self, side: _Side, toserver: bool) -> None:
        tx = side.tx
        if tx is None:
            return
        tx.complete(toserver)
        if toserver:
            self.trigger_ts = True
        else:
            self.trigger_tc = True
        side.tx, side.mode = None, _IDLE

    def _stop(self, side: _Side, toserver: bool) -> None:
        side.mode = _STOP
        self._keep(side, b"")
        if toserver:
            self.failed_ts = True
        else:
            self.failed_tc = True

    # ------------------------------------------------------------ holes and ends

    def gap(self, toserver: bool, size: int) -> None:
        """Within a body of known length bytes may be missing; elsewhere nothing is understood after a gap."""
        side = self._sides[toserver]
        if side.tx is not None and side.mode in (_LENGTH, _CHUNK_DATA) and size <= side.remaining:
            side.remaining -= size
            self._wire(side, toserver, size)
            if side.remaining == 0:
                if side.mode == _LENGTH:
                    self._finish(side, toserver)
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
        for side in self._sides.values():
            self._keep(side, b"")

    def incomplete(self) -> bool:
        """See ``Parser.incomplete``."""
        return any(side.buffer or side.tx is not None for side in self._sides.values())

    def hurry(self) -> None:
        """See ``Parser.hurry``."""
        for tx in self.txs:
            tx.hurry()

    def end(self, toserver: bool, ts: float) -> None:
        """A direction ends: what is incomplete counts as far as it came."""
        side = self._sides[toserver]
        if side.closed or side.mode in (_STOP, _TUNNEL):
            return
        side.closed = True
        data = side.buffer
        self._keep(side, b"")
        if data:
            side.scanned = 0
            self.feed(toserver, data, ts)
        tx = side.tx
        if tx is None:
            return
        if side.mode in (_HEAD, _MAYBE_HEAD):
            self._field(side, toserver, tx)
            if toserver:
                tx.progress_ts = HEAD
            else:
                tx.progress_tc = HEAD
        self._finish(side, toserver)
