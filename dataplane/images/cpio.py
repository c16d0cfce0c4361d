"""An archive that the kernel unpacks as its first file system. Pure.

The form is ``newc`` (cpio(5); Linux, Documentation/driver-api/early-userspace/buffer-format.rst). Owner,
times and inode numbers are fixed, so that equal content gives equal bytes. Archives can be joined end to end.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One file. ``mode``: type and permissions as in stat(2). ``data``: content, or a symbolic link's target.

    ``device``: major and minor number of a device node.
    """

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(path: str, mode: int = 0o755) -> Entry:
    """A directory."""
    return Entry(path, stat.S_IFDIR | mode)


def file(path: str, data: bytes, mode: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(path, stat.S_IFREG | mode, data)


def link(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int, mode: int = 0o600) -> Entry:
    """The node of a character device."""
    return Entry(path, stat.S_IFCHR | mode, b"", (major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive of all entries, sorted by path, with the directories that they need.

    Raises ValueError for two entries of one path.
    """
    by_path: dict[str, Entry] = {}
    for entry in entries:
        path = entry.path.strip("/")
        if path in by_path:
            raise ValueError(f"two entries for {entry.path}")
        by_path[path] = entry
    for path in list(by_path):
        while "/" in path:
            path = path.rpartition("/")[0]
            by_path.setdefault(path, folder(path))
    # "/" sorts before all other characters, so that a directory comes directly before what it contains
    ordered = sorted(by_path, key=lambda path: path.replace("/", "\0"))
    parts = [_member(number, path, by_path[path]) for number, path in enumerate(ordered, 1)]
    return b"".join([*parts, _member(0, "TRAILER!!!", Entry("", 0))])


def _member(number: int, path: str, entry: Entry) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, major, minor, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _aligned(head) + _aligned(entry.data)


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
