"""Asking the controller: requests to its northbound API, from the supervisor."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from lab.client import UnixConnection
from lab.failure import Exit, Failure, NotThere


def ask(
    where: str, path: str, method: str, body: Any, patience: float, query: Mapping[str, str | None]
) -> Any:
    """The controller's answer, from JSON. ``where``: its socket's path. ``patience``: seconds that one which
    was just started gets to answer; its API is the last thing that it starts, after the tables are installed.

    Raises Failure when it gives none, or refuses; NotThere when it knows nothing of that name.
    """
    parameters = "&".join(f"{key}={quote(value)}" for key, value in query.items() if value is not None)
    connection = UnixConnection(where, 30.0)
    deadline = time.monotonic() + patience
    try:
        while True:
            try:
                content = None if body is None else json.dumps(body).encode()
                headers = {} if body is None else {"Content-Type": "application/json"}
                target = path + ("?" + parameters if parameters else "")
                connection.request(method, target, content, headers)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, ValueError) as error:
        raise Failure(
            f"the controller doesn't answer: {getattr(error, 'strerror', None) or error}",
            "see: sdnlab status, sdnlab logs controller",
            Exit.LOST,
        ) from None
    finally:
        connection.close()
    if response.status >= 400:
        detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
        raise (NotThere if response.status == 404 else Failure)(f"the controller says: {detail}")
    return answer
