"""The agent in a virtual machine: it runs commands and configures the machine for the lab.

It serves one stream of octets, usually a port of virtio-serial.  One thread waits for all: the port, the
commands' pipes and terminals, and the ends of their processes.  What it holds in memory is bounded by the
streams' windows.  The port may lose its other end and find another one (the lab's broker began again, the
machine was restored or moved): a HELLO of a new session hangs up all that runs for the old one.
"""

from __future__ import annotations

import os
import select
import sys

from dataplane.hosts.guest import protocol
from dataplane.hosts.guest.command import Command, NotStarted
from dataplane.hosts.guest.configure import Steps

NAME = "sdnlab.agent"
"""The port's name."""
PORTS = "/sys/class/virtio-ports"
ENVIRONMENT = {
    b"PATH": b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    b"HOME": b"/root",
    b"USER": b"root",
    b"LOGNAME": b"root",
    b"SHELL": b"/bin/sh",
    b"LANG": b"C.UTF-8",
}
CROWDED = 1 << 18
"""Octets that wait for the port, from which on no more output is read."""
RETRY = 20
"""Milliseconds between looks whether a port without other end has one again."""
READ = 1 << 16
"""Octets of one read."""
PIECES = 16
"""Reads of one turn."""


class Agent:
    """Serves a stream. ``lasting``: it is a port that may get another other end; else its end is ours."""

    def __init__(self, port: int, lasting: bool) -> None:
        self._port = port
        self._lasting = lasting
        self._parser = protocol.Parser()
        self._out: list[bytes] = []
        """Frames that wait; the first may be a part. They are not joined: copies are dear, too."""
        self._queued = 0
        self._commands: dict[int, Command] = {}
        self._by_fd: dict[int, Command] = {}
        self._over: dict[int, Command] = {}
        """Commands whose user is gone, by the descriptor of their process."""
        self._drained: set[int] = set()
        """Outputs of commands that have ended; processes that they left behind may write there."""
        self._environment = dict(ENVIRONMENT)
        self._steps = Steps(self._environment)
        self._session = protocol.NONE
        self._away = False
        os.set_blocking(port, False)

    def serve(self) -> None:
        """Serve until the stream ends."""
        self._send(protocol.HELLO, 0, protocol.hello_payload(protocol.NONE))
        while True:
            poll = select.poll()
            if not self._away:
                poll.register(self._port, select.POLLIN | (select.POLLOUT if self._out else 0))
            for fd in self._over:
                poll.register(fd, select.POLLIN)
            for fd in self._drained:
                poll.register(fd, select.POLLIN)
            for command in self._commands.values():
                self._wait_for(command, poll)
            events = dict(poll.poll(RETRY if self._away else None))
            self._serve_commands(events)
            if not self._read(events.get(self._port)):
                return
            for command in [command for command in self._commands.values() if command.is_told]:
                self._end(command)
            self._write()

    def _wait_for(self, command: Command, poll: select.poll) -> None:
        if command.handle >= 0:
            poll.register(command.handle, select.POLLIN)
        wanted: dict[int, int] = {}
        if self._queued < CROWDED:
            wanted = {fd: select.POLLIN for fd in command.outputs if command.may_read(fd)}
        if command.wants_to_write:
            wanted[command.stdin] = wanted.get(command.stdin, 0) | select.POLLOUT
        for fd, mask in wanted.items():
            poll.register(fd, mask)

    def _read(self, event: int | None) -> bool:
        """Read the port and do what is asked; False: it has ended for good."""
        if self._away or (event is not None and event & ~select.POLLOUT):
            data = self._received()
            if self._away and not self._lasting:
                for command in list(self._commands.values()):
                    self._abandon(command)
                return False
            for kind, channel, payload in self._parser.feed(data):
                self._handle(kind, channel, payload)
        return True

    def _received(self) -> bytes:
        """What has arrived, up to a bound. The port gives a page at a time, and a turn is dear."""
        pieces = []
        self._away = False
        try:
            for _ in range(PIECES):
                piece = os.read(self._port, READ)
                if not piece:
                    self._away = True
                    break
                pieces.append(piece)
        except BlockingIOError:
            pass
        except OSError:
            self._away = True
        return b"".join(pieces)

    def _write(self) -> None:
        done = 0
        for frame in [] if self._away else self._out:
            try:
                count = os.write(self._port, frame)
            except BlockingIOError:
                break
            except OSError:
                self._away = True
                break
            self._queued -= count
            if count < len(frame):
                self._out[done] = frame[count:]
                break
            done += 1
        del self._out[:done]

    def _serve_commands(self, events: dict[int, int]) -> None:
        for fd in [fd for fd in self._over if fd in events]:
            self._over.pop(fd).reap()
        for fd in [fd for fd in self._drained if fd in events]:
            if not os.read(fd, READ):
                self._drained.remove(fd)
                os.close(fd)
        for command in list(self._commands.values()):
            # what it wrote before its end is counted: so look at its end first
            if command.handle in events:
                command.reap()
            if command.wants_to_write and command.stdin in events:
                self._read_input(command, command.write())
            for fd in [fd for fd in command.outputs if fd in events and command.may_read(fd)]:
                if events[fd] & ~select.POLLOUT:
                    stream = command.outputs[fd]
                    data = command.read(fd)
                    if data:
                        self._send(protocol.STREAMS[stream], command.channel, data)

    def _end(self, command: Command) -> None:
        del self._commands[command.channel]
        command.close_input()
        for fd in [fd for fd in command.outputs if fd != command.terminal]:
            del command.outputs[fd]
            self._drained.add(fd)
        for fd in list(command.outputs):
            command.close_output(fd)
        self._send(protocol.EXIT, command.channel, protocol.code_payload(command.status))

    def _abandon(self, command: Command) -> None:
        del self._commands[command.channel]
        command.abandon()
        if command.handle >= 0:
            self._over[command.handle] = command

    def _read_input(self, command: Command, count: int) -> None:
        if count:
            self._send(protocol.CREDIT, command.channel, protocol.credit_payload(0, count))

    def _handle(self, kind: int, channel: int, payload: bytes) -> None:
        try:
            if kind == protocol.HELLO:
                self._greet(payload)
            elif kind == protocol.PING:
                self._send(protocol.PONG, channel, payload)
            elif kind == protocol.CONFIGURE:
                failures = self._steps.run(protocol.parse_steps(payload))
                self._send(protocol.CONFIGURED, channel, protocol.pack(failures))
            elif kind == protocol.RUN:
                self._run(channel, payload)
            elif channel in self._commands:
                self._command(self._commands[channel], kind, payload)
        except ValueError:
            pass  # a frame that means nothing

    def _greet(self, payload: bytes) -> None:
        session, _ = protocol.parse_hello(payload)
        for command in list(self._commands.values()):
            self._abandon(command)
        self._session = session
        self._out.clear()
        self._queued = 0
        self._send(protocol.HELLO, 0, protocol.hello_payload(session))

    def _run(self, channel: int, payload: bytes) -> None:
        if channel in self._commands:
            return
        try:
            self._commands[channel] = Command(channel, payload, self._environment)
        except NotStarted as error:
            self._send(protocol.FAILED, channel, protocol.code_payload(error.code, str(error)))

    def _command(self, command: Command, kind: int, payload: bytes) -> None:
        if kind == protocol.INPUT:
            self._read_input(command, command.take(payload))
        elif kind == protocol.CREDIT:
            stream, count = protocol.parse_credit(payload)
            if stream in command.credit:
                command.credit[stream] = min(command.credit[stream] + count, protocol.WINDOW)
        elif kind == protocol.UNREAD and payload:
            command.unread(payload[0])
        elif kind == protocol.SIGNAL and payload:
            command.signal(payload[0])
            self._send(protocol.CREDIT, command.channel, protocol.credit_payload(0, 0))
        elif kind == protocol.RESIZE:
            command.resize(*protocol.parse_size(payload))
        elif kind == protocol.CLOSE:
            self._abandon(command)

    def _send(self, kind: int, channel: int, payload: bytes = b"") -> None:
        frame = protocol.encode(kind, channel, payload)
        self._out.append(frame)
        self._queued += len(frame)


def find_port() -> str:
    """The device of the port; raises OSError."""
    for entry in os.listdir(PORTS):
        with open(f"{PORTS}/{entry}/name", "rb") as name:
            if name.read().strip() == NAME.encode():
                return f"/dev/{entry}"
    raise FileNotFoundError(f"no virtio-serial port named {NAME}")


def main() -> None:
    """Serve the port. An argument: a descriptor to serve instead, or the path of a device."""
    while True:  # what commands get as 0, 1 and 2 must not be a descriptor of ours
        null = os.open(os.devnull, os.O_RDWR)
        if null > 2:
            os.close(null)
            break
        os.set_inheritable(null, True)
    where = sys.argv[1] if len(sys.argv) > 1 else find_port()
    os.umask(0o022)
    if where.isdecimal():
        os.set_inheritable(int(where), False)
        Agent(int(where), False).serve()
    else:
        Agent(os.open(where, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY), True).serve()


if __name__ == "__main__":
    main()
