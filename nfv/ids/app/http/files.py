"""Files in HTTP: a body, or the parts of ``multipart/form-data`` with a file name (RFC 7578)."""

from __future__ import annotations

import re
from collections.abc import Callable

from nfv.ids.app.http.body import Body

MOST_FILES = 256
"""Limit of files of one body. Further data goes to the last file, so that it is still inspected."""
LONGEST_PART_HEADER = 16384

_BOUNDARY = re.compile(rb'boundary\s*=\s*(?:"([^"]{1,256})"?|([^\s;,"]{1,256}))', re.IGNORECASE)
_NAME = re.compile(rb"filename\*?\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"?|([^;\s\"]+))", re.IGNORECASE)


_EMPTY_LINE = re.compile(rb"(?:^|\n)\r?\n")


class File:
    """A file; ``done``: it is complete; ``inspected``: rules have inspected all of it."""

    __slots__ = ("body", "done", "inspected", "name")

    def __init__(self, name: bytes, body: Body) -> None:
        self.name, self.body = name, body
        self.done = self.inspected = False


def boundary(content_type: bytes) -> bytes:
    """The boundary of a multipart type (RFC 2046, section 5.1.1); empty if it is no multipart type."""
    if not content_type.lstrip().lower().startswith(b"multipart/form-data"):
        return b""
    match = _BOUNDARY.search(content_type)
    return (match[1] or match[2]) if match else b""


def disposition_name(value: bytes) -> bytes | None:
    """The file name of a Content-Disposition (RFC 6266), None without one."""
    match = _NAME.search(value)
    if match is None:
        return None
    return re.sub(rb"\\(.)", rb"\1", match[1]) if match[1] is not None else match[2]


class Multipart:
    """Reads a body in pieces of any size and fills ``files``; ``make`` creates a file's empty body."""

    def __init__(self, border: bytes, make: Callable[[], Body]) -> None:
        self.files: list[File] = []
        self._border = b"--" + border
        self._make = make
        self._rest = b""
        self._searched = 0  # bytes of it in which no part's headers end
        self._skip = 0
        self._file: File | None = None
        self._state: Callable[[], bool] = self._preamble

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        self._rest += data
        while self._state():
            pass

    def end(self) -> None:
        """The body has ended: a part without a boundary after it is truncated."""
        if self._file is not None:
            if self._state == self._data:
                self._add(len(self._rest))
            self._file.body.end()
            self._file = None
        self._rest = b""

    def _preamble(self) -> bool:
        at = self._rest.find(self._border)
        if at < 0:
            self._rest = self._rest[-len(self._border) :]
            return False
        self._rest = self._rest[at + len(self._border) :]
        self._state = self._after_border
        return True

    def _after_border(self) -> bool:
        if len(self._rest) < 2:
            return False
        if self._rest.startswith(b"--"):
            self._state = self._epilogue
            return True
        end = self._rest.find(b"\n")
        if end < 0:
            self._rest = self._rest[-LONGEST_PART_HEADER:]
            return False
        self._rest = self._rest[end + 1 :]
        self._state = self._headers
        return True

    def _epilogue(self) -> bool:
        self._rest = b""
        return False

    def _headers(self) -> bool:
        empty_line = _EMPTY_LINE.search(self._rest, max(self._searched - 2, 0))
        self._searched = len(self._rest)
        if empty_line is None and len(self._rest) < LONGEST_PART_HEADER:
            return False
        self._searched = 0
        end = empty_line.end() if empty_line else len(self._rest)
        head = self._rest[:end]
        self._skip = 1 if empty_line else 0  # the line's end, which a border may follow
        self._rest = self._rest[end - self._skip :]
        self._file = None
        for line in re.sub(rb"\r?\n[ \t]+", b" ", head).splitlines():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-disposition":
                self._open(disposition_name(value))
        self._state = self._data
        return True

    def _open(self, name: bytes | None) -> None:
        if name is None:
            return
        if len(self.files) >= MOST_FILES:
            self._file = self.files[-1]
            return
        self._file = File(name, self._make())
        self.files.append(self._file)

    def _data(self) -> bool:
        at = self._rest.find(b"\n" + self._border)
        if at < 0:
            keep = len(self._border) + 2
            if len(self._rest) > keep + self._skip:
                self._add(len(self._rest) - keep)
                self._rest = self._rest[-keep:]
            return False
        self._add(at - 1 if at > self._skip and self._rest[at - 1] == 13 else at)
        if self._file is not None:
            self._file.body.end()
            self._file.done = True
            self._file = None
        self._rest = self._rest[at + 1 + len(self._border) :]
        self._state = self._after_border
        return True

    def _add(self, end: int) -> None:
        if self._file is not None:
            self._file.body.add(self._rest[self._skip : end])
        self._skip = 0
