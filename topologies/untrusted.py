"""Reads files and JSON that come from outside, with limits on kind, size and time.

A file name can mean a device that never ends, a pipe that nobody writes to, a file of /proc that blocks, or a
network file system that does not answer. Each function here says how long it waits and how much it reads, and
changes nothing. Pipes from a shell (``<(...)``, ``| ... -``) are read where the caller allows it, with a
longer timeout: a program has to write to them first.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import select
import stat
import threading
import time
from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds within which a file must be read."""
PIPE_PATIENCE = 60.0
"""Seconds within which a pipe must end; for a stream: within which its next byte must come."""
STREAM_TIME = 3600.0
"""Seconds within which a stream through a pipe must end."""
NOTICE = 2.0
"""Seconds of waiting after which the caller may tell the user."""
_PIECE = 1 << 20
_REMEDIES = {
    errno.ENOENT: ("there is no such file", "check the name"),
    errno.ENOTDIR: ("a part of the path is not a directory", "check the name"),
    errno.EACCES: ("may not be read", "check the permissions (chmod +r)"),
    errno.EPERM: ("may not be read", "check the permissions (chmod +r)"),
    errno.ELOOP: ("symbolic links go round in a circle", "check the links"),
    errno.ENAMETOOLONG: ("the name is too long", "check the name"),
    errno.EBADF: (
        "is not open here",
        "sudo closes what the shell hands over: pipe it into standard input ('-'), or into a file",
    ),
    errno.EAGAIN: ("has nothing to read now", "copy what is meant into a file"),
}
_KINDS: tuple[tuple[Callable[[int], bool], str, str], ...] = (
    (stat.S_ISDIR, "is a directory", ""),
    (stat.S_ISFIFO, "is a pipe", "write what it brings into a file first"),
    (stat.S_ISSOCK, "is a socket", ""),
    (stat.S_ISCHR, "is a device", ""),
    (stat.S_ISBLK, "is a device", ""),
)
Name = str | PathLike[str]


