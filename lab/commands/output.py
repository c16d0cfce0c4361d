"""The output of a host's commands: lines with the time, bounded in size."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

KEPT = 65536
"""Bytes of a log that are kept at least, if it has as many."""
LONGEST = 4096
"""Bytes of a line; longer ones are broken."""
MOST_LINES = 4096
"""Lines that are added at once; of more, the last ones."""


class Lines:
    """Takes the octets of an output apart into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, octets: bytes) -> list[str]:
        """The lines that are complete now."""
        *whole, self._rest = (self._rest + octets).split(b"\n")
        while len(self._rest) >= LONGEST:
            whole.append(self._rest[:LONGEST])
            self._rest = self._rest[LONGEST:]
        return [
            line[at : at + LONGEST].decode(errors="replace").removesuffix("\r")
            for line in whole
            for at in range(0, max(1, len(line)), LONGEST)
        ]

    def rest(self) -> list[str]:
        """What came after the last line end; it is complete, too."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace")] if rest else []


class HostLog:
    """The log of a host's commands. Threads may write and read it."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._end = 0
        self._lock = threading.Lock()

    def add(self, lines: Sequence[str], when: float, name: str = "") -> None:
        """Add lines at the Unix time ``when``; ``name``: that of their command, if it must be told."""
        if not lines:
            return
        clock = time.strftime("%H:%M:%S", time.localtime(when)) + f".{int(when % 1 * 1000):03d}"
        begin = f"{clock} {name}: " if name else f"{clock} "
        left_out = [f"({len(lines) - MOST_LINES} lines are left out)"] if len(lines) > MOST_LINES else []
        shown = [*left_out, *lines[-MOST_LINES:]]
        octets = "".join(f"{begin}{line}\n" for line in shown).encode("utf-8", "replace")
        with self._lock:
            self._text += octets
            self._end += len(octets)
            if len(self._text) > 2 * KEPT:
                cut = self._text.find(b"\n", len(self._text) - KEPT - 1) + 1
                del self._text[:cut]

    def since(self, after: int) -> tuple[str, int]:
        """The text that came after so many octets, as far as it is kept, and the number of octets now."""
        with self._lock:
            missed = self._end - len(self._text)
            return self._text[max(0, after - missed) :].decode(errors="replace"), self._end

    def text(self) -> str:
        """What is kept of it."""
        return self.since(0)[0]
