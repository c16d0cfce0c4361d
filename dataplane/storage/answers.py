"""What the storage of a lab tells about its volumes: the JSON itself, typed."""

from __future__ import annotations

from typing_extensions import TypedDict


class CopyInfo(TypedDict):
    """A copy: its storage host; ``current``, ``lost`` or ``rebuilding``, or ``unused``; the bytes that it
    occupies there; and the process that serves it (inside), 0 when it has ended."""

    host: str
    state: str
    occupied: int
    pid: int


class SnapshotInfo(TypedDict):
    """A snapshot: its name, and when it was saved, in seconds since 1970."""

    name: str
    saved: float


class VolumeInfo(TypedDict):
    """A volume. ``used``: bytes of its file system, if it is mounted. ``mounted``: how its host has it:
    ``loop``, ``fuse2fs``, ``virtio`` (a block device of a virtual machine), or empty: not at all.
    ``rebuilt``: the part of a copy that is rebuilt now, 0 to 1. ``trouble``: empty: none."""

    name: str
    pool: str
    size: int
    limit: int
    used: int | None
    host: str
    path: str
    mounted: str
    keep: str
    copies: list[CopyInfo]
    rebuilt: float
    snapshots: list[SnapshotInfo]
    trouble: str
