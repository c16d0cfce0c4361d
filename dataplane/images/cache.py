"""The cache of images: outside the checkout, one folder for each image, complete or not there.

    CACHE/micro            a link to the version that was built last
    CACHE/micro-DIGEST/    vmlinux, initrd, image.json, snapshots/
    CACHE/.build-...       a build that goes on, or that was interrupted

A version is built in a folder of its own, written to the disk, and renamed; only then the link leads to it.
Several checkouts of sdnlab may use one cache, each with a version of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataplane.images.errors import ImageError, explained
from dataplane.images.image import Image
from dataplane.images.recipe import Say

DESCRIPTION = "image.json"
FILES = ("vmlinux", "initrd")
DISK = "disk.qcow2"
"""What an exported machine boots from that has a disk: then it has no ``FILES``."""
KEPT = 3
"""Versions of an image that stay."""
NEEDED = 350_000_000
"""Bytes that a build takes on the disk until it is done."""


def root() -> Path:
    """The folder of all images: ``$XDG_CACHE_HOME/sdnlab/images``, or ``~/.cache/sdnlab/images``.

    Under sudo it is root's, also where $HOME is still the caller's: what root starts must be root's own.
    Raises ImageError for a user without a home.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if named.startswith("/") and _ours(Path(named)):
        return Path(named) / "sdnlab/images"
    home = os.environ.get("HOME", "")
    if not home.startswith("/") or not _ours(Path(home)):
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            home = "/nonexistent"
    if not Path(home).is_dir():
        raise ImageError(
            f"there is no folder for images: your user's home, {home}, does not exist",
            "set XDG_CACHE_HOME to a folder of yours",
        )
    return Path(home) / ".cache/sdnlab/images"


def _ours(path: Path) -> bool:
    """Whether a folder, or the nearest one above that exists, belongs to this user."""
    while not path.exists() and path != path.parent:
        path = path.parent
    with contextlib.suppress(OSError):
        return path.stat().st_uid == os.geteuid()
    return False


@contextmanager
def locked(folder: Path, name: str, say: Say) -> Iterator[None]:
    """Be the only one who changes the image ``name`` in the cache; waits for others. The lock ends with the
    process that has it."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, had = lock_of(folder, name), False
    while not had:
        with explained(folder):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"another process is changing the image {name}: waiting for it")
                fcntl.flock(fd, fcntl.LOCK_EX)
            # Who had it may have removed it, with the image.
            if had := _names(path, fd):
                yield
        finally:
            os.close(fd)


def _names(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def lock_of(folder: Path, name: str) -> Path:
    """The file of the lock of an image. Who has it may remove it, when the image is removed for ever."""
    return folder / f".lock-{name}"


@contextmanager
def workshop(folder: Path, name: str) -> Iterator[Path]:
    """An empty folder in which to build; it is removed at the end, as are those of interrupted builds.

    The caller has the lock.
    """
    for left in folder.glob(f".build-{name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    with explained(folder):
        free = shutil.disk_usage(folder).free
        if free < NEEDED:
            raise ImageError(
                f"{free / 1e6:.0f} MB are free on the disk of {folder}, "
                f"and a build needs {NEEDED / 1e6:.0f} MB",
                "free space there, or set XDG_CACHE_HOME to a folder on another disk",
            )
        work = Path(tempfile.mkdtemp(prefix=f".build-{name}-", dir=folder))
    try:
        with explained(folder):
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def adopt(folder: Path, name: str, work: Path, told: Mapping[str, Any]) -> Image:
    """Make the files in ``work`` the current version of the image. ``told``: what image.json says of it.

    The caller has the lock. Raises OSError.
    """
    files = (DISK,) if (work / DISK).exists() else FILES
    digests = {file: digest(work / file) for file in files}
    text = json.dumps([*digests.values(), told["arguments"]])
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    version = folder / f"{name}-{sha256[:16]}"
    for file in files:
        _to_disk(work / file)
    if version.exists():
        # the same content again: its snapshots stay good
        place = version
    else:
        place = work / "version"
        place.mkdir()
    for file in files:
        (work / file).rename(place / file)
    stamps = {file: {"sha256": digests[file], "stamp": stamp(place / file)} for file in files}
    description = {**told, "name": name, "sha256": sha256, "files": stamps}
    write(place / DESCRIPTION, json.dumps(description, indent=1).encode())
    if place != version:
        place.rename(version)
    _link(folder, name, version.name)
    remove_old(folder, name)
    return read(version)


def _link(folder: Path, name: str, target: str) -> None:
    fresh = folder / f".link-{name}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(folder / name)
    _to_disk(folder)


def write(path: Path, data: bytes) -> None:
    """Write a file so that it has its old content or the new one, whatever happens. Raises OSError."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _to_disk(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def versions(folder: Path, name: str) -> list[Path]:
    """The folders of all versions of an image, the one that was built last first."""
    paths = [path for path in folder.glob(f"{name}-*") if len(path.name) == len(name) + 17]
    last = current(folder, name)
    return sorted(paths, key=lambda path: (path == last, _written(path)), reverse=True)


