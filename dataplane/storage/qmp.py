"""A client of QEMU's control protocol (QMP) for threads: one command at a time, events as they come.

Lines of JSON on a Unix socket; see QEMU's docs/interop/qmp-spec. (The package qemu.qmp is for asyncio.)
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ANSWER = 60.0
"""Seconds to wait for the answer to a command: QEMU finishes the running requests first."""

Hear = Callable[[str, Mapping[str, Any]], None]
"""Takes an event: its name and its data. It must not wait for an answer of the same QEMU."""


class QmpError(Exception):
    """QEMU refused a command, or has ended."""


class Qmp:
    """A connection. Commands may come from any thread."""

    def __init__(self, path: Path, hear: Hear, patience: float = 10.0) -> None:
        """Connect to the socket, within ``patience`` seconds. Raises QmpError."""
        self._hear = hear
        self._lock = threading.Lock()
        self._answers: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._socket = _connect(path, patience)
        self._lines = self._socket.makefile("rb")
        if not self._lines.readline():
            raise QmpError("it has ended")
        threading.Thread(target=self._read, name=f"qmp {path.name}", daemon=True).start()
        self.do("qmp_capabilities")

    def do(self, command: str, arguments: Mapping[str, Any] | None = None, patience: float = ANSWER) -> Any:
        """The answer to a command. Raises QmpError."""
        line = json.dumps({"execute": command, "arguments": dict(arguments or {})}).encode() + b"\n"
        with self._lock:
            try:
                self._socket.sendall(line)
                answer = self._answers.get(timeout=patience)
            except queue.Empty:
                self.close()  # a late answer would be taken for that to the next command
                raise QmpError(f"{command}: no answer within {patience:.0f} s") from None
            except OSError as error:
                raise QmpError(f"{command}: {error.strerror}") from None
        if answer is None:
            self._answers.put(None)
            raise QmpError(f"{command}: it has ended")
        if "error" in answer:
            raise QmpError(f"{command}: {answer['error'].get('desc', 'refused')}")
        return answer.get("return")

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._lines:
                message = json.loads(line)
                if "event" in message:
                    self._hear(str(message["event"]), message.get("data", {}))
                else:
                    self._answers.put(message)
        self._answers.put(None)


def _connect(path: Path, patience: float) -> socket.socket:
    deadline = time.monotonic() + patience
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            if time.monotonic() >= deadline:
                raise QmpError(f"no control socket: {error.strerror}") from None
            time.sleep(0.02)
            continue
        return connection
