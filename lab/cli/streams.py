"""Standard streams that may be closed, full, or without a reader.

Help, tables, JSON and Mininet's shell write to ``sys.stdout``.  An error there becomes one of the two
exceptions of this module, and never a traceback.
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
    """The reader of our output has closed it (``| head``)."""


class Unwritable(Failure):
    """The output can't be written: a full disk, a closed descriptor."""

    def __init__(self, why: str) -> None:
        super().__init__(f"can't write the output: {why}", "send it elsewhere: > FILE")


class _Output(io.FileIO):
    """Standard output. ``closed_before``: it was already closed when we started."""

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
    """Standard error: errors in writing to it are ignored."""

    def __init__(self) -> None:
        super().__init__(2, "wb", closefd=False)

    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(bytes(data))


def guard() -> None:
    """Make sure that the three descriptors are open, and that ``sys.stdout`` and ``sys.stderr`` raise our
    exceptions.

    Otherwise the next file that is opened would take the place of a closed one.
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
    """Write what is still buffered, at the end; the exit code if that fails, otherwise 0."""
    code = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Unwritable:
            code = code or int(Unwritable("").code)
        except (ReaderGone, OSError, ValueError, AttributeError):
            pass
    return code
