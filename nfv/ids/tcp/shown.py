"""What alerts show of a stream: its latest bytes, and in words what is missing (EVE's ``payload``)."""

from __future__ import annotations


class Shown:
    """The latest bytes of one direction; ``size`` is how many are shown at most."""

    __slots__ = ("_fresh", "_size", "_text")

    def __init__(self, size: int) -> None:
        self._size = size
        self._text = bytearray()
        self._fresh = 0  # where what was not inspected yet begins

    def add(self, data: bytes) -> None:
        """Bytes that were handed on."""
        text = self._text
        text += data
        over = min(len(text) - 2 * self._size, self._fresh)
        if over > 0:
            del text[:over]
            self._fresh -= over
        if len(text) - self._fresh > self._size:
            del text[self._fresh + self._size :]  # more of it is not shown

    def inspected(self) -> None:
        """What is there was inspected."""
        self._fresh = len(self._text)

    def text(self) -> bytes:
        """What is inspected now, with as much of what came before as there is room for."""
        end = len(self._text)
        begin = self._fresh if end - self._fresh > self._size else max(0, end - self._size)
        return bytes(self._text[begin : begin + self._size])
