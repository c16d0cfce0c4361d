"""Starts hosts' servers (``serves:``), each in its host's room.

Worker processes of the lab's root fork the servers.  A worker has already imported the modules, so a server
costs only a fork.  A worker has one thread, because a process with several threads can't enter a room.  A
request is a JSON object and two descriptors, which become the server's standard input and output.  The answer
is the server's process id in the lab's PID namespace, or ``!`` and the reason.  The server's parent is the
first process of its room, which reaps it.
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
from typing import IO, TYPE_CHECKING

from dataplane.hosts.driver import packed

if TYPE_CHECKING:
    from dataplane.hosts.driver import Place

ENTER = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from dataplane.hosts.serving_worker import main; main()"
)
ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
MOST = 65536
"""Bytes of a request."""


class Serving:
    """A host's servers as they run. They end when ``kill`` is called; then ``stdout`` ends."""

    def __init__(self, pid: int, stdin: int, stdout: IO[bytes]) -> None:
        self.stdout = stdout
        self._stdin = stdin
        # Opened before its first line is read: the process still runs, so the id can't belong to another one.
        self._handle = os.pidfd_open(pid)

    def kill(self) -> None:
        """Kill them."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until they have ended."""
        while self.stdout.read(4096):
            pass


class ServingRooms:
    """The worker processes, for the lab's supervisor. They start with the first request.

    There are ``WORKERS``, and as many threads may start servers at once.
    """

    def __init__(self) -> None:
        self._free: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()
        for _ in range(WORKERS):
            self._free.put(None)

    def start(self, place: Place, servers: Sequence[str]) -> Serving:
        """Begin ``servers`` (``http:80``) in the room of the host at ``place``. Raises OSError."""
        channel = self._free.get() or _begin()
        stdin, held = os.pipe()
        said, stdout = os.pipe()
        try:
            request = json.dumps([packed(place), *servers]).encode()
            socket.send_fds(channel, [request], [stdin, stdout])
            answer = channel.recv(MOST).decode()
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
