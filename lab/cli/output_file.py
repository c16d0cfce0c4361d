"""Writes what a command makes to the file that the user names."""

from __future__ import annotations

import sys
from pathlib import Path

from lab.cli.say import err
from lab.failure import Failure
from topologies.syntax.problem import printable


def put(content: bytes, target: str) -> None:
    """Write ``content`` to a file, and say so; "-" is the standard output. Raises Failure."""
    if target == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        Path(target).write_bytes(content)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Failure(f"can't write {printable(target)}: {reason}", "name another file") from None
    err(f"{printable(target)}: {len(content)} bytes")
