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
from typing import IO

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
