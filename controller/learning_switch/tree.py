"""The spanning tree of a script's network: the wires that its file names, without those that are down."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from wire.loop_free import blocked

VARIABLE = "SDNLAB_WIRES"
"""The environment variable that names the file: a JSON list of [switch, port, other switch, its port]."""


class Wires:
    """The wires in a file that may change; without a file there are none."""

    def __init__(self, file: str) -> None:
        self._file = Path(file) if file else None
        self._seen: tuple[int, int] | None = None
        self.time = 0
        """When the file that is in force was written, in nanoseconds."""
        self._wires: list[tuple[str, str, str, str]] = []

    def changed(self) -> bool:
        """Whether the file is another one than at the last call; then it is read."""
        if self._file is None:
            return False
        try:
            now = self._file.stat()
            seen = (now.st_ino, now.st_mtime_ns)
            if seen == self._seen:
                return False
            self._wires = [
                (str(a), str(b), str(c), str(d)) for a, b, c, d in json.loads(self._file.read_text())
            ]
            self._seen, self.time = seen, now.st_mtime_ns
        except (OSError, ValueError):
            return False
        return True

    def blocked(self, down: Collection[str]) -> set[str]:
        """The ports that must not flood, while those in ``down`` carry nothing."""
        return blocked(wire for wire in self._wires if wire[1] not in down and wire[3] not in down)
