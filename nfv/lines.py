"""The lines that a function's process writes, and the names both sides know (see ``nfv.contract``).

Apart from the contract itself so that a process imports next to nothing: tens of them start at once.
"""

from __future__ import annotations

import json
import sys
import time

TYPE_CHECKING = False  # typing itself would cost every process milliseconds
if TYPE_CHECKING:
    from typing import Any, TextIO

INWARD, OUTWARD, TAP, HOST = "in", "out", "tap", "eth0"


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as EVE writes them: ``2026-11-24T11:16:56.123456+0000``."""
    whole = int(seconds)
    micro = int((seconds - whole) * 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{micro:06d}+0000"


def say(event_type: str, *, to: TextIO | None = None, now: float | None = None, **fields: Any) -> None:
    """Write one event as a JSON line, at once."""
    line = {"timestamp": timestamp(time.time() if now is None else now), "event_type": event_type, **fields}
    stream = sys.stdout if to is None else to
    stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    stream.flush()
