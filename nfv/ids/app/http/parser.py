"""HTTP/1 (RFC 9112): requests and responses from the bytes of both directions, in any pieces.

It is as lenient as servers are with requests and clients with responses (``lines``, ``coding``): bytes that
are no line where a line must be become a body; a message that the connection's end truncates counts as far as
it came. Requests may come before the responses to earlier ones are complete (pipelining), and responses
without requests if the connection was picked up midstream.  After CONNECT and a switch of protocols, the
bytes are another protocol's (``rest``).

Limits: a line or header block of 64 KiB, 1,024 headers; beyond them, the direction is not parsed any more.
The work is linear in the bytes, in pieces of any size.
"""

from __future__ import annotations

from nfv.ids.app.base import MAX_TRANSACTIONS, Parser
from nfv.ids.app.http import lines as lines
from nfv.ids.app.http.body import Budget
from nfv.ids.app.http.framing import (
    bridge_gap,
    complete,
    count_framing,
    expect_excess,
    take_body,
    take_chunk,
    take_chunk_end,
    take_excess,
)
from nfv.ids.app.http.side import (
    CHUNK,
    CHUNK_DATA,
    CHUNK_END,
    CLOSE,
    EXCESS,
    HEADERS,
    IDLE,
    LENGTH,
    MAX_HEAD,
    MAYBE_HEADERS,
    STOP,
    TRAILER,
    TUNNEL,
    WAIT,
    Side,
)
from nfv.ids.app.http.tx import DONE, HEAD, LINE, HttpTx

MAX_HEADERS = 1024
PER_MESSAGE, PER_HEADER = 600, 60
"""Bytes that a transaction takes, and a header besides its own, a third of each."""
MAX_HEADS = 1 << 20
"""Limit in bytes of all heads of a connection's messages together."""
UNSEEN = b"/libhtp::request_uri_not_seen"
"""Suricata's text for the URI of a request that was not seen."""


