"""Requests of the supervisor to a controller's northbound API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

from lab.access.client import UnixConnection
from lab.failure import Exit, Failure, NotThere
from linux.readiness import readable

TIMEOUT = 30.0
"""Timeout in seconds for an answer, unless there is a reason not to wait for it."""
_LOOK = 0.1


class NoAnswer(Failure):
    """The controller gave no answer. It may have accepted the request."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "see: sdnlab status, sdnlab logs controller", Exit.LOST)


def ask(
    where: str,
    path: str,
    method: str = "GET",
    body: Any = None,
    query: Mapping[str, str | None] | None = None,
    *,
    patience: float = 10.0,
    timeout: float = TIMEOUT,
    doubt: Callable[[], str] = lambda: "",
) -> Any:
    """The controller's answer, from JSON.

    ``where``: its socket's path. ``patience``: seconds until a new controller listens; it starts its API
    last, after the tables are installed. ``timeout``: seconds for the answer. ``doubt`` is called during the
    wait, and returns a reason not to wait any longer, or empty.

    Raises NoAnswer when there is no answer, Failure when it refuses, NotThere when it doesn't know the name.
    """
    parameters = "&".join(
        f"{key}={quote(value)}" for key, value in (query or {}).items() if value is not None
    )
    target = path + ("?" + parameters if parameters else "")
    content = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    connection = UnixConnection(where, timeout)
    now = time.monotonic()
    listening, answered = now + patience, now + timeout
    try:
        while True:
            if why := doubt():
                raise NoAnswer(why)
            try:
                connection.request(method, target, content, headers)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if time.monotonic() > min(listening, answered):
                    raise
                time.sleep(0.02)
        while not readable([connection.sock], _LOOK):
            if why := doubt():
                raise NoAnswer(why)
            if time.monotonic() > answered:
                raise TimeoutError(f"it said nothing for {timeout:g} s")
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or error
        raise NoAnswer(f"the controller doesn't answer: {reason}") from None
    finally:
        connection.close()
    if response.status >= 400:
        detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
        raise (NotThere if response.status == 404 else Failure)(f"the controller says: {detail}")
    return answer
