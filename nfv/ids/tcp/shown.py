"""The part of a stream that alerts show: its latest bytes, and a text for missing bytes (EVE's
``payload``)."""

from __future__ import annotations


class Shown:
    """The latest bytes of one direction, at most ``size``."""

    __slots__ = ("_fresh", "_size", "_text")

    def __init__(self, size: int) -> None:
        self._size = size
        self._text = bytearray()
        self._fresh = 0  # where what was not inspected yet begins

    def add(self, data: bytes) -> None:
        """Add bytes that were passed on."""
        text = self._text
        text += data
        over = min(len(text) - 2 * self._size, self._fresh)
        if over > 0:
            del text[:over]
            self._fresh -= over
        if len(text) - self._fresh > self._size:
            del text[self._fresh + self._size :]  # more of it is not shown

    def inspected(self) -> None:
        """The present bytes were inspected."""
        self._fresh = len(self._text)

    def text(self) -> bytes:
        """The bytes that are inspected now, and as many bytes before them as there is room for."""
        end = len(self._text)
        begin = self._fresh if end - self._fresh > self._size else max(0, end - self._size)
        return bytes(self._text[begin : begin + self._size])
