"""Copies files between this machine and hosts of every kind, by a tar in the host: over no network."""

from __future__ import annotations

import os
import posixpath
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from lab.cli import enter
from lab.cli.archive import (
    Copied,
    End,
    Member,
    archived_members,
    base_name,
    in_host,
    local_members,
    receive,
    send,
)
from lab.cli.say import can_overwrite, err, out, overwrite_line
from lab.failure import Failure
from linux import syscalls

QUIET, STEP = 1.0, 0.2
"""Seconds without a word about the progress, and between two words."""
LOOK = """
command -v tar >/dev/null || { echo no-tar; exit; }
readlink -f "$1" || echo "$1"
if [ -d "$1" ]; then echo directory
elif [ -e "$1" ] || [ -L "$1" ]; then echo file
elif [ -d "$2" ]; then echo new
else echo nothing
fi
"""
"""Says what a path in a host is without links, and what is there. Arguments: the path, and that above it."""


class Inside(NamedTuple):
    """A lab that commands enter: its name, and its supervisor."""

    lab: str
    pid: int


class Running(NamedTuple):
    """A command in a host: its process here, and the ends of its pipes."""

    pid: int
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def finish(self) -> tuple[int, str]:
        """End its input, and wait for it: its exit code, and what it said on standard error."""
        with suppress(OSError):
            self.stdin.close()
        self.stdout.close()
        _, status = os.waitpid(self.pid, 0)
        self.stderr.seek(0)
        said = self.stderr.read(1 << 16).decode("utf-8", "replace").strip()
        self.stderr.close()
        return os.waitstatus_to_exitcode(status), said


def run(inside: Inside, sources: Sequence[End], target: End) -> None:
    """Copy, and say what was copied. Raises Failure."""
    copied = Copied(Progress().tell)
    try:
        into = _is_directory(inside, target, len(sources) > 1)
        for source in sources:
            _copy(inside, source, _under(target, base_name(source)) if into else target, copied)
    finally:
        if can_overwrite(sys.stderr):
            overwrite_line("")
    for path in copied.skipped:
        err(f"note: {path} was left out: it is no file, directory or link")
    out(f"{copied.files} file{'s' if copied.files != 1 else ''} copied, {_size(copied.octets)}")


def _under(directory: End, name: str) -> End:
    return End(directory.host, f"{directory.path.rstrip('/') or ('/' if directory.path else '.')}/{name}")


def _is_directory(inside: Inside, target: End, must: bool) -> bool:
    """Whether the copies go into the target, or become it. Raises Failure."""
    if target.host:
        kind, _ = look(inside, target)
    else:
        path = Path(target.path)
        kind = "directory" if path.is_dir() else "file" if path.exists() else "nothing"
        kind = "new" if kind == "nothing" and path.absolute().parent.is_dir() else kind
    if kind == "nothing":
        raise Failure(f"{target}: the directory above it does not exist", "make it first: mkdir -p")
    if kind != "directory" and (must or target.path.endswith("/")):
        remedy = "several sources need a directory" if must else "without the / at its end it names a file"
        raise Failure(f"{target} is no directory", remedy)
    return kind == "directory"


def look(inside: Inside, end: End) -> tuple[str, str]:
    """What is there, and its path without symbolic links.

    It is a ``directory``, ``file``, ``new`` (not there, but the directory above is) or ``nothing``. Raises
    Failure.
    """
    path = in_host(end.path)
    running = start(inside, end.host, ["sh", "-c", LOOK, "sh", path, posixpath.dirname(path)])
    said = running.stdout.read().decode("utf-8", "surrogateescape")
    code, wrong = running.finish()
    if said.strip() == "no-tar" or code == 127:
        raise Failure(f"{end.host} has no {'sh' if code else 'tar'}", "copy needs sh and tar in the host")
    real, _, kind = said.removesuffix("\n").rpartition("\n")
    if code or kind not in ("directory", "file", "new", "nothing"):
        raise Failure(f"{end}: {_reason(wrong) or f'looking there ended with exit code {code}'}")
    return kind, real or path


