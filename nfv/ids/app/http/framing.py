"""The end of a message's body: by its length, chunks, or the connection's end (RFC 9112, sections 6 and 7).

It follows clients and servers: bytes that can't be a chunk are the body itself, and bytes after a message
belong to it until something looks like the next message.  Positions are those in ``data``, a piece of one
direction.
"""

from __future__ import annotations

from typing import Protocol

from nfv.ids.app.http import lines as lines
from nfv.ids.app.http.side import CHUNK, CHUNK_DATA, CHUNK_END, CLOSE, EXCESS, LENGTH, MAX_HEAD, TRAILER, Side
from nfv.ids.app.http.tx import HttpTx


class Messages(Protocol):
    """The callbacks for bodies, and for complete messages."""

    def add(self, tx: HttpTx, toserver: bool, data: bytes) -> None: ...
    def finish(self, side: Side, toserver: bool) -> None: ...
    def event(self, name: str, tx: int = -1) -> None: ...


def count_framing(side: Side, toserver: bool, size: int) -> None:
    """Count bytes of the framing of a body, or bytes that are missing in it."""
    if side.tx is not None:
        side.tx.body(toserver).wire += size


def take_body(messages: Messages, side: Side, toserver: bool, data: bytes, at: int) -> int:
    """Read bytes of a body, or of a chunk; the position after them."""
    tx = side.tx
    assert tx is not None
    if side.mode == CLOSE:
        end = len(data)
    else:
        end = min(len(data), at + side.remaining)
        side.remaining -= end - at
    messages.add(tx, toserver, data[at:end] if at or end < len(data) else data)
    if side.remaining == 0 and side.mode == LENGTH:
        complete(messages, side, toserver, data, end)
    elif side.remaining == 0 and side.mode == CHUNK_DATA:
        side.mode = CHUNK_END
    return end


def take_chunk(messages: Messages, side: Side, toserver: bool, data: bytes, at: int) -> int:
    """Read a chunk's first line. Bytes that can't be one are the body itself, as in browsers."""
    assert side.tx is not None
    begin = at
    parts: list[bytes] = []
    while (chunk := lines.SMALL_CHUNK.match(data, at)) is not None:
        stop = chunk.end() + int(chunk[1], 16)
        if stop == chunk.end() or data[stop : stop + 2] != b"\r\n":
            break
        parts.append(data[chunk.end() : stop])
        at = stop + 2
    if parts:
        whole = b"".join(parts)
        count_framing(side, toserver, at - begin - len(whole))
        messages.add(side.tx, toserver, whole)
        return at
    if data[at] in b"\r\n":
        end = lines.after_line_ends(data, at)
        count_framing(side, toserver, end - at)
        return end
    end = data.find(b"\n", at + side.scanned) + 1
    if not end and not side.closed and lines.may_be_chunk(data, at) and len(data) - at <= MAX_HEAD:
        side.scanned = len(data) - at
        return -1
    end = end or len(data)
    length = lines.chunk_length(data[at:end])
    if length == lines.BLANK:
        count_framing(side, toserver, end - at)
    elif length == lines.NO_CHUNK:
        messages.event(
            f"INVALID_{'REQUEST' if toserver else 'RESPONSE'}_CHUNK_LEN",
            side.tx.number,
        )
        side.mode = CLOSE
        return at
    else:
        count_framing(side, toserver, end - at)
        side.remaining = length
        side.mode = CHUNK_DATA if length else TRAILER
    return end


def take_chunk_end(side: Side, toserver: bool, data: bytes, at: int) -> int:
    """Read the line end after a chunk's data; the position after it."""
    end = data.find(b"\n", at) + 1 or len(data)
    count_framing(side, toserver, end - at)
    if data[end - 1] == lines.LF:
        side.mode = CHUNK
    return end


def complete(messages: Messages, side: Side, toserver: bool, data: bytes, at: int) -> None:
    """A message is complete, unless the next bytes can't be another message."""
    if at < len(data):
        expect_excess(side)
    else:
        messages.finish(side, toserver)


def expect_excess(side: Side) -> None:
    """A message is complete; the next bytes may still belong to it."""
    side.mode = EXCESS
    side.scanned = 0


def take_excess(messages: Messages, side: Side, toserver: bool, data: bytes, at: int) -> int:
    """Bytes after a message: they belong to it, line by line, until a line looks like the next message."""
    # each blank byte is checked only once
    end = data.find(b"\n", at if toserver else lines.not_blank(data, at)) + 1 or len(data)
    known = lines.looks_like_request if toserver else lines.looks_like_status
    cut = data[end - 1] != lines.LF and not side.closed
    if known(data, at) or (
        cut and (lines.may_become_request if toserver else lines.may_become_status)(data, at)
    ):
        messages.finish(side, toserver)
        return at
    assert side.tx is not None
    more = data[at:end].lstrip(b"\r\n")
    if more:
        messages.add(side.tx, toserver, more)
    return end


def bridge_gap(messages: Messages, side: Side, toserver: bool, size: int) -> bool:
    """``size`` bytes are missing; whether the parser can continue."""
    if side.tx is not None and side.mode in (LENGTH, CHUNK_DATA) and size <= side.remaining:
        side.remaining -= size
        count_framing(side, toserver, size)
        if side.remaining == 0:
            if side.mode == LENGTH:
                messages.finish(side, toserver)
            else:
                side.mode = CHUNK_END
        return True
    if side.tx is not None and side.mode == CLOSE:
        count_framing(side, toserver, size)
        return True
    return False
