"""A virtual machine without a machine: the guest agent as a process, behind a socket like QEMU's."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from dataplane.hosts.guest import protocol
from dataplane.hosts.guest.files import ROOT
from dataplane.hosts.vm.channel import Broker

AGENT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from dataplane.hosts.guest.agent import main; main()"
)
CLIENT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from dataplane.hosts.vm.client import main; main()"
WAITS = b"sh -c 'trap \"exit 3\" INT; echo waits$((1)); while :; do sleep 0.05; done'"
"""For a shell: a program that is ready for Ctrl-C. The shell itself may lose it between fork and exec."""


def start_agent(connection: socket.socket, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """The agent on the other end of a stream; ``before``: a program that starts it, with its arguments."""
    words = [*before, sys.executable, "-I", "-S", "-c", AGENT, str(ROOT), str(connection.fileno())]
    return subprocess.Popen(words, pass_fds=[connection.fileno()], stdin=subprocess.DEVNULL)


class Agent:
    """The agent alone, spoken to frame by frame."""

    def __init__(self, before: Sequence[str] = ()) -> None:
        self.connection, theirs = socket.socketpair()
        with theirs:
            self.process = start_agent(theirs, before)
        self.connection.settimeout(60)
        self._parser = protocol.Parser()
        self._frames: list[tuple[int, int, bytes]] = []

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.process.wait(60)

    def send(self, kind: int, channel: int, payload: bytes = b"") -> None:
        self.connection.sendall(protocol.encode(kind, channel, payload))

    def run(self, channel: int, *words: str, terminal: bytes = b"", apart: bool = False) -> None:
        encoded = [os.fsencode(word) for word in words]
        self.send(protocol.RUN, channel, protocol.run_payload(encoded, [], terminal, apart))

    def next(self) -> tuple[int, int, bytes]:
        while not self._frames:
            data = self.connection.recv(1 << 16)
            assert data, "the agent has ended"
            self._frames += self._parser.feed(data)
        return self._frames.pop(0)

    def until(self, kind: int, channel: int | None = None) -> bytes:
        """The payload of the next frame of a kind; others before it are left out."""
        while True:
            got, on, payload = self.next()
            if got == kind and channel in (None, on):
                return payload

    def result(self, channel: int) -> tuple[int, bytes, bytes]:
        """(exit code, output, errors) of a command; what it says is read and acknowledged."""
        said = {protocol.OUTPUT: b"", protocol.ERRORS: b""}
        while True:
            kind, on, payload = self.next()
            if on != channel:
                continue
            if kind in said:
                said[kind] += payload
                stream = 1 if kind == protocol.OUTPUT else 2
                self.send(protocol.CREDIT, channel, protocol.credit_payload(stream, len(payload)))
            elif kind in (protocol.EXIT, protocol.FAILED):
                return protocol.parse_code(payload)[0], said[protocol.OUTPUT], said[protocol.ERRORS]


class Machine:
    """A broker in front of an agent. ``folder``: for the sockets, with a short path."""

    def __init__(self, folder: Path, before: Sequence[str] = ()) -> None:
        self.port = str(folder / "port")
        self.socket = str(folder / "agent")
        self._before = before
        self.changes: list[tuple[bool, str]] = []
        self.agent: subprocess.Popen[bytes] | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.port)
        self._listener.listen()
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        self.broker = Broker(self.port, self.socket, lambda ready, why: self.changes.append((ready, why)))
        self.broker.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.agent = start_agent(connection, self._before)
            connection.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.stop()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait(60)

    def command(self, *words: str) -> list[str]:
        """The arguments of a program that runs ``words`` in the machine."""
        return [sys.executable, "-I", "-S", "-c", CLIENT, str(ROOT), "h1", self.socket, *words]

    def run(self, *words: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        given = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
        return subprocess.run(self.command(*words), capture_output=True, timeout=120, check=False, **given)  # type: ignore[call-overload,no-any-return]