def _copy(inside: Inside, source: End, target: End, copied: Copied) -> None:
    if source.host == target.host and source.host and in_host(source.path) == in_host(target.path):
        raise Failure(f"{source} and {target} are the same")
    with _reading(inside, source) as members:
        if not target.host:
            receive(members, Path(target.path), copied)
            return
        above, name = posixpath.split(in_host(target.path))
        with (
            _running(inside, target, ["tar", "-C", above, "-xpof", "-"]) as writing,
            _until_end(writing.stdin),
        ):
            send(members, writing.stdin, name or ".", copied)


@contextmanager
def _reading(inside: Inside, source: End) -> Iterator[Iterator[Member]]:
    """The members of what is at ``source``."""
    if not source.host:
        yield local_members(Path(source.path))
        return
    kind, real = look(inside, source)
    if kind not in ("directory", "file"):
        raise Failure(f"{source}: No such file or directory")
    above, name = posixpath.split(real)
    with _running(inside, source, ["tar", "-C", above, "-cf", "-", f"./{name}"]) as reading:
        try:
            yield archived_members(reading.stdout, name)
            while reading.stdout.read(1 << 16):  # what pads the archive: tar must not get SIGPIPE
                pass
        except tarfile.TarError as error:
            said = reading.finish()[1]
            raise Failure(f"{source}: {_reason(said) or error}") from None


@contextmanager
def _running(inside: Inside, end: End, words: Sequence[str]) -> Iterator[Running]:
    """A tar in a host. Its failure is the copy's."""
    running = start(inside, end.host, words)
    done = False
    try:
        yield running
        done = True
        code, said = running.finish()
        if code:
            raise Failure(f"{end}: {_reason(said) or f'tar ended with exit code {code}'}")
    except BaseException:
        if not done and not running.stdout.closed:
            with suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGTERM)
            running.finish()
        raise


@contextmanager
def _until_end(stream: IO[bytes]) -> Iterator[None]:
    """A tar that ends early says why itself: so its closed pipe is no error. A file that shrinks is one."""
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        raise Failure(f"{error.filename or 'a file'}: {error.strerror or error}") from None


def _reason(text: str) -> str:
    """The reason in what tar says: the first line, without the program's name."""
    lines = [line.removeprefix("tar: ").removeprefix("sdnlab: ") for line in text.splitlines()]
    return lines[0] if lines else ""


def start(inside: Inside, host: str, words: Sequence[str]) -> Running:
    """Start a command in a host, with pipes."""
    sys.stdout.flush()
    sys.stderr.flush()
    their_in, our_in = os.pipe()
    our_out, their_out = os.pipe()
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - ``finish`` closes it
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            syscalls.hang_up_with_parent()
            for number, fd in enumerate((their_in, their_out, errors.fileno())):
                os.dup2(fd, number)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            os.chdir("/")
            code = enter.run_in(inside.lab, inside.pid, host, words)
        except Failure as failure:
            os.write(2, f"sdnlab: {failure.what}\n".encode())
        finally:
            os._exit(code)
    os.close(their_in)
    os.close(their_out)
    return Running(pid, os.fdopen(our_in, "wb"), os.fdopen(our_out, "rb"), errors)


class Progress:
    """Says how far a copy is, on a terminal, when it takes longer than a moment."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._next = self._begun + QUIET if can_overwrite(sys.stderr) else float("inf")

    def tell(self, copied: Copied) -> None:
        """Something was copied."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + STEP
            rate = copied.octets / (now - self._begun)
            overwrite_line(f"{_size(copied.octets)}, {_size(rate)}/s  {copied.name[-50:]}")


def _size(octets: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if octets < 1000 or unit == "GB":
            break
        octets /= 1000
    return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
