"""The files and directories that a host has of its own, and which mounts give them to it. Pure.

In a room the machine's files are read-only, and some directories are the room's own already (/run, /tmp).  A
directory that a host may change, or in which it has a file that the machine has not, becomes a layer: a mount
of the room.  A file that the machine has, too, is mounted over that one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from topologies.model.hosts import OwnThings

FILE = "own.json"
"""The file in the folder of a host's driver that tells its room what it has of its own."""

Kind = Literal["folder", "file", ""]
Look = Callable[[str], Kind]
"""What is at a path; empty: nothing."""


class OwnFile(NamedTuple):
    """A file: its absolute path, its text, its mode (chmod(2))."""

    path: str
    content: str
    mode: int


@dataclass(frozen=True)
class OwnTree:
    """What a host has of its own and its room must know. ``hostname`` empty: its name in the lab."""

    hostname: str = ""
    files: tuple[OwnFile, ...] = ()
    private: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hostname or self.files or self.private)


def tree_of(own: OwnThings) -> OwnTree:
    """The part of a host's own things that its room must know."""
    files = tuple(OwnFile(file.path, file.content, file.mode) for file in own.files)
    return OwnTree(own.hostname, files, own.private)


def write(tree: OwnTree, folder: Path) -> None:
    """Tell the room: write ``FILE`` in the driver's folder, which is made. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    words = {"hostname": tree.hostname, "files": tree.files, "private": tree.private}
    new = folder / f"{FILE}.new"
    new.write_text(json.dumps(words), encoding="utf-8")
    new.replace(folder / FILE)


def read(text: str) -> OwnTree:
    """What ``write`` wrote."""
    words = json.loads(text)
    return OwnTree(
        words["hostname"], tuple(OwnFile(*file) for file in words["files"]), tuple(words["private"])
    )


class Impossible(NamedTuple):
    """A path that no host can have of its own on this machine, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Layer:
    """A directory of the machine that becomes the host's own.

    ``whole``: the directories at or below ``path`` in which the host may change everything. ``folders`` and
    ``files`` are made in it.
    """

    path: str
    whole: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    files: tuple[OwnFile, ...] = ()


@dataclass(frozen=True)
class Arrangement:
    """How a host gets its own files.

    ``layers``: none is inside another. ``over``: files that are mounted over those of the machine.
    ``folders``, ``files``: made in directories that are the room's own anyway.
    """

    layers: tuple[Layer, ...] = ()
    over: tuple[OwnFile, ...] = ()
    folders: tuple[str, ...] = ()
    files: tuple[OwnFile, ...] = ()
    impossible: tuple[Impossible, ...] = ()


def inside(path: str, folders: Iterable[str]) -> str:
    """The first of ``folders`` that is ``path`` or above it; empty: none."""
    here = PurePosixPath(path)
    return next((folder for folder in folders if here.is_relative_to(folder)), "")


def _outermost(paths: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for path in sorted(paths, key=lambda path: len(PurePosixPath(path).parts)):
        if not inside(path, kept):
            kept.append(path)
    return sorted(kept)


def arrange(tree: OwnTree, look: Look, rooms_own: Collection[str]) -> Arrangement:
    """The mounts and files for ``tree``, whose paths have no symbolic links.

    ``look``: what the machine has. ``rooms_own``: directories that are each room's own.
    """
    impossible: list[Impossible] = []
    bases: set[str] = set()
    over: list[OwnFile] = []

    def base_of(path: str) -> str:
        """The nearest directory of the machine above ``path``, if a mount there can be the host's own."""
        above = next(parent for parent in PurePosixPath(path).parents if look(str(parent)))
        if look(str(above)) == "file":
            impossible.append(Impossible(path, f"{above} is a file"))
        elif str(above) == "/":
            first = PurePosixPath(path).parts[1]
            impossible.append(Impossible(path, f"this machine has no directory /{first}"))
        else:
            return str(above)
        return ""

    private = [path for path in tree.private if not inside(path, rooms_own)]
    for path in private:
        if look(path) == "file":
            impossible.append(Impossible(path, "it is a file"))
        else:
            bases.add(path if look(path) == "folder" else base_of(path))
    for file in tree.files:
        if inside(file.path, rooms_own):
            continue
        if look(file.path) == "folder":
            impossible.append(Impossible(file.path, "it is a directory"))
        elif look(file.path) == "file":
            over.append(file)
        else:
            bases.add(base_of(file.path))
    layers = _outermost(bases - {""})
    wrong = {path for path, _ in impossible}
    return Arrangement(
        tuple(
            Layer(
                layer,
                tuple(_outermost(p for p in private if inside(p, [layer]) and look(p) == "folder")),
                tuple(p for p in private if inside(p, [layer]) and not look(p) and p not in wrong),
                tuple(file for file in tree.files if inside(file.path, [layer]) and file.path not in wrong),
            )
            for layer in layers
        ),
        tuple(file for file in over if not inside(file.path, layers)),
        tuple(path for path in tree.private if inside(path, rooms_own)),
        tuple(file for file in tree.files if inside(file.path, rooms_own)),
        tuple(impossible),
    )
