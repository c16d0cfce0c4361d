"""Message bodies: decoded, kept up to a limit, with a budget for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from nfv.ids.app.http.coding import MOST_AT_ONCE, Layer

BOMB = 1 << 20
"""Bytes that a body may decompress to beyond 2,048 times its size (Suricata's ``compression-bomb-limit``)."""


class Budget:
    """The shared budget of all bodies of an engine: ``used`` of ``limit`` bytes are kept.

    ``layers``: how many codings of a body are decoded (``response-body-decompress-layer-limit``); ``hashes``:
    the hashes of each body.  Heads of messages count, too; ``refused`` counts those without room.
    """

    __slots__ = ("hashes", "layers", "limit", "refused", "used")

    def __init__(self, limit: int = 256 << 20, layers: int = 2, hashes: tuple[str, ...] = ()) -> None:
        self.limit = limit
        self.used = self.refused = 0
        self.layers = layers
        self.hashes = hashes


class Body:
    """Bytes of a body.  ``wire`` counts those seen, with framing; ``length`` those decoded; ``kept`` has the
    first of them.
    """

    __slots__ = (
        "_hashes",
        "_layers",
        "_snapshot",
        "bad",
        "budget",
        "closed",
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
        self.released = self.closed = False
        self._layers: Sequence[Layer] = ()
        self._snapshot = b""
        self._hashes: Sequence[Any] = ()
        if self.budget.hashes:
            self._hashes = [hashlib.new(name, usedforsecurity=False) for name in self.budget.hashes]

    def encoded_by(self, names: list[str]) -> bool:
        """Set up for content codings, in the order in which they were applied; False when there are more of
        them than may be taken off.
        """
        layers = self.budget.layers or len(names)
        self._layers = [Layer() for _ in names[-layers:]]
        return len(names) <= layers

    @property
    def data(self) -> bytes:
        """The kept bytes."""
        if len(self._snapshot) != len(self.kept):
            self._snapshot = bytes(self.kept)
        return self._snapshot

    def add(self, data: bytes) -> bytes:
        """Add bytes, without the framing of chunks; returns them decoded."""
        self.encoded += len(data)
        for layer in self._layers:
            if not data:
                break
            data = layer.feed(data)
            if layer.failed and not self.bad:
                self.bad, layer.failed = "decompression failed", False
            if layer.bomb or (layer.given > BOMB and layer.given > 2048 * self.encoded):
                self.bad, self._layers = "compression bomb", [_Sink()]
        if data:
            self._keep(data)
        return data

    def end(self) -> bytes:
        """The body has ended; returns the decoded bytes that waited for more."""
        rest = b""
        if not self.closed:
            self.closed = True
            if not self._layers:
                return rest
            for layer in self._layers:
                rest = (layer.feed(rest) if rest else b"") + layer.end()
            if rest:
                self._keep(rest)
        return rest

    def _keep(self, data: bytes) -> None:
        self.length += len(data)
        for digest in self._hashes:
            digest.update(data)
        room = min(self.limit - len(self.kept), self.budget.limit - self.budget.used)
        if room > 0 and not self.released:
            part = data[:room]
            self.kept += part
            self.budget.used += len(part)

    def digests(self) -> dict[str, str]:
        """The configured hashes of the whole body, by name."""
        return {digest.name: digest.hexdigest() for digest in self._hashes}

    def release(self) -> None:
        """Free the kept bytes; lengths stay."""
        if not self.kept:
            self.released = True
            return
        self.budget.used -= len(self.kept)
        self.kept, self._snapshot, self.released = bytearray(), b"", True


class _Sink(Layer):
    """Ignores its bytes: they are not inspected any more."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        return b""

    def end(self) -> bytes:
        return b""


__all__ = ["BOMB", "MOST_AT_ONCE", "Body", "Budget"]
