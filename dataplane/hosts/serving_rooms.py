"""Starting hosts' servers (``serves:``), each in its host's room as all that runs in the host.

Processes of the lab's root, with one thread each, fork them: they have loaded what all need, so a server
costs a fork, and a process with several threads could enter no room.  A request is a JSON object and two
descriptors, which become the server's standard input and output; the answer is its process id as the lab
counts, or ``!`` and why not.  The server's parent is its room's first process, which reaps it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NoReturn

from dataplane.hosts import room as rooms
from dataplane.hosts import serving
from linux import syscalls

ENTER = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from dataplane.hosts.serving_rooms import main; main()"
)
ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
_MOST = 65536
"""Bytes of a request."""


class Serving:
    """A host's servers as they run. They end when ``kill`` is called; then ``stdout`` ends."""

    def __init__(self, pid: int, stdin: int, stdout: IO[bytes]) -> None:
        self.stdout = stdout
        self._stdin = stdin
        # Opened before its first word is read, so it can't be somebody else's process by now.
        self._handle = os.pidfd_open(pid)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def wait(self) -> None:
        """Until it has ended, however."""
        while self.stdout.read(4096):
            pass


class ServingRooms:
    """The processes that start servers, as their lab's supervisor sees them; they begin with the first.

    There are ``WORKERS``, and as many threads may start servers at once.
    """

    def __init__(self) -> None:
        self._free: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()
        for _ in range(WORKERS):
            self._free.put(None)

    def start(self, name: str, netns: str, names_file: str, servers: Sequence[str]) -> Serving:
        """Begin ``servers`` (``http:80``) in the room of the host ``name``. Raises OSError."""
        channel = self._free.get() or _begin()
        stdin, held = os.pipe()
        said, stdout = os.pipe()
        try:
            request = json.dumps([name, netns, names_file, *servers]).encode()
            socket.send_fds(channel, [request], [stdin, stdout])
            answer = channel.recv(_MOST).decode()
        except OSError:
            answer = ""
        finally:
            os.close(stdin)
            os.close(stdout)
        self._free.put(channel if answer else None)
        if not answer.isdecimal():
            os.close(held)
            os.close(said)
            raise OSError(answer.removeprefix("! ") or "the process that starts servers has ended")
        return Serving(int(answer), held, os.fdopen(said, "rb"))


def _begin() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", ENTER, str(ROOT)],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath, "HOME": "/root", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
    return ours


def main() -> None:
    """Start what is asked for on the standard input, a SOCK_SEQPACKET socket, until that ends."""
    channel = socket.socket(fileno=os.dup(0))
    while True:
        request, fds, _, _ = socket.recv_fds(channel, _MOST, 2)
        if not request:
            return
        try:
            name, netns, names_file, *servers = json.loads(request)
            answer = str(_start(rooms.find(name, netns, names_file), servers, fds))
        except (OSError, rooms.RoomError) as error:
            answer = f"! {error}"
        for fd in fds:
            os.close(fd)
        channel.send(answer.encode())


def _start(room: rooms.Room, servers: Sequence[str], fds: Sequence[int]) -> int:
    told, tells = os.pipe()
    try:
        between = os.fork()
        if between == 0:
            try:
                syscalls.setns(room.pid, syscalls.CLONE_NEWPID)
                child = os.fork()
                if child == 0:
                    _serve(room, servers, fds)
                os.write(tells, str(child).encode())
            except OSError as error:
                os.write(tells, f"! {error}".encode())
            finally:
                os._exit(0)
        os.waitpid(between, 0)
        os.close(tells)
        tells = -1
        said = os.read(told, 4096).decode()
    finally:
        room.close()
        os.close(told)
        if tells >= 0:
            os.close(tells)
    if not said.isdecimal():
        raise OSError(said.removeprefix("! ") or "it has ended")
    return int(said)


def _serve(room: rooms.Room, servers: Sequence[str], fds: Sequence[int]) -> NoReturn:
    try:
        os.setsid()
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        rooms.enter(room)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        serving.serve(room.name, servers)
    except OSError as error:
        os.write(1, f"failed: {error}\n".encode())
    finally:
        os._exit(0)
