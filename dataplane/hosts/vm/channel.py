"""The broker of a virtual machine: it shares the one port of the machine's agent among many programs.

QEMU offers the port as a Unix socket that serves one connection.  The broker has it, and offers a socket to
which any number of programs connect (``dataplane.hosts.vm.client``).  They speak the same frames; the broker
only gives the channels other numbers.  A program that ends, however it ends, ends its commands in the
machine.  A machine that is lost ends its programs' channels, and the broker waits for the machine's return.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from dataplane.hosts.guest import protocol

CROWDED = 1 << 20
"""Octets that wait for the machine, from which on no more is read from programs."""
MOST_FOR_A_PROGRAM = 1 << 23
"""Octets that wait for a program. A program and an agent that keep to their windows don't come near it."""
RETRY = 0.05
"""Seconds between two tries to connect to QEMU."""
READ = 1 << 18
STARTING = "it is starting, or its agent does not answer"
FROM_PROGRAMS = frozenset(
    {
        protocol.INPUT,
        protocol.CREDIT,
        protocol.UNREAD,
        protocol.SIGNAL,
        protocol.RESIZE,
        protocol.CLOSE,
    }
)
FROM_AGENT = frozenset({protocol.OUTPUT, protocol.ERRORS, protocol.CREDIT})
AT_LAST = frozenset({protocol.EXIT, protocol.FAILED, protocol.CONFIGURED, protocol.PONG})


