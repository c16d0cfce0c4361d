"""What a lab has otherwise than the file of another tool says, or has not at all."""

from __future__ import annotations

from typing import NamedTuple


class Note(NamedTuple):
    """``what`` differs, as a text for people; ``line`` of ``file`` says it (0: no line is known)."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"
