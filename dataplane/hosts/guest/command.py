"""A command that the agent runs: its process, its pipes or terminal, and the counts of its streams.

``os.posix_spawn`` starts it: that does not copy the agent's memory, and needs no slow module.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from dataplane.hosts.guest import protocol

TIOCSWINSZ, FIONREAD = 0x5414, 0x541B
SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGCONT, SIGSTOP, SIGTSTP = 1, 2, 3, 9, 18, 19, 20
FOR_ALL = frozenset({SIGHUP, SIGINT, SIGQUIT, SIGCONT, SIGSTOP, SIGTSTP})
"""Signals that a terminal sends to a whole process group; others are for the command's own process."""
CATCHABLE = [number for number in range(1, 32) if number not in (SIGKILL, SIGSTOP)]
END_OF_INPUT = b"\x04"
"""What ends the input on a terminal (VEOF in termios(3))."""
LAST = 1 << 20
"""Octets that are read at most from a terminal after its command has ended."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # POSIX.1-2017, 2.8.2
SHELLS = (b"/bin/bash", b"/bin/sh")


class NotStarted(Exception):
    """A command can't be started: the exit code, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Command:
    """A running command. ``outputs``: open descriptors of its output, each with its stream (1 or 2)."""

    def __init__(self, channel: int, payload: bytes, base: dict[bytes, bytes]) -> None:
        """Start it. ``payload`` of RUN; ``base``: the environment below that of the command. Raises
        NotStarted, ValueError."""
        words, given, size, apart = protocol.parse_run(payload)
        environment = {**base, **given}
        words = words or [next((shell for shell in SHELLS if os.path.exists(shell)), SHELLS[-1])]
        program = find(words[0], environment)
        self.channel = channel
        self.outputs: dict[int, int] = {}
        self.credit = {1: protocol.WINDOW, 2: protocol.WINDOW}
        self.left: dict[int, int] | None = None
        """When it has ended: the octets that are still to be read from each descriptor."""
        self.status = 0
        self.terminal = -1
        self.stdin = -1
        self._waiting = bytearray()
        self._ends = False
        ours: list[int] = []
        theirs: list[int] = []
        try:
            actions = self._streams(size, apart, ours, theirs)
            home = environment.get(b"HOME", b"/")
            os.chdir(home if os.path.isdir(home) else "/")
            self.pid = os.posix_spawn(
                program,
                words,
                environment,
                file_actions=actions,
                setsid=True,
                setsigdef=CATCHABLE,
            )
            self.handle = os.pidfd_open(self.pid)
        except OSError as error:
            for fd in ours:
                os.close(fd)
            if error.errno == errno.ENOENT:
                raise NotStarted(NOT_FOUND, "no such command") from None
            raise NotStarted(NOT_EXECUTABLE, error.strerror or str(error)) from None
        finally:
            for fd in theirs:
                os.close(fd)

    def _streams(
        self, size: tuple[int, int] | None, apart: bool, ours: list[int], theirs: list[int]
    ) -> list[tuple[int, ...]]:
        """Make the pipes or the terminal; what to do with them in the new process."""
        actions: list[tuple[int, ...]] = []
        streams = (0, 1, 2)
        if size is not None:
            master, slave = os.openpty()
            ours.append(master)
            theirs.append(slave)
            fcntl.ioctl(master, TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
            os.set_blocking(master, False)
            self.terminal = self.stdin = master
            self.outputs[master] = 1
            # Opened by a process that leads a session and has no terminal, it becomes the session's terminal.
            name = os.ttyname(slave).encode()
            actions.append((os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR, 0))  # type: ignore[arg-type]
            actions.append((os.POSIX_SPAWN_DUP2, 0, 1))
            streams = (2,) if apart else ()  # type: ignore[assignment]
            if not apart:
                actions.append((os.POSIX_SPAWN_DUP2, 0, 2))
        for stream in streams:
            reader, writer = os.pipe()
            mine, other = (writer, reader) if stream == 0 else (reader, writer)
            ours.append(mine)
            theirs.append(other)
            os.set_blocking(mine, False)
            actions.append((os.POSIX_SPAWN_DUP2, other, stream))
            if stream == 0:
                self.stdin = mine
            else:
                self.outputs[mine] = stream
        return actions

    @property
    def wants_to_write(self) -> bool:
        """Whether input waits for the command to read."""
        return self.stdin >= 0 and bool(self._waiting)

    def take(self, data: bytes) -> int:
        """Input arrived; none: its end. The octets that were passed on, for a CREDIT."""
        if self.stdin < 0:
            return 0
        if not data:
            self._ends = True
            if self.terminal >= 0:
                self._waiting += END_OF_INPUT
        elif len(self._waiting) > 2 * protocol.WINDOW:
            return 0  # the sender does not keep to its window: don't let it eat the memory
        self._waiting += data
        return self.write()

    def write(self) -> int:
        """Pass waiting input on, as far as it can be taken; the number of octets."""
        written = 0
        try:
            while self._waiting:
                count = os.write(self.stdin, self._waiting[: protocol.CHUNK])
                del self._waiting[:count]
                written += count
        except BlockingIOError:
            pass
        except OSError:  # nobody reads it any more: no CREDIT, so no more comes
            self._waiting.clear()
            self.close_input()
        if self._ends and not self._waiting and self.terminal < 0:
            self.close_input()
        return written

    def close_input(self) -> None:
        """End the input."""
        if self.stdin >= 0 and self.stdin != self.terminal:
            os.close(self.stdin)
        self.stdin = -1

    def may_read(self, fd: int) -> int:
        """How many octets of this output may be read now."""
        most = min(protocol.CHUNK, self.credit[self.outputs[fd]])
        return most if self.left is None else min(most, self.left.get(fd, 0))

    def read(self, fd: int) -> bytes | None:
        """Some output; none: not now; None: it has ended, and the descriptor is closed."""
        try:
            data = os.read(fd, self.may_read(fd))
        except BlockingIOError:
            if self.left is not None:
                self.left[fd] = 0
            return b""
        except OSError:  # a terminal that nobody has open any more
            data = b""
        if not data:
            self.close_output(fd)
            return None
        self.credit[self.outputs[fd]] -= len(data)
        if self.left is not None:
            self.left[fd] -= len(data)
        return data

    def close_output(self, fd: int) -> None:
        """Close an output: who writes to it gets SIGPIPE."""
        del self.outputs[fd]
        if fd == self.terminal:
            self.stdin = self.terminal = -1
        os.close(fd)

    def unread(self, stream: int) -> None:
        """Nobody reads this stream any more. A terminal is hung up."""
        for fd in [fd for fd, of in self.outputs.items() if of == stream]:
            self.close_output(fd)

    def reap(self) -> None:
        """Its process has ended: take its exit code, and count what is still to be read."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.handle)
        self.handle = -1
        code = os.waitstatus_to_exitcode(status)
        self.status = code if code >= 0 else 128 - code
        self.left = {fd: LAST if fd == self.terminal else _unread(fd) for fd in self.outputs}

    @property
    def is_told(self) -> bool:
        """Whether it has ended and all its output has been sent."""
        return self.left is not None and not any(self.left.get(fd) for fd in self.outputs)

    def signal(self, number: int) -> None:
        """Send a signal, to the processes that a terminal would choose."""
        if self.left is not None:
            return
        try:
            if number not in FOR_ALL:
                os.kill(self.pid, number)
                return
            group = os.tcgetpgrp(self.terminal) if self.terminal >= 0 else 0
            # The kernel does not let SIGTSTP stop a group that has no parent in its session.
            os.killpg(group or self.pid, SIGSTOP if number == SIGTSTP else number)
        except (OSError, OverflowError):
            pass

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal's size; its foreground processes get SIGWINCH."""
        if self.terminal >= 0:
            fcntl.ioctl(self.terminal, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def abandon(self) -> None:
        """Its user is gone: hang up, and close all that was open for it."""
        self.signal(SIGHUP)
        self.signal(SIGCONT)  # one that is stopped would not end
        self.close_input()
        for fd in list(self.outputs):
            self.close_output(fd)


def find(word: bytes, environment: dict[bytes, bytes]) -> bytes:
    """The file of a program, by PATH. Raises NotStarted."""
    if not word:
        raise NotStarted(NOT_FOUND, "no such command")
    if b"/" in word:
        return word
    refused = False
    for folder in environment.get(b"PATH", b"").split(b":"):
        path = (folder or b".") + b"/" + word
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
        refused = refused or os.path.isfile(path)
    raise (
        NotStarted(NOT_EXECUTABLE, "Permission denied")
        if refused
        else NotStarted(NOT_FOUND, "no such command")
    )


def _unread(fd: int) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(fd, FIONREAD, bytes(4)))
    return int(count)
