"""``python -m controller.learning_switch ptcp:PORT[:ADDRESS]``: the process.

It ignores other words: it stands in for the controllers that Mininet starts (``controller -v ptcp:6653``).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from controller.learning_switch.core import Session
from controller.learning_switch.tree import VARIABLE, Wires

SERVED = "SDNLAB_SERVED"
"""The environment variable that names the folder for ``Server._note``."""
PORTS = (6653, 6633)
"""OpenFlow's registered port, and the one that was used before."""
CHECKED = 0.05
"""Seconds after which the file of wires is looked at again."""


class Server:
    """Serves all switches that connect to its listening sockets."""

    def __init__(self, listeners: Sequence[socket.socket], wires: Wires) -> None:
        self.listeners, self.wires = listeners, wires
        self.selector = selectors.DefaultSelector()
        for listener in listeners:
            self.selector.register(listener, selectors.EVENT_READ)
        self.sessions: dict[socket.socket, Session] = {}

    def serve(self) -> None:
        """Serve for ever."""
        while True:
            for key, _ in self.selector.select(CHECKED):
                if key.fileobj in self.listeners:
                    self._accept(key.fileobj)  # type: ignore[arg-type]
                else:
                    self._receive(key.fileobj)  # type: ignore[arg-type]
            if self.wires.changed():
                self._renew()

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wires.changed()
        session = Session(self.wires.blocked(self._down()))
        self.sessions[connection] = session
        self.selector.register(connection, selectors.EVENT_READ)
        self._send(connection, session.greeting())

    def _receive(self, connection: socket.socket) -> None:
        session = self.sessions[connection]
        before = self._down()
        try:
            data = connection.recv(65536)
            answer = session.receive(data)
        except (OSError, ValueError) as error:
            print(f"learning switch: {error}", flush=True)
            data = answer = b""
        if data:
            self._send(connection, answer)
            self._note(session)
        else:
            self._close(connection)
        if self._down() != before:
            self._renew()

    def _note(self, session: Session) -> None:
        """Tell others that a switch is served: by a file with its datapath id as name."""
        if session.dpid is not None and session.ports and not session.noted:
            session.noted = True
            folder = os.environ.get(SERVED)
            if folder:
                with contextlib.suppress(OSError):
                    (Path(folder) / f"{session.dpid:016x}").touch()

    def _renew(self) -> None:
        blocked = self.wires.blocked(self._down())
        for connection, session in list(self.sessions.items()):
            if change := session.block(blocked):
                self._send(connection, change)
        self._acknowledge()

    def _acknowledge(self) -> None:
        """Tell which state of the file of wires is in force: the time of its change, in ``wires.PID``."""
        if folder := os.environ.get(SERVED):
            with contextlib.suppress(OSError):
                file = Path(folder) / f"wires.{os.getpid()}"
                new = file.with_name(f"new.{os.getpid()}")
                new.write_text(str(self.wires.time))
                new.replace(file)

    def _down(self) -> set[str]:
        return {name for session in self.sessions.values() for name in session.lost}

    def _send(self, connection: socket.socket, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it is noticed at the next receive
            connection.sendall(data)

    def _close(self, connection: socket.socket) -> None:
        self.selector.unregister(connection)
        del self.sessions[connection]
        connection.close()


def addresses(words: Sequence[str]) -> list[tuple[str, int]]:
    """The addresses to listen on, by ``ptcp:[PORT][:ADDRESS]`` among the words; without a port: ``PORTS``."""
    for word in words:
        if word.startswith("ptcp:"):
            port, _, host = word.removeprefix("ptcp:").partition(":")
            return [(host or "0.0.0.0", int(number)) for number in ([port] if port else PORTS)]
    return [("0.0.0.0", port) for port in PORTS]


def main() -> None:
    """Listen, and serve until a signal ends the process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    listeners = []
    for host, port in addresses(sys.argv[1:]):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            print(f"learning switch: {host}:{port}: {error.strerror}", flush=True)
            continue
        listener.listen(1024)
        listeners.append(listener)
    if not listeners:
        raise SystemExit(1)
    Server(listeners, Wires(os.environ.get(VARIABLE, ""))).serve()


main()
