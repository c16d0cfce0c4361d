"""Decodes content codings of a body (RFC 9110, section 8.4; RFC 1950 to 1952), as clients do.

In attacks, the header and the real coding differ.  So each layer finds the coding from the bytes: gzip, zlib,
raw deflate, or none.  Checksums and sizes are not verified, since browsers show a body before they arrive.
If decoding fails, the bytes are passed on unchanged: a client may show them.
"""

from __future__ import annotations

import zlib
from typing import Any

LEAST = 2
"""Bytes that are necessary to find a layer's coding."""
LONGEST_HEADER = 65536
"""Limit in bytes of a gzip header, with its file name and comment."""
SECOND_THOUGHTS = 4096
"""Bytes of the beginning that are kept, in case that the coding was a wrong guess."""
MOST_AT_ONCE = 4 << 20
"""Limit in bytes of a layer's output for one call; more is a decompression bomb."""

_HEAD, _BODY, _TRAILER, _NEXT, _PLAIN, _OVER = range(6)


def gzip_header(data: bytes) -> int:
    """Length of the gzip header (RFC 1952, section 2.3) at the beginning of ``data``; 0 if it is incomplete.

    Reserved flags are ignored, as browsers do.
    """
    if len(data) < 10:
        return 0
    flags, at = data[3], 10
    if flags & 4:
        if len(data) < at + 2:
            return 0
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for bit in (8, 16):  # file name, comment
        if flags & bit:
            end = data.find(b"\0", at)
            if end < 0:
                return 0
            at = end + 1
    if flags & 2:
        at += 2
    return at if at <= len(data) else 0


class Layer:
    """One coding: bytes in, decoded bytes out.  ``failed`` and ``bomb`` are set on errors."""

    __slots__ = ("_inflate", "_kept", "_state", "_trailer", "_tries", "_wait", "bomb", "failed", "given")

    def __init__(self) -> None:
        self.failed = self.bomb = False
        self.given = 0
        self._state = _HEAD
        self._wait = b""
        self._kept: bytes | None = b""
        self._inflate: Any = None
        self._tries: list[int] = []
        self._trailer = 0

    def feed(self, data: bytes) -> bytes:
        """Add bytes; returns them decoded."""
        out: list[bytes] = []
        room = MOST_AT_ONCE
        while data:
            if self._state == _HEAD:
                data = self._begin(data)
            elif self._state == _BODY:
                got, data = self._decode(data, room)
                out.append(got)
                self.given += len(got)
                room -= len(got)
                if room <= 0:
                    self.bomb, self._state = True, _OVER
            elif self._state == _TRAILER:
                self._trailer -= len(data)
                data = data[len(data) + self._trailer :] if self._trailer < 0 else b""
                if self._trailer <= 0:
                    self._state = _NEXT
            elif self._state == _NEXT:
                data = self._wait + data
                self._wait = data[:2] if len(data) < LEAST else b""
                if len(data) < LEAST:
                    break
                self._state = _HEAD if data[:2] == b"\x1f\x8b" else _OVER
            elif self._state == _PLAIN:
                out.append(data)
                break
            else:
                break
        return b"".join(out)

    def end(self) -> bytes:
        """The input has ended: returns the bytes that waited for more."""
        wait, self._wait = self._wait, b""
        if self._state == _HEAD:
            return wait
        if self._state == _BODY:
            try:
                got = bytes(self._inflate.flush(MOST_AT_ONCE))[:MOST_AT_ONCE]
            except zlib.error:
                got = b""
            if not got and self.given == 0 and self._trailer == 0 and self._kept:
                return self._kept  # it only happened to begin like raw deflate
            return got
        return b""

    def _begin(self, data: bytes) -> bytes:
        """Find the coding of the bytes; returns the bytes after a header."""
        data = self._wait + data
        self._wait = b""
        if data[:2] == b"\x1f\x8b":
            size = gzip_header(data)
            if not size and len(data) < LONGEST_HEADER:
                self._wait = data
                return b""
            self._start(-15, 8, data)
            return data[size:] if size else data[10:]
        if len(data) < LEAST and self._kept is not None:
            self._wait = data
            return b""
        if data[0] & 15 == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0:
            self._start(-15, 4, data)
            self._tries = [-15]
            return data[2:]
        self._start(-15, 0, data)
        return data

    def _start(self, window: int, trailer: int, data: bytes) -> None:
        self._inflate, self._trailer, self._state = zlib.decompressobj(window), trailer, _BODY
        self._kept = b"" if self.given == 0 else None
        self._tries = []
        if self._kept is not None and trailer == 4:
            self._kept = data[:2]

    def _decode(self, data: bytes, room: int) -> tuple[bytes, bytes]:
        """(decoded bytes, bytes that are not decoded yet)."""
        if self._kept is not None:
            self._kept = self._kept + data if len(self._kept) + len(data) <= SECOND_THOUGHTS else None
        before = self._inflate.copy()
        try:
            got = self._inflate.decompress(data, room)
        except zlib.error:
            got = _salvaged(before, data)
            self.given += len(got)
            rest = self._other(data)
            self.given -= len(got)
            return got, rest
        if self._inflate.eof:
            self._state = _TRAILER if self._trailer else _NEXT
            return got, self._inflate.unused_data
        return got, self._inflate.unconsumed_tail

    def _other(self, data: bytes) -> bytes:
        """Decoding failed: the bytes for another coding, or for the output if there is none left."""
        kept = self._kept
        if self._tries and kept is not None and self.given == 0:
            self._inflate = zlib.decompressobj(self._tries.pop())
            self._trailer, self._kept = 0, b""
            return kept
        self.failed = self.given > 0 or self._trailer == 8
        self._state = _PLAIN
        # it may be text that only looked like raw deflate
        return kept if kept is not None and (self._trailer == 0 or self.given == 0) else data


def _salvaged(inflate: Any, data: bytes) -> bytes:
    """The output of the decoder before it fails within ``data``."""
    out: list[bytes] = []
    at, step = 0, 256
    while at < len(data):
        before = inflate.copy()
        try:
            out.append(inflate.decompress(data[at : at + step]))
            at += step
        except zlib.error:
            if step == 1:
                break
            inflate, step = before, 1
    return b"".join(out)
