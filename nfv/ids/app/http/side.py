"""The parser's state of one direction of an HTTP connection."""

from __future__ import annotations

from nfv.ids.app.http.tx import HttpTx

MAX_HEAD = 65536
"""Bytes of a line, or of a block of headers."""

(
    IDLE,
    MAYBE_HEADERS,
    HEADERS,
    LENGTH,
    CHUNK,
    CHUNK_DATA,
    CHUNK_END,
    TRAILER,
    CLOSE,
    EXCESS,
    WAIT,
    TUNNEL,
    STOP,
) = range(13)
"""What is read next: a first line; perhaps headers, after a request line without protocol; headers; a body by
its length; a chunk's line, its data, what ends them; trailers; a body up to the connection's end; bytes
behind a message; nothing, until the server has answered CONNECT; another protocol; nothing any more."""


class Side:
    """One direction. ``tx``: whose message is being read, if one is. ``remaining``: bytes of its body, or of
    a chunk, that are to come."""

    __slots__ = ("after_lf", "buffer", "closed", "field", "mode", "remaining", "scanned", "tx")

    def __init__(self) -> None:
        self.mode = IDLE
        self.buffer = b""  # of an incomplete line
        self.scanned = 0  # bytes of it in which no line ends
        self.remaining = 0
        self.tx: HttpTx | None = None
        self.field = b""  # a header that may be continued
        self.after_lf = False
        self.closed = False
