"""Standard streams that can be closed, full, or without a reader, whoever writes to them.

Help, tables, JSON, Mininet's shell: all write to ``sys.stdout``.  What goes wrong there ends in one of two
ways, decided here, and in no traceback.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

from lab.failure import Failure

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ReaderGone(BaseException):
    """Whoever read our output closed it (``| head``)."""


class Unwritable(Failure):
    """The output can't be written: a full disk, a closed descriptor."""

    def __init__(self, why: str) -> None:
        super().__init__(f"can't write the output: {why}", "send it elsewhere: > FILE")


class _Output(io.FileIO):
    """Standard output. ``closed_before``: whether it was so when we began."""

    def __init__(self, closed_before: bool) -> None:
        super().__init__(1, "wb", closefd=False)
        self._closed_before = closed_before

    def write(self, data: ReadableBuffer, /) -> int:
        if self._closed_before:
            raise Unwritable("it is closed")
        try:
            return super().write(data)
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as error:
            raise Unwritable(error.strerror or str(error)) from None


class _Messages(io.FileIO):
    """Standard error: what can't be written there is for nobody."""

    def __init__(self) -> None:
        super().__init__(2, "wb", closefd=False)

    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(bytes(data))


def guard() -> None:
    """Make the three descriptors be there, and ``sys.stdout`` and ``sys.stderr`` fail in our ways only.

    What has closed one of them would else have the next file that is opened in its place.
    """
    closed = set()
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            closed.add(descriptor)
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
            os.set_inheritable(descriptor, True)
    sys.stdout = _text(_Output(1 in closed), sys.stdout)
    sys.stderr = _text(_Messages(), sys.stderr)


def _text(raw: io.FileIO, before: object) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=raw.isatty(), newline="\n"
    )


def flush() -> int:
    """Write what waits, at the end; the exit code if that went wrong, else 0."""
    code = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Unwritable:
            code = code or int(Unwritable("").code)
        except (ReaderGone, OSError, ValueError, AttributeError):
            pass
    return code
