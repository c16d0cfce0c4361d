"""The user's terminal as the terminal of a virtual machine's serial console."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator

from linux.readiness import readable

WAY_OUT = 0x1D
"""Ctrl-], as telnet(1) and virsh(1) have it."""


def relay(stream: socket.socket, name: str) -> int:
    """Pass what is typed to ``stream``, and what comes from there to the standard output; an exit code.

    It ends at Ctrl-] on a terminal, or when the stream ends.
    """
    typed = os.isatty(0)
    if typed:
        _tell(f"the console of {name}; Ctrl-] leaves it\n")
    with _raw() if typed else contextlib.nullcontext():
        ended = _pass_on(stream, typed)
    if typed:
        _tell(f"\nthe console of {name} has ended\n" if ended else f"\nleft the console of {name}\n")
    return 0


def _pass_on(stream: socket.socket, typed: bool) -> bool:
    """Whether the stream has ended."""
    sources: list[int] = [0, stream.fileno()]
    while True:
        ready = readable(sources)
        if stream.fileno() in ready:
            try:
                data = stream.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                return True
            _write(data)
        if 0 in ready:
            data = os.read(0, 4096)
            out = data.find(WAY_OUT) if typed else -1
            with contextlib.suppress(ConnectionError):
                stream.sendall(data[:out] if out >= 0 else data)
            if out >= 0 or (typed and not data):
                return False
            if not data:
                sources.remove(0)


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """The terminal passes each key on; it is as before afterwards, also when a signal ends us."""
    import termios
    import tty

    before = termios.tcgetattr(0)

    def restore(number: int, _frame: object) -> None:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, restore)
    tty.setraw(0)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # it is gone
            termios.tcsetattr(0, termios.TCSADRAIN, before)
