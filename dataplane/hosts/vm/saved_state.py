"""A saved state of a machine, as files without names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Saved:
    """A saved state. ``taken``: when, in seconds since 1970. ``size``: bytes on the disk. ``paused``: seconds
    for which the machine stood still. ``changes``: what it had written to its disk, if it has one."""

    name: str
    taken: float
    size: int
    paused: float
    file: IO[bytes]
    changes: IO[bytes] | None = None

    def again(self, name: str) -> Saved:
        """The same state under another name. Raises OSError."""
        file, changes = (self.file, self.changes)
        return replace(
            self,
            name=name,
            paused=0.0,
            file=reopened(file),
            changes=reopened(changes) if changes is not None else None,
        )

    def close(self) -> None:
        """Forget it."""
        self.file.close()
        if self.changes is not None:
            self.changes.close()

    def told(self) -> dict[str, str | int | float]:
        """It as JSON."""
        return {"name": self.name, "taken": self.taken, "size": self.size, "paused": round(self.paused, 3)}


def reopened(file: IO[bytes]) -> IO[bytes]:
    """The same file, which has no name, read from another place than ``file``. Raises OSError."""
    return Path(f"/proc/self/fd/{file.fileno()}").open("rb", buffering=0)