def _written(version: Path) -> float:
    with contextlib.suppress(OSError):
        return (version / DESCRIPTION).stat().st_mtime
    return 0.0


def names(folder: Path) -> list[str]:
    """The names of all images in the cache."""
    return sorted(path.name for path in folder.glob("*") if path.is_symlink() and path.name[0] != ".")


def current(folder: Path, name: str) -> Path | None:
    """The folder of the current version; None if there is none."""
    path = folder / name
    return path.resolve() if path.is_symlink() and (path / DESCRIPTION).exists() else None


def described(version: Path) -> dict[str, Any]:
    """What ``image.json`` says; empty when it can't be read."""
    with contextlib.suppress(OSError, ValueError):
        told = json.loads((version / DESCRIPTION).read_bytes())
        if isinstance(told, dict):
            return told
    return {}


def read(version: Path) -> Image:
    """The image in a folder; raises ImageError when its description is damaged."""
    told = described(version)
    try:
        return Image(
            name=told["name"],
            folder=version,
            kernel=version / "vmlinux",
            initrd=version / "initrd",
            arguments=told["arguments"],
            sha256=told["sha256"],
            python=told["python"],
            distribution=told["distribution"],
            packages=tuple(sorted(told["packages"].items())),
            built=told["built"],
            disk=version / DISK if DISK in told["files"] else None,
        )
    except (KeyError, TypeError, AttributeError):
        raise damaged(version, DESCRIPTION) from None


def damaged(version: Path, file: str) -> ImageError:
    """A file of an image is not what was built."""
    name = version.name.rpartition("-")[0]
    return ImageError(f"the image {name} is damaged: {version / file}", f"sdnlab image build {name}")


def stamp(path: Path) -> list[int]:
    """What changes when a file is written to: size, time and inode. It costs nothing to compare."""
    told = path.stat()
    return [told.st_size, told.st_mtime_ns, told.st_ino]


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        summing = hashlib.sha256()
        while block := file.read(1 << 20):
            summing.update(block)
    return summing.hexdigest()


def wrong_file(version: Path, thorough: bool = False) -> str | None:
    """The first file of an image that is not what was built; None if all are.

    Files whose stamp is the noted one count as good, unless the check is ``thorough``: it reads everything,
    which takes 0.1 s.
    """
    told = described(version).get("files", {})
    for file in (DISK,) if DISK in told else FILES:
        try:
            noted = told[file]
            if (thorough or stamp(version / file) != noted["stamp"]) and (
                digest(version / file) != noted["sha256"]
            ):
                return file
        except (OSError, KeyError, TypeError):
            return file
    return None


def remove_old(folder: Path, name: str) -> None:
    """Remove all but the newest versions, and those that somebody holds (see ``Image.hold``). The caller has
    the lock."""
    for version in versions(folder, name)[KEPT:]:
        remove_version(version)


def remove_version(version: Path) -> bool:
    """Remove a version unless a lab holds it; whether it is gone."""
    try:
        fd = os.open(version, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        fd = -1
    try:
        if fd >= 0:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # without its name it is no version any more, however long it takes to remove it
        gone = version.with_name(f".build-{version.name}-gone")
        with contextlib.suppress(OSError):
            version.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        if fd >= 0:
            os.close(fd)
    return True
