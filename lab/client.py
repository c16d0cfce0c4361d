"""The command line's side of a lab's HTTP API.

Plain ``http.client`` over the lab's Unix socket: it imports in a tenth of httpx's time, which a command
that lives for a fifth of a second notices.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import time
from collections.abc import Generator
from typing import Any

from lab.failure import Exit, Failure
from lab.naming import address

_PEER = struct.Struct("iII")


class Refused(Failure):
    """The lab understood and said no; ``status`` is the HTTP status."""

    def __init__(self, status: int, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.status = status


class StillBuilding(Failure):
    """The lab is not up yet; ``stage`` is what it is at."""

    def __init__(self, name: str, stage: str) -> None:
        super().__init__(f"lab {name} is still being built ({stage})", "try again in a moment", Exit.LOST)
        self.stage = stage


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a Unix socket: a path, or an abstract name with its leading NUL."""

    def __init__(self, where: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._where = where

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._where)


def peer(sock: socket.socket) -> tuple[int, int]:
    """Process and user id at the other end of a Unix socket (unix(7), SO_PEERCRED)."""
    pid, uid, _gid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid


def supervisor_pid(name: str) -> int:
    """Process id of the supervisor of the running lab ``name``; needs no answer from it.

    Raises Failure when no such lab runs or when another user holds its address.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(2.0)
        try:
            sock.connect(address(name))
        except ConnectionRefusedError:
            raise Failure(f"no lab named {name!r} is running", "see: sdnlab list") from None
        except OSError as error:
            raise Failure(f"lab {name} doesn't answer: {error.strerror or error}", "", Exit.LOST) from None
        pid, uid = peer(sock)
    if uid != os.getuid():
        raise Failure(
            f"the address of lab {name} is held by user {uid}, not by you",
            "that is not your lab; use another name",
        )
    if pid <= 0:
        raise Failure(f"lab {name} runs in another process namespace", "call sdnlab where it was started")
    return pid


class Client:
    """Requests to the lab ``name``. Every method raises Failure with words for the user."""

    def __init__(self, name: str, *, patience: float = 60.0, timeout: float | None = 60.0) -> None:
        """``patience``: seconds to wait for a lab that is being built; ``timeout`` of one answer."""
        self.name = name
        self.patience = patience
        self.timeout = timeout

    def get(self, path: str) -> Any:
        """The JSON answer to GET ``path``."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON answer to POST ``path`` with ``body`` as JSON."""
        return self._call("POST", path, body)

    def stream(self, path: str) -> Generator[dict[str, Any], None, None]:
        """The JSON lines of GET ``path``, as they come, until the lab ends."""
        connection = UnixConnection(address(self.name), None)
        try:
            response = self._send(connection, "GET", path, None)
            for line in response:
                if line.strip():
                    yield json.loads(line)
        except (http.client.HTTPException, OSError):
            return
        finally:
            connection.close()

    def _call(self, method: str, path: str, body: Any) -> Any:
        deadline = time.monotonic() + self.patience
        while True:
            connection = UnixConnection(address(self.name), self.timeout)
            try:
                return json.loads(self._send(connection, method, path, body).read())
            except StillBuilding:
                if time.monotonic() >= deadline:
                    raise
            except TimeoutError:
                raise Failure(f"lab {self.name} doesn't answer", "see: sdnlab logs", Exit.LOST) from None
            except (http.client.HTTPException, OSError, ValueError):
                raise Failure(f"lab {self.name} ended while it was asked", "", Exit.LOST) from None
            finally:
                connection.close()
            time.sleep(0.05)

    def _send(
        self, connection: UnixConnection, method: str, path: str, body: Any
    ) -> http.client.HTTPResponse:
        try:
            connection.connect()
        except ConnectionRefusedError:
            raise Failure(f"no lab named {self.name!r} is running", "see: sdnlab list") from None
        _pid, uid = peer(connection.sock)
        if uid != os.getuid():
            raise Failure(f"the address of lab {self.name} is held by user {uid}, not by you")
        payload = None if body is None else json.dumps(body).encode()
        headers = {} if payload is None else {"Content-Type": "application/json"}
        connection.request(method, path, payload, headers)
        response = connection.getresponse()
        if response.status >= 400:
            self._refuse(response)
        return response

    def _refuse(self, response: http.client.HTTPResponse) -> None:
        text = response.read()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"what": text.decode(errors="replace")}
        if not isinstance(answer, dict):
            answer = {"what": str(answer)}
        if response.status == 503 and answer.get("state") == "building":
            raise StillBuilding(self.name, str(answer.get("stage", "")))
        what = answer.get("what") or answer.get("detail") or f"HTTP {response.status}"
        raise Refused(response.status, str(what), str(answer.get("remedy", "")))
