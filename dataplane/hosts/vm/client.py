"""Runs a command in a virtual machine, as if it ran here; and asks its agent.

It is a program of the machine's broker (``dataplane.hosts.vm.channel``).  The command's standard streams,
exit code and signals are this process's own.  Where input and output are a terminal, the command gets a
terminal of its own in the machine, and this one hands over each key.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import FrameType
from typing import Any

from dataplane.hosts.guest import protocol

LOST = 255
"""The exit code when the machine is lost, as ssh(1) has it."""
PASSED = frozenset({"TERM", "LANG"})
PASSED_BEGINNING = "SDNLAB"
PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
OWN = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
CROWDED = 1 << 17
SAFE = select.PIPE_BUF
"""Octets that a descriptor takes without blocking when poll(2) says that it can be written to."""
LOOK = 200
"""Milliseconds between looks whether a terminal's background process has come to the foreground."""
ENOUGH, DEAF = 3, 1.0
"""So many Ctrl-C and signals without answer, for so many seconds: the machine hangs, and is left alone."""
INTERRUPT = b"\x03"
_TIOCGWINSZ = 0x5413
_CHANNEL = 1


class Unreachable(Exception):
    """The machine's agent does not answer; the message says why."""


def agent_socket(folder: str) -> str:
    """The path of the socket for programs that speak to a machine's agent; ``folder``: of its sockets."""
    return f"{folder}/agent"


def passed(environment: Mapping[str, str]) -> dict[str, str]:
    """What of the caller's environment a command in a machine gets: TERM, LANG and sdnlab's own variables."""
    return {
        name: value
        for name, value in environment.items()
        if name in PASSED or name.startswith(PASSED_BEGINNING)
    }


def run(path: str, words: Sequence[str], environment: Mapping[str, str], name: str = "the machine") -> int:
    """Run a command in the machine whose broker offers the socket ``path``; its exit code.

    ``environment``: the command's, beside that of the machine. It is 128 + N when signal N ended the command,
    127 or 126 when it could not be started, 255 when the machine is lost: then a message names ``name``.  The
    calling thread is the main one.
    """
    while (
        fd := os.open(os.devnull, os.O_RDWR)
    ) <= 2:  # our own descriptors must not stand in for closed ones
        os.set_inheritable(fd, True)
    os.close(fd)
    pairs = [os.fsencode(f"{key}={value}") for key, value in environment.items()]
    try:
        connection = connect(path)
    except Unreachable as error:
        return _complain(f"{name}: {error}", LOST)
    with connection:
        try:
            return _Session(connection, name).run([os.fsencode(word) for word in words], pairs)
        except ValueError:
            return _complain(f"{name}: the command and its environment are too long", 126)


def wait_until_ready(path: str, patience: float) -> None:
    """Wait until the agent answers, at most ``patience`` seconds. Raises Unreachable."""
    _ask(path, protocol.PING, b"", patience)


def configure(path: str, steps: Iterable[Sequence[bytes]], patience: float = 30.0) -> list[str]:
    """Have the agent do ``steps`` (``dataplane.hosts.guest.configure``); a text for each that failed.

    Raises Unreachable.
    """
    failures: list[str] = []
    payloads = list(_in_frames(steps))
    for payload in payloads:
        answer = _ask(path, protocol.CONFIGURE, payload, patience)
        failures += [text.decode("utf-8", "replace") for text in protocol.unpack(answer)]
    return failures


def _in_frames(steps: Iterable[Sequence[bytes]]) -> Iterable[bytes]:
    """Payloads that fit into frames; a long file goes in several steps."""
    some: list[Sequence[bytes]] = []
    size = 0
    most = protocol.MOST // 2
    for step in steps:
        parts: list[Sequence[bytes]] = [step]
        if step[0] == b"file" and len(step[3]) > most:
            _, path, mode, content = step
            parts = [(b"file", path, mode, content[:most])]
            parts += [(b"append", path, content[at : at + most]) for at in range(most, len(content), most)]
        for part in parts:
            needs = sum(len(field) + 4 for field in part) + 4
            if some and size + needs > protocol.MOST:
                yield protocol.steps_payload(some)
                some, size = [], 0
            some.append(part)
            size += needs
    if some:
        yield protocol.steps_payload(some)