class HttpParser(Parser):
    """Both directions of a connection."""

    proto = "http"
    tx_name = "http"

    def __init__(self, eager: bool = False, budget: Budget | None = None) -> None:
        super().__init__()
        self._budget = budget or Budget()
        self._heads = 0  # at most so many bytes of heads are kept
        self._eager = eager
        self._sides = {True: Side(), False: Side()}
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
            if mode in (LENGTH, CHUNK_DATA, CLOSE):
                at = take_body(self, side, toserver, data, at)
            elif mode == IDLE and self._budget.used > self._budget.limit:
                self._budget.refused += 1
                self._stop(side, toserver)
            elif mode == IDLE and self._full():
                self.backlog = data[at:]
                return
            elif mode == STOP:
                return
            elif mode in (WAIT, TUNNEL):
                self._hold(side, toserver, data[at:])
                return
            else:
                after = self._step(side, toserver, data, at, ts)
                if after < 0:
                    self._keep(side, data[at:] if at else data)
                    return
                at = after
                side.scanned = 0
        if side.mode == EXCESS:
            self.finish(side, toserver)

    def _keep(self, side: Side, data: bytes) -> None:
        """Bytes of an incomplete line."""
        self._budget.used += len(data) - len(side.buffer)
        side.buffer = data

    def _full(self) -> bool:
        """Whether transactions must be inspected and deleted before there can be more."""
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

    def _step(self, side: Side, toserver: bool, data: bytes, at: int, ts: float) -> int:
        """Read a line; the position after it, -1 if it is incomplete."""
        mode = side.mode
        if mode == CHUNK:
            return take_chunk(self, side, toserver, data, at)
        if mode == EXCESS:
            return take_excess(self, side, toserver, data, at)
        if mode == CHUNK_END:
            return take_chunk_end(side, toserver, data, at)
        if mode == IDLE and data[at] in b"\r\n":  # empty lines between messages (RFC 9112, section 2.2)
            return lines.after_line_ends(data, at)
        if mode == HEADERS and not side.scanned and not side.field:
            block = lines.PLAIN_HEADERS.match(data, at, at + MAX_HEAD)
            if block is not None:
                return self._plain_headers(side, toserver, block[0], at)
        if side.after_lf and not toserver and data[at] == lines.CR and mode in (HEADERS, TRAILER):
            side.after_lf = False  # LF CR ends a line, too
            return at + 1
        find = lines.request_line_end if toserver else lines.response_line_end
        end = find(data, at + side.scanned, side.closed)
        if end < 0:
            return self._incomplete(side, toserver, data, at, ts)
        line = data[at:end]
        special = len(line) == 2 if mode == HEADERS else mode == IDLE and not toserver
        if special and not side.closed and self._needs_following(mode, line, data, end):
            after = self._incomplete(side, toserver, data, at, ts)
            side.scanned = end - at - 1
            return after
        if mode == IDLE:
            self._first_line(side, toserver, line, data, end, ts)
        elif mode == MAYBE_HEADERS:
            self._maybe_header(side, line, ts)
        elif mode == HEADERS:
            self._header(side, toserver, line, data[end] if end < len(data) else -1)
        else:
            count_framing(side, toserver, end - at)
            if not line.strip():
                complete(self, side, toserver, data, end)
        side.after_lf = line[-1:] == b"\n" and line[-2:] != b"\r\n"
        return end

    @staticmethod
    def _needs_following(mode: int, line: bytes, data: bytes, end: int) -> bool:
        """Whether the meaning of a line depends on bytes after it that have not arrived."""
        if mode == HEADERS:
            return end == len(data) and line in (b" \n", b"\t\n")
        return not lines.looks_like_status(line) and bool(line.strip()) and lines.may_become_status(data, end)

    def _incomplete(self, side: Side, toserver: bool, data: bytes, at: int, ts: float) -> int:
        size = len(data) - at
        side.scanned = max(size - 2, 0)  # the last bytes may become the end of a line
        if not toserver and side.mode == IDLE and size > 8192 and not lines.looks_like_status(data, at):
            self._old_response(side, self._response(ts), data[at:])
            return len(data)
        if size > MAX_HEAD:
            self.event("REQUEST_FIELD_TOO_LONG" if toserver else "RESPONSE_FIELD_TOO_LONG")
            self._stop(side, toserver)
            return len(data)
        return -1

    # ------------------------------------------------------------ first lines

    def _first_line(self, side: Side, toserver: bool, line: bytes, data: bytes, end: int, ts: float) -> None:
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

    def _request_line(self, side: Side, text: bytes, ts: float) -> None:
        tx = self._new(ts, len(text))
        self._waiting.append(tx)
        tx.request_line = text
        tx.method, tx.uri, tx.protocol = lines.request_line(text)
        tx.progress_ts = LINE
        tx.touched_ts = True
        side.tx, side.mode, side.field = tx, HEADERS, b""
        if not tx.protocol:
            self.event("REQUEST_LINE_INCOMPLETE", tx.number)
            side.mode = MAYBE_HEADERS

    def _maybe_header(self, side: Side, line: bytes, ts: float) -> None:
        """The bytes after a request line without protocol: headers, if only the protocol was omitted."""
        tx = side.tx
        assert tx is not None
        if lines.begins_field(line, 0):
            side.mode = HEADERS
            self._header(side, True, line, -1)
            return
        tx.progress_ts = HEAD
        self.finish(side, True)
        if line.strip():
            self._request_line(side, line.rstrip(b"\r\n"), ts)

    def _response(self, ts: float) -> HttpTx:
        """The transaction of a response."""
        asked = self._sides[True]
        if self._waiting:
            tx = self._waiting.pop(0)
            if asked.tx is tx and asked.mode == MAYBE_HEADERS:  # HTTP/0.9: it has no headers
                tx.progress_ts = HEAD
                self.finish(asked, True)
            return tx
        tx = self._new(ts, 0)
        self.event("UNABLE_TO_MATCH_RESPONSE_TO_REQUEST", tx.number)
        tx.uri = UNSEEN
        tx.progress_ts, tx.done_ts = DONE, True
        return tx

    def _old_response(self, side: Side, tx: HttpTx, data: bytes) -> None:
        """A response without status line (HTTP/0.9): it is only a body."""
        side.tx, side.mode = tx, CLOSE
        tx.response_line = data.rstrip(b"\r\n")[:MAX_HEAD]
        tx.progress_tc = HEAD
        self.add(tx, False, data)

    def _status_line(self, side: Side, text: bytes, tx: HttpTx) -> None:
        tx.response_line = text
        self._charge(tx, len(text))
        tx.response_protocol, tx.status, tx.status_text = lines.status_line(text)
        if not tx.status.isdigit():
            self.event("INVALID_RESPONSE_LINE", tx.number)
        tx.progress_tc = LINE
        tx.touched_tc = True
        side.tx, side.mode, side.field = tx, HEADERS, b""

    # ------------------------------------------------------------ headers

    def _header(self, side: Side, toserver: bool, line: bytes, following: int) -> None:
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

    def _plain_headers(self, side: Side, toserver: bool, block: bytes, at: int) -> int:
        """Parse all headers in one step, if they have the usual form."""
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

    def _field(self, side: Side, toserver: bool, tx: HttpTx) -> None:
        """The previous header is complete now."""
        text, side.field = side.field, b""
        if not text:
            return
        headers = tx.request_headers if toserver else tx.response_headers
        header = lines.field(text)
        if header is None:
            self.event(
                "REQUEST_FIELD_MISSING_COLON" if toserver else "RESPONSE_FIELD_MISSING_COLON", tx.number
            )
            header = b"", text.strip()
        headers.add(*header)

    def _headers_done(self, side: Side, toserver: bool, tx: HttpTx) -> None:
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
            expect_excess(side)
        elif chunked:
            side.mode = CHUNK
        elif side.remaining:
            side.mode = LENGTH
        elif toserver or length == 0 or self._without_body(tx):
            expect_excess(side)
        else:
            side.mode = CLOSE

    @staticmethod
    def _without_body(tx: HttpTx) -> bool:
        """Whether a response without a length has no body (RFC 9112, section 6.3)."""
        return tx.status in (b"204", b"304") or tx.status[:1] == b"1"

    def _interim(self, side: Side, tx: HttpTx, body: bool) -> bool:
        """An interim response (RFC 9110, section 15.2), unless it has a body: then browsers take it for the
        final one.

        101 is the end of HTTP on this connection.
        """
        if tx.status[:1] != b"1" or len(tx.status) != 3 or body:
            return False
        if tx.status == b"101":
            tx.progress_tc = HEAD
            self._tunnel(side, False)
            return True
        tx.forget_response()
        self._waiting.insert(0, tx)
        side.tx, side.mode = None, IDLE
        return True

    # ------------------------------------------------------------ other protocols

    def _tunnel(self, side: Side, toserver: bool) -> None:
        """After CONNECT the client waits for the answer; after a positive one, all bytes are another
        protocol's."""
        self.finish(side, toserver)
        if toserver:
            side.mode = WAIT
            return
        self.changed = True
        asked = self._sides[True]
        if asked.tx is not None:
            self.finish(asked, True)
        for tunnelled, direction in ((side, False), (asked, True)):
            held = tunnelled.buffer
            self._keep(tunnelled, b"")
            tunnelled.mode = TUNNEL
            if held:
                self._hold(tunnelled, direction, held)

    def _hold(self, side: Side, toserver: bool, data: bytes) -> None:
        if side.mode == WAIT:
            if self._sides[False].mode == IDLE and not self._waiting and self._sides[False].tx is None:
                side.mode = IDLE  # it was refused: HTTP goes on
                self.feed(toserver, data, self.txs[-1].ts if self.txs else 0.0)
                return
            self._keep(side, data)
            if len(data) > MAX_HEAD:
                self._stop(side, toserver)
            return
        self.rest[toserver] += data[: MAX_HEAD - len(self.rest[toserver])]

    # ------------------------------------------------------------ messages that are through

    def add(self, tx: HttpTx, toserver: bool, data: bytes) -> None:
        """Bytes of a body, without what frames them."""
        tx.add(toserver, data)
        body = tx.body(toserver)
        if body.bad:
            self.event("GZIP_DECOMPRESSION_FAILED" if "failed" in body.bad else "COMPRESSION_BOMB", tx.number)
            body.bad = ""

    def finish(self, side: Side, toserver: bool) -> None:
        """The message is complete."""
        tx = side.tx
        if tx is None:
            return
        tx.complete(toserver)
        if toserver:
            self.trigger_ts = True
        else:
            self.trigger_tc = True
        side.tx, side.mode = None, IDLE

    def _stop(self, side: Side, toserver: bool) -> None:
        side.mode = STOP
        self._keep(side, b"")
        if toserver:
            self.failed_ts = True
        else:
            self.failed_tc = True

    # ------------------------------------------------------------ holes and ends

    def gap(self, toserver: bool, size: int) -> None:
        """Bytes may be missing within a body of known length; elsewhere, the parser stops at a gap."""
        side = self._sides[toserver]
        if not bridge_gap(self, side, toserver, size):
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
        """A direction ends: incomplete messages count as far as they came."""
        side = self._sides[toserver]
        if side.closed or side.mode in (STOP, TUNNEL):
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
        if side.mode in (HEADERS, MAYBE_HEADERS):
            self._field(side, toserver, tx)
            if toserver:
                tx.progress_ts = HEAD
            else:
                tx.progress_tc = HEAD
        self.finish(side, toserver)