class Unreadable(Exception):
    """A file cannot be read. ``what`` follows its name in a sentence; ``allowed`` and ``remedy`` may be
    empty."""

    def __init__(self, what: str, allowed: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.allowed, self.remedy = what, allowed, remedy

    def words(self, name: object) -> str:
        """A sentence about the file ``name``."""
        return f"{name} {self.what}" if self.what.split(" ", 1)[0] in _VERBS else f"{name}: {self.what}"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return "; ".join(text for text in (self.allowed and f"allowed: {self.allowed}", self.remedy) if text)


_VERBS = ("is", "may", "has", "was", "cannot", "did", "holds", "brought")
_DESCRIPTOR = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/(0|[1-9][0-9]{0,5})")
STANDARD_INPUT = "-"
_NULL_DEVICE = os.makedev(1, 3)  # Linux, Documentation/admin-guide/devices.txt


def descriptor_of(name: Name) -> int | None:
    """The descriptor of the open file that ``name`` means (``-``, ``/dev/stdin``, ``/dev/fd/63``), if any."""
    text = os.fspath(name)
    if text == STANDARD_INPUT:
        return 0
    match = _DESCRIPTOR.fullmatch(text)
    return int(match[1] or 0) if match else None


def open_stream(file: Name, allowed: str = "a file", patience: float = PATIENCE) -> io.RawIOBase:
    """A regular file or a pipe, to be read piece by piece. Raises ``Unreadable``, also when it takes longer
    than ``patience`` seconds to open it.

    Reading raises OSError (ETIMEDOUT) when a pipe gives nothing for ``PIPE_PATIENCE`` seconds, or has not
    ended after ``STREAM_TIME``. ``allowed``: what the file may be, in words.
    """
    descriptor = _within(patience, lambda: _open(file, allowed, pipes=True))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb", buffering=0)
    return _Piped(descriptor)


class _Piped(io.RawIOBase):
    """A pipe or socket with timeouts."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._end = time.monotonic() + STREAM_TIME
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise OSError(errno.ETIMEDOUT, f"it has not ended within {STREAM_TIME:g} s")
        if not self._poll.poll(min(left, PIPE_PATIENCE) * 1000):
            raise OSError(errno.ETIMEDOUT, f"nothing came for {min(left, PIPE_PATIENCE):.0f} s")
        return os.readv(self._descriptor, [buffer])

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def read(
    file: Name,
    limit: int,
    allowed: str = "a file",
    patience: float = PATIENCE,
    pipes: bool = False,
    pipe_patience: float = PIPE_PATIENCE,
    waiting: Callable[[], None] = lambda: None,
) -> bytes:
    """The content of a regular file, up to ``limit`` bytes. Raises ``Unreadable``.

    ``pipes``: pipes are allowed, too; they must end within ``pipe_patience`` seconds. ``waiting`` is
    called once when it takes longer than ``NOTICE``.
    """
    descriptor = _within(patience, lambda: _open(file, allowed, pipes), waiting)
    piped = not stat.S_ISREG(os.fstat(descriptor).st_mode)
    until = time.monotonic() + (pipe_patience if piped else patience)
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)

    def work() -> bytes:
        try:
            pieces: list[bytes] = []
            left = limit + 1
            while left > 0:
                if piped and not ready.poll(max(0.0, until - time.monotonic()) * 1000):
                    what = "did not end" if pieces else "brought nothing"
                    raise Unreadable(
                        f"{what} within {pipe_patience:g} s", "", "copy what is meant into a file"
                    )
                if not (piece := os.read(descriptor, min(left, _PIECE))):
                    break
                pieces.append(piece)
                left -= len(piece)
        except OSError as error:
            _refuse(error)
        finally:
            os.close(descriptor)
        if left <= 0:
            raise Unreadable("is too big", f"up to {size_text(limit)}")
        return b"".join(pieces)

    # the timeout inside ``work`` comes first: its message says more
    return _within(pipe_patience + 1 if piped else patience, work, waiting)


def size_text(limit: int) -> str:
    """``4 MB``, ``512 kB``."""
    return f"{limit // 1024 // 1024} MB" if limit >= 1024 * 1024 else f"{limit // 1024} kB"


def _open(file: Name, allowed: str, pipes: bool = False) -> int:
    number = descriptor_of(file) if pipes else None
    try:
        if number is not None:  # not opened again: that fails for sockets and for pipes of other users
            descriptor = os.dup(number)
        else:
            _check(os.stat(file), allowed, pipes)  # noqa: PTH116 - opening a device may have effects
            # the file may be another one by now, so do not block, and check again below
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        _refuse(error)
    except ValueError:  # a NUL, or something else that no name can have
        raise Unreadable("cannot be a file's name", "", "check the name") from None
    try:
        if number is not None and os.isatty(descriptor):
            raise Unreadable("is a terminal", f"{allowed}, or a pipe that brings one", "name a file")
        _check(os.fstat(descriptor), allowed, pipes, number is not None)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(status: os.stat_result, allowed: str, pipes: bool, handed_over: bool = False) -> None:
    """Raise Unreadable for kinds of files that are not read. A socket is allowed if it is open already."""
    mode = status.st_mode
    if pipes and (stat.S_ISFIFO(mode) or (handed_over and stat.S_ISSOCK(mode))):
        return
    if handed_over and stat.S_ISCHR(mode) and status.st_rdev == _NULL_DEVICE:
        raise Unreadable("holds nothing", allowed)
    for test, what, remedy in _KINDS:
        if test(mode):
            raise Unreadable(what, allowed, remedy)
    if not stat.S_ISREG(mode):
        raise Unreadable("is not a regular file", allowed)


def _refuse(error: OSError) -> NoReturn:
    what, remedy = _REMEDIES.get(error.errno or 0, (error.strerror or str(error), ""))
    raise Unreadable(what, "", remedy) from None


def _within(patience: float, work: Callable[[], T], waiting: Callable[[], None] = lambda: None) -> T:
    """The result of ``work``, in a thread that is abandoned if it takes longer than ``patience`` seconds.

    ``waiting`` is called when it has taken ``NOTICE`` seconds.
    """
    returned: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="reading", daemon=True)
    thread.start()
    thread.join(min(patience, NOTICE))
    if thread.is_alive() and patience > NOTICE:
        waiting()
        thread.join(patience - NOTICE)
    if failed:
        raise failed[0]
    if not returned:
        raise Unreadable(f"was not read within {patience:g} s", "", "copy what is meant into a file")
    return returned[0]


class NotJson(ValueError):
    """Bytes that are no acceptable JSON; the text says why."""


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text (RFC 8259). Raises ``NotJson``.

    It must be UTF-8, without NaN and infinities, without lone surrogates (RFC 8259, 8.2), and without an
    object that has a name twice. The surrogates are allowed that Python uses for bytes that are not UTF-8
    (PEP 383).
    """

    def no_number(word: str) -> NoReturn:
        raise NotJson(f"{word} is no number")

    def finite(word: str) -> float:
        number = float(word)
        return number if math.isfinite(number) else no_number(word)

    def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
        unique: dict[str, Any] = {}
        for name, value in members:
            if name in unique:
                raise NotJson(f"the name {name[:40]!r} is there twice")
            unique[name] = value
        return unique

    try:
        value = json.loads(
            raw.decode("utf-8"), parse_constant=no_number, parse_float=finite, object_pairs_hook=once
        )
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except UnicodeDecodeError:
        raise NotJson("it is not in UTF-8") from None
    except UnicodeEncodeError:
        raise NotJson("it holds half a surrogate pair, which is no character") from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"it is no JSON: {error}") from None
    except ValueError as error:  # NotJson, and a number of too many digits
        raise NotJson(str(error)) from None
    return value
