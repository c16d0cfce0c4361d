"""The files beside a topology file, as importers see them: content comes in, nothing is opened here."""

from __future__ import annotations

import posixpath
from typing import NamedTuple, Protocol


class Content(NamedTuple):
    """What a file has. ``problem``: why it can't be read, to follow its name in a sentence; ``there``: it
    exists."""

    raw: bytes = b""
    problem: str = ""
    there: bool = True


class Beside(Protocol):
    """The folder of a topology file. Names are relative to it; what is outside can't be read."""

    @property
    def name(self) -> str:
        """The name of the folder; empty if it is not known."""
        ...

    def read(self, name: str) -> Content:
        """The content of a regular file."""
        ...

    def files(self, folder: str) -> tuple[str, ...]:
        """The names of all regular files in a folder and in those inside it, relative to it, sorted."""
        ...


class Nothing:
    """No folder: a topology that comes as a text."""

    name = ""

    def read(self, name: str) -> Content:
        return Content(problem="can't be read: there is no folder", there=False)

    def files(self, folder: str) -> tuple[str, ...]:
        return ()


def inside(name: str) -> str | None:
    """A relative name without detours; None when it leaves the folder."""
    plain = posixpath.normpath(name)
    outside = not name or "\0" in name or plain.startswith(("/", "~")) or plain.split("/")[0] == ".."
    return None if outside else plain


def sibling(file: str, name: str) -> str:
    """The name of a file beside ``file``, as the user would write it."""
    folder, slash, _ = file.rpartition("/")
    return f"{folder}{slash}{name}"
