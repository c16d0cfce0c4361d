"""The lab's API while the lab is being built: every answer is "building". It needs no web framework."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable

from linux.readiness import readable

_CREDENTIALS = struct.Struct("iII")
_PATIENCE = 0.5
"""Timeout in seconds for receiving a request and sending its answer."""


class StandIn:
    """Answers every request with 503 and the present stage, until ``stop``.

    It needs no web framework, so it answers from the first millisecond on.
    """

    def __init__(self, listener: socket.socket, stage: Callable[[], str]) -> None:
        self._listener = listener
        self._stage = stage
        self._wake, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop. Later connections wait in the listener's queue."""
        os.close(self._stop)
        self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        watched: list[socket.socket | int] = [self._listener, self._wake]
        while True:
            ready = readable(watched)
            if self._wake in ready:
                return
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue
            with connection, contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if not may_ask(connection):
            return
        until = time.monotonic() + _PATIENCE
        request = b""
        while b"\r\n\r\n" not in request and len(request) < 65536:
            # the deadline is for the whole request: byte by byte it could take hours, and ``stop`` waits for
            # it
            connection.settimeout(max(0.001, until - time.monotonic()))
            data = connection.recv(4096)
            if not data:  # a client that only reads our process id from the socket
                return
            request += data
        connection.settimeout(_PATIENCE)
        connection.sendall(building_answer(self._stage()))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):  # a body that is still coming would turn the answer into a reset
            pass


def building_answer(stage: str) -> bytes:
    """The HTTP answer of a lab that is being built."""
    body = json.dumps({"state": "building", "stage": stage}).encode()
    head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    return (head + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def may_ask(connection: socket.socket) -> bool:
    """Whether the client is the user who started the lab. SO_PEERCRED comes from the kernel, not from the
    client."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(credentials)
    return bool(uid == os.getuid())