class _Program:
    """A program's connection. ``channels``: its own numbers -> the machine's."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.parser = protocol.Parser()
        self.out = bytearray()
        self.channels: dict[int, int] = {}


class Broker:
    """Shares a port.

    ``port``: the path of QEMU's socket. ``offered``: the path of the socket for programs, made by ``start``.
    ``changed``: called from the broker's thread when the agent begins to answer (True, ""), and when it is
    lost (False, why); it returns soon, and raises nothing.
    """

    def __init__(
        self, port: str, offered: str, changed: Callable[[bool, str], None] = lambda ready, why: None
    ) -> None:
        self._path = port
        self._offered = offered
        self._changed = changed
        self._listener: socket.socket | None = None
        self._port: socket.socket | None = None
        self._parser = protocol.Parser()
        self._out = bytearray()
        self._session = protocol.NONE
        self._ready = False
        self._why = STARTING
        self._programs: dict[int, _Program] = {}
        self._owners: dict[int, tuple[_Program, int]] = {}
        self._held: list[tuple[_Program, int, bytes]] = []
        """PINGs that wait until the agent answers."""
        self._last = 0
        self._orders: deque[Callable[[], None]] = deque()
        self._woken, self._wakes = -1, -1
        self._ending = False
        self._holding = False
        self._thread = threading.Thread(target=self._serve, name="vm-channel", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether the agent answers."""
        return self._ready

    def start(self) -> None:
        """Offer the socket, and begin to connect to QEMU. Raises OSError."""
        self._woken, self._wakes = os.pipe()
        for fd in (self._woken, self._wakes):
            os.set_blocking(fd, False)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            Path(self._offered).unlink()
        listener.bind(self._offered)
        listener.listen(128)
        listener.setblocking(False)
        self._listener = listener
        self._thread.start()

    def stop(self, why: str = "the machine is being stopped") -> None:
        """End all channels and the thread. May be called twice, and before ``start``."""

        def end() -> None:
            self._lose(why)
            self._ending = True

        if self._thread.is_alive():
            self._order(end)
            self._thread.join()
        with contextlib.suppress(FileNotFoundError):
            Path(self._offered).unlink()

    def lost(self, why: str) -> None:
        """The machine was reset, has crashed or was restored: end all channels, and greet the agent anew.

        ``why`` is a text for the programs' users: ``the machine was reset``.
        """
        self._order(lambda: self._greet(why))

    def connect(self, port: str, why: str) -> None:
        """The port is elsewhere from now on: the machine has moved. ``why``: as for ``lost``."""

        def change() -> None:
            self._path = port
            self._disconnect(why)

        self._order(change)

    def hold(self, patience: float) -> bool:
        """Send the machine nothing until ``take_over`` or ``go_on``; whether it has read all that was sent.

        Waits for that, ``patience`` seconds at most.  What programs send waits, and loses nothing.
        """
        holding = threading.Event()

        def begin() -> None:
            self._holding = True
            holding.set()

        self._order(begin)
        deadline = time.monotonic() + patience
        while holding.wait(max(0.0, deadline - time.monotonic())):
            if not self._unread():
                return True
            if time.monotonic() > deadline:
                break
            time.sleep(0.002)  # the kernel tells nobody when the last octet is read
        return False

    def go_on(self) -> None:
        """Send again, after ``hold``."""

        def change() -> None:
            self._holding = False

        self._order(change)

    def take_over(self, port: socket.socket, path: str) -> None:
        """The machine has moved, with its agent and all that runs: go on over ``port``, a connection to its
        QEMU there, whose socket has this ``path``.

        The old QEMU writes nothing more, and has read all (``hold``).  So no program notices.
        """

        def change() -> None:
            if self._port is not None:
                with contextlib.suppress(OSError):  # also when there is no more
                    while data := self._port.recv(READ):
                        self._take(data)
                self._port.close()
            port.setblocking(False)
            self._port, self._path, self._holding = port, path, False
            if not self._ready:
                self._greet(STARTING)

        self._order(change)

    def _unread(self) -> int:
        """A number that is 0 when QEMU has read all that was sent (SIOCOUTQ in unix(7))."""
        port = self._port
        try:
            if port is not None:
                (number,) = struct.unpack("i", fcntl.ioctl(port, termios.TIOCOUTQ, bytes(4)))
                return int(number)
        except (OSError, ValueError):
            pass
        return 0

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        with contextlib.suppress(OSError):
            os.write(self._wakes, b"!")

    def _serve(self) -> None:
        assert self._listener is not None
        try:
            while not self._ending:
                if self._port is None:
                    self._try_to_connect()
                poll = select.poll()
                poll.register(self._woken, select.POLLIN)
                poll.register(self._listener, select.POLLIN)
                if self._port is not None:
                    sends = self._out and not self._holding
                    poll.register(self._port, select.POLLIN | (select.POLLOUT if sends else 0))
                may_read = select.POLLIN if len(self._out) < CROWDED else 0
                for program in self._programs.values():
                    poll.register(program.connection, may_read | (select.POLLOUT if program.out else 0))
                events = dict(poll.poll(RETRY * 1000 if self._port is None else None))
                self._turn(events)
        finally:
            for program in list(self._programs.values()):
                self._flush(program)
                program.connection.close()
            if self._port is not None:
                self._port.close()
            self._listener.close()
            for fd in (self._woken, self._wakes):
                os.close(fd)
            self._wakes = -1

    def _turn(self, events: dict[int, int]) -> None:
        assert self._listener is not None
        if self._woken in events:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
        while self._orders:
            self._orders.popleft()()
        if self._listener.fileno() in events:
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                self._programs[connection.fileno()] = _Program(connection)
        if self._port is not None and events.get(self._port.fileno(), 0) & ~select.POLLOUT:
            self._read_port()
        for fd in [fd for fd in self._programs if events.get(fd, 0) & ~select.POLLOUT]:
            self._read_program(self._programs[fd])
        for program in [program for program in self._programs.values() if program.out]:
            self._flush(program)
        self._write_port()

    def _try_to_connect(self) -> None:
        port = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            port.connect(self._path)
        except OSError:
            port.close()
            return
        port.setblocking(False)
        self._port = port
        self._parser = protocol.Parser()
        self._greet(STARTING)

    def _greet(self, why: str) -> None:
        """Begin a session. What was sent in an older one is no longer wanted."""
        self._lose(why)
        self._out.clear()
        self._session = os.urandom(protocol.SESSION)
        self._send(protocol.HELLO, 0, protocol.hello_payload(self._session))

    def _lose(self, why: str) -> None:
        was_ready, self._ready, self._why = self._ready, False, why
        for program, channel in self._owners.values():
            program.channels.pop(channel, None)
            program.out += protocol.encode(protocol.LOST, channel, why.encode())
        self._owners.clear()
        if was_ready:
            self._changed(False, why)

    def _disconnect(self, why: str) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None
        self._out.clear()
        self._lose(why)

    def _read_port(self) -> None:
        assert self._port is not None
        try:
            data = self._port.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._disconnect("the machine has ended")
            return
        self._take(data)

    def _take(self, data: bytes) -> None:
        """What the agent sends."""
        for kind, channel, payload in self._parser.feed(data):
            if kind == protocol.HELLO:
                self._hear_hello(payload)
            elif self._ready and channel in self._owners:
                self._pass_on(kind, channel, payload)

    def _hear_hello(self, payload: bytes) -> None:
        try:
            session, version = protocol.parse_hello(payload)
        except ValueError:
            return
        if session == self._session and not self._ready:
            if version != protocol.VERSION:
                self._why = f"its agent is of version {version}, not {protocol.VERSION}: build its image anew"
                return
            self._ready = True
            for program, channel, ping in self._held:
                if program.connection.fileno() >= 0:
                    self._open(program, protocol.PING, channel, ping)
            self._held.clear()
            self._changed(True, "")
        elif session == protocol.NONE:
            self._greet("its agent has started anew")

    def _pass_on(self, kind: int, channel: int, payload: bytes) -> None:
        program, own = self._owners[channel]
        if kind in AT_LAST:
            del self._owners[channel]
            program.channels.pop(own, None)
        elif kind not in FROM_AGENT:
            return
        program.out += protocol.encode(kind, own, payload)
        if len(program.out) > MOST_FOR_A_PROGRAM:
            self._forget(program)

    def _read_program(self, program: _Program) -> None:
        try:
            data = program.connection.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(program)
            return
        for kind, channel, payload in program.parser.feed(data):
            if kind == protocol.PING and not self._ready:
                self._held.append((program, channel, payload))
            elif kind in (protocol.PING, protocol.RUN, protocol.CONFIGURE):
                if channel in program.channels:
                    continue
                if self._ready:
                    self._open(program, kind, channel, payload)
                else:
                    program.out += protocol.encode(protocol.LOST, channel, self._why.encode())
            elif kind in FROM_PROGRAMS and channel in program.channels:
                theirs = program.channels[channel]
                if kind == protocol.CLOSE:
                    del self._owners[theirs], program.channels[channel]
                self._send(kind, theirs, payload)

    def _open(self, program: _Program, kind: int, channel: int, payload: bytes) -> None:
        while True:
            self._last = self._last % 0xFFFFFFFF + 1
            if self._last not in self._owners:
                break
        program.channels[channel] = self._last
        self._owners[self._last] = program, channel
        self._send(kind, self._last, payload)

    def _forget(self, program: _Program) -> None:
        self._programs.pop(program.connection.fileno(), None)
        self._held = [held for held in self._held if held[0] is not program]
        program.connection.close()
        for channel in program.channels.values():
            del self._owners[channel]
            self._send(protocol.CLOSE, channel)
        program.channels.clear()

    def _flush(self, program: _Program) -> None:
        try:
            while program.out:
                del program.out[: program.connection.send(program.out[:READ])]
        except BlockingIOError:
            pass
        except OSError:
            self._forget(program)

    def _send(self, kind: int, channel: int, payload: bytes = b"") -> None:
        if self._port is not None:
            self._out += protocol.encode(kind, channel, payload)

    def _write_port(self) -> None:
        try:
            while self._out and self._port is not None and not self._holding:
                del self._out[: self._port.send(self._out[:READ])]
        except BlockingIOError:
            pass
        except OSError:
            self._disconnect("the machine has ended")
