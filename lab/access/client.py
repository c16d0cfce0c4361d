"""The command line's side of a lab's HTTP API.

It is plain ``http.client`` over the lab's Unix socket.  Its import takes a tenth of httpx's time, which
matters because a command takes only 0.2 s.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Generator, Iterator
from typing import Any

from dataplane.sandbox.process_state import is_stopped
from lab.access.holders import connect, peer
from lab.access.holders import supervisor_pid as supervisor_pid
from lab.failure import Exit, Failure
from linux.readiness import readable

_LOOK = 0.25
"""Seconds between two checks of the process that we wait for."""


class Refused(Failure):
    """The lab refused the request; ``status`` is the HTTP status."""

    def __init__(self, status: int, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.status = status


class StillBuilding(Failure):
    """The lab is not up yet; ``stage`` is its present stage."""

    def __init__(self, name: str, stage: str) -> None:
        super().__init__(f"lab {name} is still being built ({stage})", "try again in a moment", Exit.LOST)
        self.stage = stage


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over the Unix socket at a path."""

    def __init__(self, where: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._where = where

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._where)


class LabConnection(http.client.HTTPConnection):
    """An HTTP connection to the caller's lab of this name."""

    def __init__(self, name: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._name = name

    def connect(self) -> None:
        self.sock = connect(self._name, self.timeout)


def await_answer(stream: socket.socket, name: str, timeout: float | None) -> None:
    """Wait until the lab ``name`` at the other end has something to say, for ``timeout`` seconds at most.

    Raises Failure when a signal has stopped the lab, TimeoutError after that time.
    """
    pid, began = peer(stream)[0], time.monotonic()
    while not readable([stream], _LOOK):
        if is_stopped(pid):
            raise Failure(
                f"lab {name} is stopped by a signal (process {pid})",
                f"continue it: kill -CONT {pid}; or stop the lab: sdnlab down {name}",
                Exit.LOST,
            )
        if timeout is not None and time.monotonic() - began > timeout:
            raise TimeoutError


class Client:
    """Requests to the lab ``name``. Every method raises Failure with a message for the user."""

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

    def stream(
        self, path: str, method: str = "GET", body: Any = None, silence: float | None = None
    ) -> Generator[dict[str, Any], None, None]:
        """The JSON lines of an answer, as they come, until it or the lab ends. Raises Failure after so many
        seconds of ``silence``."""
        connection = LabConnection(self.name, silence)
        try:
            response = self._send(connection, method, path, body)
            for line in response:
                if line.strip():
                    yield json.loads(line)
        except TimeoutError:
            raise Failure(f"lab {self.name} doesn't answer", "see: sdnlab logs", Exit.LOST) from None
        except (http.client.HTTPException, OSError):
            return
        finally:
            connection.close()

    def post_stream(self, path: str, body: Any) -> tuple[http.client.HTTPResponse, LabConnection]:
        """The answer to POST ``path``, to read as it comes, and its connection, to close."""
        connection = LabConnection(self.name, None)
        try:
            return self._send(connection, "POST", path, body), connection
        except (http.client.HTTPException, OSError):
            connection.close()
            raise Failure(f"lab {self.name} ended before it answered", "", Exit.LOST) from None
        except BaseException:
            connection.close()
            raise

    @contextlib.contextmanager
    def download(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """The answer to GET ``path``, to read as it comes."""
        connection = LabConnection(self.name, None)
        try:
            yield self._send(connection, "GET", path, None)
        except (http.client.HTTPException, ConnectionError, TimeoutError):
            raise Failure(f"lab {self.name} ended before it had sent everything", "", Exit.LOST) from None
        finally:
            connection.close()

    def _call(self, method: str, path: str, body: Any) -> Any:
        deadline = time.monotonic() + self.patience
        while True:
            connection = LabConnection(self.name, self.timeout)
            try:
                return json.loads(self._send(connection, method, path, body).read())
            except StillBuilding:
                if time.monotonic() >= deadline:
                    raise
            except TimeoutError:
                raise Failure(f"lab {self.name} doesn't answer", "see: sdnlab logs", Exit.LOST) from None
            except (http.client.HTTPException, OSError, ValueError):
                raise Failure(f"lab {self.name} ended before it answered", "", Exit.LOST) from None
            finally:
                connection.close()
            time.sleep(0.05)

    def _send(self, connection: LabConnection, method: str, path: str, body: Any) -> http.client.HTTPResponse:
        try:
            connection.connect()
        except ConnectionRefusedError:
            raise Failure(f"no lab named {self.name!r} is running", "see: sdnlab list") from None
        payload = None if body is None else json.dumps(body).encode()
        headers = {} if payload is None else {"Content-Type": "application/json"}
        connection.request(method, path, payload, headers)
        await_answer(connection.sock, self.name, self.timeout)
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
