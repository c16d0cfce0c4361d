"""The lines that a function's process writes, and names that both sides use (see ``nfv.contract``).

It is separate from the contract, so that a process imports as little as possible: many start at the same
time.
"""

from __future__ import annotations

import json
import sys
import time

TYPE_CHECKING = False  # typing itself would cost every process milliseconds
if TYPE_CHECKING:
    from typing import Any, TextIO

REPLACE = "replace"
"""The command to load changed files."""
INWARD, OUTWARD, TAP, HOST = "in", "out", "tap", "eth0"


def timestamp(seconds: float) -> str:
    """Seconds since the epoch in EVE's form: ``2026-11-24T11:16:56.123456+0000``."""
    whole = int(seconds)
    micro = int((seconds - whole) * 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{micro:06d}+0000"


def say(event_type: str, *, to: TextIO | None = None, now: float | None = None, **fields: Any) -> None:
    """Write one event as a JSON line, without buffering."""
    line = {"timestamp": timestamp(time.time() if now is None else now), "event_type": event_type, **fields}
    stream = sys.stdout if to is None else to
    stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    stream.flush()


def command(what: str) -> bytes:
    """A command to a process, without the line's end."""
    return json.dumps({"do": what}).encode()


def commanded(line: bytes) -> str | None:
    """The command that a line is; None if it is none."""
    try:
        wanted = json.loads(line).get("do")
    except (ValueError, AttributeError):
        return None
    return wanted if isinstance(wanted, str) else None
