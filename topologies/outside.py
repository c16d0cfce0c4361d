"""One way in for what others name: files are read by kind, size and time, and JSON by what it may hold.

A name can stand for a device that never ends, a pipe that nobody writes to, a file of /proc that waits for
news, a network file system that does not answer.  Nothing here waits for longer than it says, takes more than
it says, or has effects on what is named.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import threading
from collections.abc import Callable
from os import PathLike
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds that a file gets to be read."""
_PIECE = 1 << 20
_REMEDIES = {
    errno.ENOENT: ("there is no such file", "check the name"),
    errno.ENOTDIR: ("a part of the path is not a directory", "check the name"),
    errno.EACCES: ("may not be read", "check the permissions (chmod +r)"),
    errno.EPERM: ("may not be read", "check the permissions (chmod +r)"),
    errno.ELOOP: ("symbolic links go round in a circle", "check the links"),
    errno.ENAMETOOLONG: ("the name is too long", "check the name"),
    errno.EAGAIN: ("has nothing to read now", "copy what is meant into a file"),
}
_KINDS: tuple[tuple[Callable[[int], bool], str, str], ...] = (
    (stat.S_ISDIR, "is a directory", ""),
    (stat.S_ISFIFO, "is a pipe", "write what comes into a file first"),
    (stat.S_ISSOCK, "is a socket", ""),
    (stat.S_ISCHR, "is a device", ""),
    (stat.S_ISBLK, "is a device", ""),
)
Name = str | PathLike[str]


class Unreadable(Exception):
    """What is named can't be read. ``what`` goes after its name; ``allowed`` and ``remedy`` may be empty."""

    def __init__(self, what: str, allowed: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.allowed, self.remedy = what, allowed, remedy

    def words(self, name: object) -> str:
        """A sentence about what is called ``name``."""
        return f"{name} {self.what}" if self.what.split(" ", 1)[0] in _VERBS else f"{name}: {self.what}"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return "; ".join(text for text in (self.allowed and f"allowed: {self.allowed}", self.remedy) if text)


_VERBS = ("is", "may", "has", "was", "cannot")


def open_file(file: Name, allowed: str = "a file", patience: float = PATIENCE) -> int:
    """A descriptor to read a regular file; raises ``Unreadable``, also when opening it takes too long.

    ``allowed``: what may be named here, in words.
    """
    return _within(patience, lambda: _open(file, allowed))


def read(file: Name, limit: int, allowed: str = "a file", patience: float = PATIENCE) -> bytes:
    """A regular file's content, of up to ``limit`` bytes; raises ``Unreadable``."""

    def work() -> bytes:
        descriptor = _open(file, allowed)
        try:
            pieces, left = [], limit + 1
            while left > 0 and (piece := os.read(descriptor, min(left, _PIECE))):
                pieces.append(piece)
                left -= len(piece)
        except OSError as error:
            _refuse(error)
        finally:
            os.close(descriptor)
        if left <= 0:
            raise Unreadable("is too big", f"up to {size_text(limit)}")
        return b"".join(pieces)

    return _within(patience, work)


def size_text(limit: int) -> str:
    """``4 MB``, ``512 kB``."""
    return f"{limit // 1024 // 1024} MB" if limit >= 1024 * 1024 else f"{limit // 1024} kB"


def _open(file: Name, allowed: str) -> int:
    try:
        _check(os.stat(file).st_mode, allowed)  # noqa: PTH116 - opening a device may have effects
        # it may have been replaced since: not to block, and to look again, costs nothing
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        _refuse(error)
    except ValueError:  # a NUL, or what no name can hold
        raise Unreadable("cannot be a file's name", "", "check the name") from None
    try:
        _check(os.fstat(descriptor).st_mode, allowed)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(mode: int, allowed: str) -> None:
    for test, what, remedy in _KINDS:
        if test(mode):
            raise Unreadable(what, allowed, remedy)
    if not stat.S_ISREG(mode):
        raise Unreadable("is not a regular file", allowed)


def _refuse(error: OSError) -> NoReturn:
    what, remedy = _REMEDIES.get(error.errno or 0, (error.strerror or str(error), ""))
    raise Unreadable(what, "", remedy) from None


def _within(patience: float, work: Callable[[], T]) -> T:
    """What ``work`` gives, in a thread that is left behind if it takes longer than ``patience`` seconds."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="reading", daemon=True)
    thread.start()
    thread.join(patience)
    if failed:
        raise failed[0]
    if not found:
        raise Unreadable(f"was not read within {patience:g} s", "", "copy what is meant into a file")
    return found[0]


class NotJson(ValueError):
    """Bytes that are no JSON that we take; the text says why."""


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text (RFC 8259): UTF-8, numbers that are some, characters that are some.

    Raises ``NotJson``. Lone surrogates stand for no character (RFC 8259, 8.2), but those by which Python
    carries the bytes of names that are not in UTF-8 (PEP 383) are taken.
    """

    def no_number(word: str) -> NoReturn:
        raise NotJson(f"{word} is no number")

    def finite(word: str) -> float:
        number = float(word)
        return number if math.isfinite(number) else no_number(word)

    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=no_number, parse_float=finite)
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
