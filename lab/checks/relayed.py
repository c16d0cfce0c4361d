"""Sockets of hosts that have a kernel of their own: a program in the host opens them, and passes on what
goes through.

The program is Python, as the agent of a virtual machine is.  It first says whether it is connected: with a
line feed, or with the number and the text of an error.  Datagrams go through as DNS messages do over TCP
(RFC 7766): two octets with the length before each; from the host, a length of 0 before an error.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import IO

from lab.checks.retrying import Impossible
from lab.checks.room import Visit
from linux.readiness import readable

STARTING = 15.0
"""Seconds that the program may take to begin: an emulated processor is slow."""
ENDING = 1.0
"""Seconds in which it ends by itself."""
PROGRAM = """\
import os, select, socket, sys
kind, address, port, seconds = sys.argv[1:]
def told(error):
    return b"%d " % (error.errno or 0) + (error.strerror or str(error)).encode()
def write(data):
    while data:
        data = data[os.write(1, data):]
def pump(far):
    begun, poller = b"", select.poll()
    for one in (0, far):
        poller.register(one, select.POLLIN)
    while True:
        ready = [one for one, _ in poller.poll()]
        if far.fileno() in ready:
            data = far.recv(65536)
            if kind == "tcp" and not data:
                return
            write(data if kind == "tcp" else len(data).to_bytes(2, "big") + data)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            if kind == "tcp":
                far.sendall(data)
                continue
            begun += data
            while len(begun) > 1 and len(begun) >= 2 + int.from_bytes(begun[:2], "big"):
                size = 2 + int.from_bytes(begun[:2], "big")
                far.send(begun[2:size])
                begun = begun[size:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
try:
    far = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    far.settimeout(float(seconds))
    far.connect((address, int(port)))
    far.settimeout(None)
except OSError as error:
    write(told(error))
    sys.exit(1)
write(b"\\n")
try:
    pump(far)
except OSError as error:
    if kind == "udp":
        write(bytes(2) + told(error))
"""


class Datagrams:
    """A connected datagram socket in a host."""

    def __init__(self, stream: socket.socket, seconds: float) -> None:
        self._stream = stream
        self._timeout = seconds

    def settimeout(self, seconds: float) -> None:
        """So long ``recv`` waits."""
        self._timeout = seconds

    def send(self, data: bytes) -> int:
        """Send a datagram. Raises OSError."""
        self._stream.sendall(len(data).to_bytes(2, "big") + data)
        return len(data)

    def recv(self, most: int) -> bytes:
        """The next datagram, at most so many octets of it. Raises OSError."""
        until = time.monotonic() + self._timeout
        size = int.from_bytes(self._exactly(2, until), "big")
        if not size:
            raise _error(_rest(self._stream, until))
        return self._exactly(size, until)[:most]

    def _exactly(self, count: int, until: float) -> bytes:
        data = b""
        while len(data) < count:
            self._stream.settimeout(max(0.01, until - time.monotonic()))
            piece = self._stream.recv(count - len(data))
            if not piece:
                raise OSError(0, "the host ended the program that asks")
            data += piece
        return data


@contextlib.contextmanager
def stream(source: str, address: str, port: int, seconds: float, visit: Visit) -> Iterator[socket.socket]:
    """A stream that is connected from a host, as long as it is open. ``seconds``: in which it must be
    connected, once the program runs. Raises OSError, Impossible and Cancelled."""
    with _connected(source, ["tcp", address, str(port), f"{seconds:.3f}"], seconds, visit) as opened:
        opened.settimeout(seconds)
        yield opened


@contextlib.contextmanager
def datagrams(source: str, address: str, port: int, seconds: float, visit: Visit) -> Iterator[Datagrams]:
    """Datagrams from a host, as long as it is open. Raises as ``stream``."""
    with _connected(source, ["udp", address, str(port), f"{seconds:.3f}"], seconds, visit) as opened:
        yield Datagrams(opened, seconds)


@contextlib.contextmanager
def _connected(source: str, words: list[str], seconds: float, visit: Visit) -> Iterator[socket.socket]:
    with tempfile.TemporaryFile() as said:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = _started(source, words, theirs, said, visit)
            try:
                _await_sign(source, ours, said, seconds, visit)
                yield ours
            finally:
                with contextlib.suppress(OSError):
                    ours.shutdown(socket.SHUT_RDWR)
                _end(process)


def _started(
    source: str, words: list[str], ends: socket.socket, said: IO[bytes], visit: Visit
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            visit.room.command(source, ["python3", "-I", "-S", "-c", PROGRAM, *words]),
            stdin=ends.fileno(),
            stdout=ends.fileno(),
            stderr=said,
            cwd="/",
            start_new_session=True,
        )
    except (OSError, KeyError) as error:
        raise Impossible(f"no program runs in {source}: {error}") from None


def _await_sign(source: str, ours: socket.socket, said: IO[bytes], seconds: float, visit: Visit) -> None:
    until = time.monotonic() + STARTING + seconds
    while not readable([ours], 0.1):
        visit.rest(0)
        if time.monotonic() > until:
            raise Impossible(f"a program in {source} has not begun within {STARTING:g} s")
    first = ours.recv(1)
    if not first:
        raise Impossible(f"a program in {source} has ended: {_last_line(said)}")
    if first != b"\n":
        raise _error(first + _rest(ours, until))


def _end(process: subprocess.Popen[bytes]) -> None:
    """The program ends when its input does; a machine that stands still does not let it."""
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _rest(opened: socket.socket, until: float) -> bytes:
    data = b""
    while len(data) < 1 << 10:
        opened.settimeout(max(0.01, until - time.monotonic()))
        piece = opened.recv(1 << 10)
        if not piece:
            break
        data += piece
    return data


def _error(told: bytes) -> OSError:
    number, _, text = told.decode("utf-8", "replace").partition(" ")
    return OSError(int(number) if number.isdecimal() else 0, text or "an error without a text")


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read(1 << 12).decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else "it says nothing"
