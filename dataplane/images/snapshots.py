"""Snapshots of booted machines, kept beside the image that they were booted from.

    CACHE/micro-DIGEST/snapshots/KEY.state    what QEMU wrote
    CACHE/micro-DIGEST/snapshots/KEY.json     the key in words, and the file's size

They go with the image: another image is another folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from dataplane.images import cache
from dataplane.images.errors import explained
from dataplane.images.image import Image

_FORGOTTEN = 3600.0
"""A draft of this age, in seconds, is of a lab that was killed."""


@dataclass(frozen=True)
class SnapshotKey:
    """What must be the same for a snapshot to fit. ``memory``: bytes.

    ``qemu``: its version, as QEMU gives it. ``devices``: a digest of the machine's type and devices.
    """

    qemu: str
    accelerator: str
    memory: int
    vcpus: int
    nic: str
    devices: str = ""

    def digest(self) -> str:
        """The key as the name of a file."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Snapshot:
    """A snapshot in the cache. ``size``: bytes that it takes on the disk, where holes take none."""

    path: Path
    key: SnapshotKey
    size: int


def snapshot_path(image: Image, key: SnapshotKey) -> Path:
    """Where the snapshot is, or would be."""
    return image.folder / "snapshots" / f"{key.digest()}.state"


def snapshot(image: Image, key: SnapshotKey) -> Snapshot | None:
    """The snapshot that fits; None if there is none, or its file has not the noted size."""
    return _read(snapshot_path(image, key).with_suffix(".json"))


def draft(image: Image, key: SnapshotKey) -> Path:
    """A new, empty file into which a snapshot is written before it is adopted. Raises ImageError."""
    folder = snapshot_path(image, key).parent
    with explained(folder):
        folder.mkdir(exist_ok=True)
        for old in folder.glob(".draft-*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > _FORGOTTEN:
                    old.unlink()
        fd, name = tempfile.mkstemp(prefix=".draft-", dir=folder)
        os.close(fd)
    return Path(name)


def adopt_snapshot(image: Image, key: SnapshotKey, written: Path) -> Snapshot:
    """Make a complete draft the snapshot for this key, at once; one that is there is replaced.

    Raises ImageError; the draft is removed then.
    """
    path = snapshot_path(image, key)
    try:
        with explained(path.parent):
            with written.open("rb") as file:
                os.fsync(file.fileno())
            size = written.stat().st_size
            # without its description, a state counts for nothing
            path.with_suffix(".json").unlink(missing_ok=True)
            written.replace(path)
            cache.write(path.with_suffix(".json"), json.dumps({**asdict(key), "size": size}).encode())
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    return Snapshot(path, key, path.stat().st_blocks * 512)


def forget(image: Image, key: SnapshotKey) -> None:
    """Remove a snapshot, such as one from which QEMU does not start."""
    path = snapshot_path(image, key)
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def snapshots(image: Image) -> list[Snapshot]:
    """All usable snapshots of an image."""
    read = (_read(path) for path in sorted((image.folder / "snapshots").glob("*.json")))
    return [one for one in read if one is not None]


def _read(description: Path) -> Snapshot | None:
    path = description.with_suffix(".state")
    try:
        told = json.loads(description.read_bytes())
        size = told.pop("size")
        key = SnapshotKey(**told)
        status = path.stat()
        return Snapshot(path, key, status.st_blocks * 512) if status.st_size == size else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
