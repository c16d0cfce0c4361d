"""The serial console of a virtual machine, shared by those who look at it.

QEMU has one end of a stream. All who connect to the socket that is offered see what the machine writes,
and type to it.  Who comes later sees the last ``KEPT`` octets first.  All whole lines go to a log, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import threading

from dataplane.hosts.vm.qmp import LOOP

KEPT = 1 << 16
"""Octets of the machine's output that are kept."""
BEHIND = 1 << 20
"""Octets that a reader may be behind, before it is left out."""
MOST_LOGGED = 1 << 20
"""Octets of the log; when it has more, it begins anew with those that are kept."""
LONGEST = 4096
"""Characters of a line that has not ended, before it goes to the log."""
PANIC = "Kernel panic"
_PANICKED = re.compile(PANIC.encode() + rb"[^\n]*\n")
_PATIENCE = 5.0
_ESCAPED = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[0-Z\\-~])")
"""ECMA-48: a control sequence, or another one of two characters."""


class Console:
    """A console, offered at the Unix socket ``path``, and written to the file ``log``.

    It outlives the QEMUs of its machine, and its names: a machine that moves links both at its new place.
    """

    def __init__(self, path: str, log: str) -> None:
        self._path, self._log_path = path, log
        self._log = -1
        self._line = ""
        self._kept = bytearray()
        self._news = threading.Condition()
        self._server: asyncio.AbstractServer | None = None
        self._machine: asyncio.StreamWriter | None = None
        self._readers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Offer the socket, and begin the log. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC
        self._log = os.open(self._log_path, flags, 0o600)

        async def serve() -> None:
            self._server = await asyncio.start_unix_server(self._accept, self._path)

        LOOP.run(serve(), _PATIENCE)

    def attach(self, stream: socket.socket) -> None:
        """``stream`` leads to the machine's serial port from now on."""

        async def begin() -> None:
            reader, self._machine = await asyncio.open_connection(sock=stream)
            task = asyncio.create_task(self._pass_on(reader, self._machine))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        LOOP.run(begin(), _PATIENCE)

    def last_words(self) -> str:
        """The last line that the machine wrote, or with which its kernel panicked; empty: none."""
        return last_words(self._kept.decode(errors="replace"))

    def panic(self, patience: float) -> str:
        """The line with which the kernel panicked, awaited for so many seconds; else the last one."""
        with self._news:
            self._news.wait_for(lambda: _PANICKED.search(self._kept), patience)
        return self.last_words()

    def close(self) -> None:
        """End it, and all connections."""

        async def end() -> None:
            if self._server is not None:
                self._server.close()
            for writer in [*self._readers, *filter(None, [self._machine])]:
                writer.close()

        with contextlib.suppress(TimeoutError):
            LOOP.run(end(), _PATIENCE)
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    async def _pass_on(self, reader: asyncio.StreamReader, machine: asyncio.StreamWriter) -> None:
        """What the machine writes, to all readers."""
        with contextlib.suppress(OSError):
            while data := await reader.read(KEPT):
                self._keep(data)
                for one in list(self._readers):
                    if one.transport.get_write_buffer_size() > BEHIND:
                        self._readers.discard(one)
                        one.transport.abort()
                    else:
                        one.write(data)
        if self._machine is machine:
            self._machine = None
        machine.close()

    def _keep(self, data: bytes) -> None:
        with self._news:
            before = self._kept.decode(errors="replace")
            self._kept += data
            del self._kept[:-KEPT]
            self._news.notify_all()
        text = self._line + data.decode(errors="replace")
        *lines, self._line = text.split("\n")
        if len(self._line) > LONGEST:
            lines, self._line = [*lines, self._line], ""
        if lines and self._log >= 0:
            with contextlib.suppress(OSError):  # no room: the socket still has it
                if os.fstat(self._log).st_size > MOST_LOGGED:
                    os.ftruncate(self._log, 0)
                    lines = before.splitlines()[1:-1] + lines
                os.write(self._log, "".join(f"{plain(line)}\n" for line in lines).encode())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(self._kept))
        self._readers.add(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                if self._machine is not None:
                    self._machine.write(data)
                    await self._machine.drain()
        self._readers.discard(writer)
        writer.close()


def last_words(text: str) -> str:
    """The line that tells most about why a guest does not go on, without what moves the cursor. Pure."""
    lines = [line.strip() for line in plain(text).splitlines() if line.strip()]
    panics = [line for line in lines if PANIC in line]
    return (panics or lines or [""])[-1]


def plain(text: str) -> str:
    """Text without what moves the cursor or colours. Pure."""
    return "".join(one for one in _ESCAPED.sub("", text) if one.isprintable() or one in "\r\n\t").rstrip("\r")
