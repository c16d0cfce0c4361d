"""The door of a sandbox: a process inside it that stays in the machine's network, and starts programs there.

A lab's own processes are in a network namespace of the lab, and an ordinary user's can't return to the
machine's.  So a process is left behind there, before the sandbox's network namespace is made.  It is in the
sandbox's PID namespace, so it and what it starts end with the lab.  It sees the machine's files, not the
lab's mounts: /etc/resolv.conf may be a link into the machine's /run.

The two ends send each other JSON over a Unix socket that keeps messages apart.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from linux import syscalls

if TYPE_CHECKING:
    from subprocess import Popen

MOST = 1 << 16
"""Bytes of the longest message."""
PATIENCE = 10.0
"""Seconds for an answer."""
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOOPBACK = "127.0.0.1"
Holder = Callable[[int], str]
"""Who has a TCP port of the machine's loopback address, in words; empty: it is not known."""
Ended = Callable[[int, int], None]
"""Takes the process id of a program that has ended, and its exit code, or the negative of a signal."""


class DoorError(Exception):
    """The door can't do it, or has ended."""


class Door:
    """The lab's end."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._asking = threading.Lock()
        self._answers: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._ended: Ended = lambda pid, status: None
        self._listening = False
        self.lost = False
        """The other end has ended: nothing can be started, and nobody tells what ends."""

    def watch(self, ended: Ended) -> None:
        """Call ``ended``, in a thread of its own each time, when a program ends."""
        self._ended = ended

    def start(self, program: str, arguments: Sequence[str], files: Sequence[int]) -> int:
        """Start a program in the machine's network; its process id. The last of ``files`` (descriptors) gets
        its output; ``{0}`` in an argument is the number that the first of them has there. Raises
        DoorError."""
        answer = self._ask({"do": "start", "program": program, "arguments": list(arguments)}, files)
        return int(answer["pid"])

    def why_not(self, port: int) -> tuple[int, str]:
        """Why a port of the machine's loopback address can't be had: the error's number (0: it can be had),
        and who has it. Raises DoorError."""
        answer = self._ask({"do": "try", "port": port}, ())
        return int(answer["errno"]), str(answer["holder"])

    def _ask(self, request: Mapping[str, Any], files: Sequence[int]) -> Mapping[str, Any]:
        with self._asking:
            if not self._listening:
                self._listening = True
                threading.Thread(target=self._listen, name="door", daemon=True).start()
            try:
                socket.send_fds(self._stream, [json.dumps(request).encode()], files)
                answer = self._answers.get(timeout=PATIENCE)
            except (OSError, queue.Empty):
                answer = None
        if answer is None:
            raise DoorError("the lab's process in the machine's network (sdnlab-door) does not answer")
        if "error" in answer:
            raise DoorError(str(answer["error"]))
        return answer

    def _listen(self) -> None:
        while True:
            try:
                data = self._stream.recv(MOST)
            except OSError:
                data = b""
            if not data:
                self.lost = True
                self._answers.put(None)
                return
            said = json.loads(data)
            if "ended" in said:
                threading.Thread(
                    target=self._ended, args=(said["ended"], said["status"]), daemon=True
                ).start()
            else:
                self._answers.put(said)


def serve(stream: socket.socket, holder: Holder) -> None:
    """The machine's end: answer requests until the other end is closed. The process does nothing else."""
    syscalls.name_process("sdnlab-door")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, stream.fileno())
    os.closerange(stream.fileno() + 1, 1 << 20)
    with contextlib.suppress(OSError):  # then it sees the lab's mounts
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
    running: dict[int, Popen[bytes]] = {}  # by pidfd
    waiting = select.poll()
    waiting.register(stream, select.POLLIN)
    while True:
        for ready, _event in waiting.poll():
            if ready != stream.fileno():
                waiting.unregister(ready)
                program = running.pop(ready)
                os.close(ready)
                _say(stream, {"ended": program.pid, "status": program.wait()})
                continue
            data, files, _flags, _from = socket.recv_fds(stream, MOST, 16)
            if not data:
                return
            request = json.loads(data)
            try:
                if request["do"] == "start":
                    program = _start(request["program"], request["arguments"], files)
                    pidfd = os.pidfd_open(program.pid)
                    running[pidfd] = program
                    waiting.register(pidfd, select.POLLIN)
                    _say(stream, {"pid": program.pid})
                else:
                    _say(stream, _tried(request["port"], holder))
            except OSError as error:
                _say(stream, {"error": str(error)})
            finally:
                for file in files:
                    os.close(file)


def _say(stream: socket.socket, said: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):
        stream.send(json.dumps(said).encode())


def _start(name: str, arguments: Sequence[str], files: Sequence[int]) -> Popen[bytes]:
    import subprocess

    path = shutil.which(name, path=SEARCH)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    words = [word.format(*files) for word in arguments]
    return subprocess.Popen(
        [path, *words],
        stdin=subprocess.DEVNULL,
        stdout=files[-1],
        stderr=files[-1],
        pass_fds=files,
        env={"PATH": SEARCH},
        cwd="/",
    )


def _tried(port: int, holder: Holder) -> dict[str, Any]:
    """Whether a port can be had, tried as the one who will have it does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOOPBACK, port))
            trial.listen(1)
        except OSError as error:
            return {"errno": error.errno or 0, "holder": holder(port)}
    return {"errno": 0, "holder": ""}