def connect(path: str) -> socket.socket:
    """A connection to the broker. Raises Unreachable."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise Unreachable(f"the machine does not run ({error.strerror})") from None
    return connection


def _receive(connection: socket.socket) -> bytes:
    """What has arrived. An end that closes before it has read all is reported first, but its last words are
    still there."""
    try:
        return connection.recv(1 << 18)
    except ConnectionResetError:
        return connection.recv(1 << 18)


def _ask(path: str, kind: int, payload: bytes, patience: float) -> bytes:
    """Send a question and wait for its answer. Raises Unreachable."""
    deadline = time.monotonic() + patience
    parser = protocol.Parser()
    with connect(path) as connection:
        try:
            connection.settimeout(patience)
            connection.sendall(protocol.encode(kind, _CHANNEL, payload))
            while True:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                data = _receive(connection)
                if not data:
                    raise Unreachable("the machine has ended")
                for answer, _, text in parser.feed(data):
                    if answer == protocol.LOST:
                        raise Unreachable(text.decode("utf-8", "replace"))
                    if answer in (protocol.PONG, protocol.CONFIGURED):
                        return text
        except TimeoutError:
            raise Unreachable(f"its agent did not answer within {patience:g} s") from None
        except OSError as error:
            raise Unreachable(f"the machine has ended ({error.strerror})") from None


def _complain(text: str, code: int) -> int:
    with contextlib.suppress(OSError):
        os.write(2, f"sdnlab: {text}\n".encode("utf-8", "replace"))
    return code


class _Session:
    """One command, from its start to its exit code."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self._connection = connection
        self._name = name
        self._parser = protocol.Parser()
        self._out = bytearray()
        self._credit = protocol.WINDOW
        self._reads = True
        self._waiting = {1: bytearray(), 2: bytearray()}
        self._at_once = {stream: _whole(stream) for stream in self._waiting}
        self._code: int | None = None
        self._terminal: list[int | list[bytes | int]] | None = None
        self._raw = False
        self._woken, self._wakes = -1, -1
        self._background = False
        self._word = ""
        self._unanswered = 0
        self._asked = 0.0

    def run(self, words: Sequence[bytes], environment: Iterable[bytes]) -> int:
        """Run it; the exit code. Raises ValueError when there are too many words."""
        self._connection.setblocking(False)
        self._word = words[0].decode("utf-8", "replace") if words else "a shell"
        handlers, wakeup = self._take_signals()
        try:
            is_terminal = [os.isatty(fd) for fd in range(3)]
            self._background = is_terminal[0] and not in_foreground()
            interactive = is_terminal[0] and is_terminal[1] and not self._background
            size = _size() if interactive else b""
            apart = interactive and not is_terminal[2]
            self._send(protocol.RUN, protocol.run_payload(words, environment, size, apart))
            if interactive:
                self._make_raw()
            while self._code is None or any(self._waiting.values()):
                self._turn()
            return self._code
        finally:
            self._restore()
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(self._woken)
            os.close(self._wakes)

    def _take_signals(self) -> tuple[dict[signal.Signals, Any], int]:
        """Take signals as octets of a pipe. Those that are ignored stay so: nohup(1), ``&`` in a script."""
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wakes, False)
        handlers: dict[signal.Signals, Any] = {}
        for number in (*PASSED_ON, *OWN):
            handlers[number] = signal.getsignal(number)
            if handlers[number] != signal.SIG_IGN:
                signal.signal(number, _only_wake)
        for number in (signal.SIGTTIN, signal.SIGPIPE):
            handlers[number] = signal.signal(number, signal.SIG_IGN)
        return handlers, signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)

    def _turn(self) -> None:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if self._code is None:
            poll.register(self._connection, select.POLLIN | (select.POLLOUT if self._out else 0))
        if self._wants_input:
            poll.register(0, select.POLLIN)
        for stream, waiting in self._waiting.items():
            if waiting:
                poll.register(stream, select.POLLOUT)
        events = dict(poll.poll(LOOK if self._background else None))
        if self._woken in events:
            for number in os.read(self._woken, 4096):
                self._hear(number)
        if self._background:
            self._background = not in_foreground()
        if self._connection.fileno() in events:
            self._read()
        if 0 in events and self._wants_input:
            self._read_input()
        for stream in (1, 2):
            if stream in events:
                self._write_output(stream)
        self._flush()

    @property
    def _wants_input(self) -> bool:
        if self._background or self._code is not None:
            return False
        return self._reads and self._credit > 0 and len(self._out) < CROWDED

    def _read(self) -> None:
        try:
            data = _receive(self._connection)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for kind, _, payload in self._parser.feed(data):
            self._unanswered = 0
            if kind == protocol.OUTPUT or kind == protocol.ERRORS:
                stream = 1 if kind == protocol.OUTPUT else 2
                self._waiting[stream] += payload
                self._write_output(stream, poll=True)
            elif kind == protocol.CREDIT:
                self._credit = min(self._credit + protocol.parse_credit(payload)[1], protocol.WINDOW)
            elif kind == protocol.EXIT:
                self._code = protocol.parse_code(payload)[0]
            elif kind == protocol.FAILED:
                self._code, why = protocol.parse_code(payload)
                self._message(f"{self._word}: {why}")
            elif kind == protocol.LOST:
                self._lose(payload.decode("utf-8", "replace"))
        if not data:
            self._lose("the machine has ended")

    def _lose(self, why: str) -> None:
        if self._code is None:
            self._code = LOST
            self._message(f"{self._name}: {why}")

    def _message(self, text: str) -> None:
        self._restore()
        self._waiting[2] += f"sdnlab: {text}\n".encode("utf-8", "replace")

    def _read_input(self) -> None:
        try:
            data = os.read(0, min(protocol.CHUNK, self._credit))
        except OSError as error:
            if error.errno == errno.EIO and os.isatty(0) and not in_foreground():
                self._background = True
                return
            data = b""
        self._credit -= len(data)
        self._reads = bool(data)
        if self._raw and INTERRUPT in data:
            self._ask(data.count(INTERRUPT))
        self._send(protocol.INPUT, data)

    def _write_output(self, stream: int, poll: bool = False) -> None:
        """Write what waits, as far as it does not block. ``poll``: it is not known yet whether it would."""
        waiting = self._waiting[stream]
        whole = self._at_once[stream]
        ready = select.poll()
        ready.register(stream, select.POLLOUT)
        written = 0
        try:
            while waiting:
                if poll and not whole and not ready.poll(0):
                    break
                count = os.write(stream, waiting if whole else waiting[:SAFE])
                del waiting[:count]
                written += count
                poll = True
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return
            waiting.clear()
            if self._code is None:
                self._send(protocol.UNREAD, bytes([stream]))
            return
        if written and self._code is None:
            self._send(protocol.CREDIT, protocol.credit_payload(stream, written))

    def _hear(self, number: int) -> None:
        """A signal arrived."""
        if number == signal.SIGWINCH:
            if self._raw:
                self._send(protocol.RESIZE, _size())
        elif number == signal.SIGCONT:
            if self._terminal is not None:
                self._make_raw()
                self._send(protocol.RESIZE, _size())
            self._send(protocol.SIGNAL, bytes([number]))
        elif number == signal.SIGTSTP:
            self._send(protocol.SIGNAL, bytes([number]))
            self._flush()
            self._restore(for_good=False)
            os.kill(os.getpid(), signal.SIGSTOP)
        elif number in PASSED_ON:
            if self._code is not None:  # the reader of our output does not read
                self._code = 128 + number
                for waiting in self._waiting.values():
                    waiting.clear()
            self._send(protocol.SIGNAL, bytes([number]))
            self._ask(1)

    def _ask(self, times: int) -> None:
        """The user wants the command to end. A machine that hangs must not keep the terminal."""
        now = time.monotonic()
        if not self._unanswered:
            self._asked = now
        self._unanswered += times
        if self._unanswered >= ENOUGH and now - self._asked >= DEAF:
            self._lose("it does not answer; its command may still run")

    def _send(self, kind: int, payload: bytes = b"") -> None:
        self._out += protocol.encode(kind, _CHANNEL, payload)

    def _flush(self) -> None:
        try:
            while self._out and self._code is None:
                del self._out[: self._connection.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self._out.clear()  # reading says why

    def _make_raw(self) -> None:
        import termios
        import tty

        if self._terminal is None:
            self._terminal = termios.tcgetattr(0)
        tty.setraw(0, termios.TCSADRAIN)
        self._raw = True

    def _restore(self, for_good: bool = True) -> None:
        if self._raw and self._terminal is not None:
            import termios

            # also from the background, where the default of this signal would stop us
            before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, self._terminal)
            signal.signal(signal.SIGTTOU, before)
        self._raw = False
        if for_good:
            self._terminal = None


def _only_wake(number: int, frame: FrameType | None) -> None:
    """Python writes the number to the pipe."""


def in_foreground() -> bool:
    """Whether this process may read from the terminal that is its standard input.

    SIGTTIN must be ignored. Process groups can't be compared: from inside the lab's PID namespace, those
    outside have no number.
    """
    try:
        os.read(0, 0)
    except OSError as error:
        return error.errno != errno.EIO
    return True


def _whole(fd: int) -> bool:
    """Whether writing never blocks for long: a file."""
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False


def _size() -> bytes:
    import fcntl

    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, _TIOCGWINSZ, bytes(8)))
    except OSError:
        rows, columns = 0, 0
    return protocol.size_payload(rows or 24, columns or 80)


def main() -> None:
    """Run a command in a machine. Arguments: ``NAME SOCKET COMMAND...``."""
    name, path, *words = sys.argv[1:]
    sys.exit(run(path, words, passed(os.environ), name))
