"""Waits for a slow answer: shows the progress, and notices a lab that hangs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.cli.say import can_overwrite, overwrite_line, probe_progress
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from lab.access.client import Client
    from lab.messages.lab import Probing

LOOK = 0.5
"""Seconds between two checks."""
SILENT = 3
"""After so many checks in a row without an answer, of up to ``TIMEOUT`` seconds each, a lab counts as
hung."""
TIMEOUT = 10.0


def probed(api: Client, watcher: Callable[[], Client], request: Any) -> Any:
    """The answer to ``POST /ping``, however long it takes; ``watcher`` makes clients for the checks.

    Raises Failure if the lab refuses, or if it no longer answers.
    """
    answers: list[Any] = []
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(api.post("/ping", request))
        except BaseException as error:
            failed.append(error)

    asking = threading.Thread(target=ask, name="ping", daemon=True)
    asking.start()
    live, silent = can_overwrite(sys.stderr), 0
    try:
        while asking.is_alive():
            asking.join(LOOK)
            if not asking.is_alive():
                break
            try:
                state: Probing = watcher().get("/ping")
                silent = 0
            except Failure:
                silent += 1
                if silent >= SILENT and asking.is_alive():
                    raise Failure(f"lab {api.name} doesn't answer", "see: sdnlab logs", Exit.LOST) from None
                continue
            if live and state["running"]:
                overwrite_line(probe_progress(state["done"], state["total"]))
    finally:
        if live:
            overwrite_line("")
    if failed:
        raise failed[0]
    return answers[0]
