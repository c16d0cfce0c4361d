"""Message bodies: kept up to a limit, decompressed with limits (RFC 9110, section 8.4; RFC 1950 to 1952)."""

from __future__ import annotations

import zlib
from typing import Any

BOMB = 1 << 20
"""Bytes that a body may decompress to beyond 2,048 times its size (Suricata's ``compression-bomb-limit``)."""


class Budget:
    """Bytes of all bodies of an engine that are kept, and how many may be."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = 256 << 20) -> None:
        self.limit = limit
        self.used = 0


class Body:
    """Bytes of a body.  ``wire`` counts those seen, with framing; ``length`` those decoded; ``kept`` has the
    first of them.
    """

    __slots__ = (
        "_decoder",
        "_kind",
        "_snapshot",
        "_state",
        "bad",
        "budget",
        "encoded",
        "inspect_at",
        "kept",
        "length",
        "limit",
        "released",
        "wire",
    )

    def __init__(self, limit: int, budget: Budget | None = None) -> None:
        self.limit = limit
        self.budget = budget or Budget()
        self.kept = bytearray()
        self.length = 0
        self.wire = 0
        self.encoded = 0
        self.inspect_at = 32768
        self.bad = ""
        self.released = False
        self._decoder: Any = None
        self._kind = ""
        self._state = 0
        self._snapshot = b""

    def encoding(self, value: bytes | None) -> bool:
        """Set up for a Content-Encoding; False when it is none that is known (the body is then taken as it
        is).
        """
        if not value:
            return True
        names = [name.strip().lower() for name in value.split(b",") if name.strip()]
        names = [name for name in names if name not in (b"identity", b"inflate")]
        if not names:
            return True
        if len(names) > 2:
            return False
        name = names[-1]
        if name in (b"gzip", b"x-gzip"):
            self._kind, self._decoder = "gzip", zlib.decompressobj(31)
        elif name in (b"deflate", b"x-deflate"):
            self._kind, self._decoder = "deflate", zlib.decompressobj(15)
        else:
            return False
        return True

    @property
    def data(self) -> bytes:
        """What is kept."""
        if len(self._snapshot) != len(self.kept):
            self._snapshot = bytes(self.kept)
        return self._snapshot

    def add(self, data: bytes) -> None:
        """More bytes, without the framing of chunks."""
        self.encoded += len(data)
        if self._decoder is not None:
            data = self._decompress(data)
        self.length += len(data)
        room = min(self.limit - len(self.kept), self.budget.limit - self.budget.used)
        if room > 0 and not self.released:
            part = data[:room]
            self.kept += part
            self.budget.used += len(part)

    def release(self) -> None:
        """Keep nothing any more; lengths stay."""
        self.budget.used -= len(self.kept)
        self.kept, self._snapshot, self.released = bytearray(), b"", True

    def _decompress(self, data: bytes) -> bytes:
        out = []
        first = self._state == 0
        self._state = 1
        budget = BOMB + 2048 * len(data) if self.length < BOMB else BOMB
        budget = min(budget, 4 * BOMB)
        while data:
            try:
                got = self._decoder.decompress(data, budget)
            except zlib.error:
                if first and self._kind == "deflate":  # some servers send it without the header of RFC 1950
                    self._decoder, first = zlib.decompressobj(-15), False
                    continue
                if first:
                    self._decoder = None
                    return data  # it isn't compressed at all
                self.bad = "decompression failed"
                self._decoder = zlib.decompressobj(31)
                break
            out.append(got)
            budget -= len(got)
            if budget <= 0:
                self.bad = "compression bomb"
                break
            if self._decoder.eof and self._decoder.unused_data:
                data = self._decoder.unused_data
                if data[:2] != b"\x1f\x8b":
                    break
                self._decoder = zlib.decompressobj(31)
                continue
            data = self._decoder.unconsumed_tail
            first = False
        return b"".join(out)
