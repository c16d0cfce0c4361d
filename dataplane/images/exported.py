"""A virtual machine as one file: written by ``sdnlab export``, and taken as an image by another lab.

The file is a tar archive, compressed by gzip:

    manifest.json    FORMAT, the machine's settings, and size and SHA-256 of the other files
    vmlinux, initrd  what the machine boots, or
    disk.qcow2       its disk, with all that it has written
    state            memory and devices, if it was running: what QEMU wrote (see ``manifest``)

It is unpacked into the cache once, as an image of its own; the name of that has a digest of the manifest.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from dataplane.images import cache
from dataplane.images.errors import ImageError, explained
from dataplane.images.image import Image
from dataplane.images.recipe import Say
from dataplane.images.snapshots import SnapshotKey

FORMAT = 1
DISK_FORMAT = 2
"""The format of a machine with a disk."""
PREFIX = "export-"
MANIFEST = "manifest.json"
STATE = "state"
MOST_MANIFEST = 1 << 20
PIECE = 1 << 20
_BROKEN = (tarfile.TarError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Part:
    """A file of an exported machine: its name there, an open file, its size in bytes and its SHA-256."""

    name: str
    file: IO[bytes]
    size: int
    sha256: str


@dataclass(frozen=True)
class Exported:
    """What an image that was exported says of its machine. ``key``: the machine's settings, and what a QEMU
    must be like to read ``state``; that is None when the machine was off."""

    key: SnapshotKey
    state: Path | None


def manifest(name: str, key: SnapshotKey, image: Mapping[str, Any], parts: Sequence[Part]) -> bytes:
    """The manifest of a machine. ``image``: what the cache says of its image."""
    kept = ("arguments", "python", "distribution", "packages", "built")
    told = {
        "format": DISK_FORMAT if any(part.name == cache.DISK for part in parts) else FORMAT,
        "name": name,
        "machine": asdict(key),
        "image": {word: image[word] for word in kept},
        "files": {part.name: {"size": part.size, "sha256": part.sha256} for part in parts},
    }
    return json.dumps(told, indent=1, sort_keys=True).encode()


def archive(told: bytes, parts: Sequence[Part]) -> Iterator[bytes]:
    """The archive, not compressed, piece by piece. Raises ValueError if a part has not its size."""
    for name, file, size in [
        (MANIFEST, io.BytesIO(told), len(told)),
        *((part.name, part.file, part.size) for part in parts),
    ]:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        yield info.tobuf(tarfile.PAX_FORMAT)
        left = size
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                raise ValueError(f"{name} is {left} bytes too short")
            left -= len(piece)
            yield piece
        yield bytes(-size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def archive_size(told: bytes, parts: Sequence[Part]) -> int:
    """Bytes of the archive."""
    sizes = [len(told), *(part.size for part in parts)]
    blocks = sum(1 + -(-size // tarfile.BLOCKSIZE) for size in sizes) + 2
    return blocks * tarfile.BLOCKSIZE


def is_path(name: str) -> bool:
    """Whether the name of an image is the path of an exported machine: sdnlab's own images have no ``/``."""
    return "/" in name


def ensure(name: str, say: Say) -> Image:
    """The image of an exported machine, unpacked if it is not in the cache. Raises ImageError."""
    path = Path(name).resolve()
    if path.exists() and not path.is_file():  # a pipe would have no end
        raise ImageError(f"{name} is no regular file", "image: takes a machine of 'sdnlab export', or a disk")
    folder = cache.root()
    known = _unpacked(folder, path)
    if known is not None:
        return known
    forget(lambda file: not file.exists())
    say(f"unpacking {name}")
    try:
        with tarfile.open(path, "r:gz") as tar:
            told, raw = _read_manifest(tar, name)
            own = f"{PREFIX}{hashlib.sha256(raw).hexdigest()[:12]}"
            with cache.locked(folder, own, say), cache.workshop(folder, own) as work:
                _unpack(tar, told["files"], work, name)
                return _adopt(folder, own, work, told, path)
    except OSError as error:
        if isinstance(error, (tarfile.ReadError, EOFError)) or error.errno is None:
            raise _damaged(name) from None
        raise ImageError(f"{name}: {error.strerror}") from None
    except _BROKEN:
        raise _damaged(name) from None


def find(name: str) -> Image:
    """The image of an exported machine that was unpacked. Raises ImageError."""
    known = _unpacked(cache.root(), Path(name).resolve())
    if known is None:
        raise ImageError(
            f"{name} has changed since it was unpacked", "sdnlab apply FILE, or start the lab again"
        )
    return known


def forget(gone: Callable[[Path], bool]) -> list[str]:
    """Remove from the cache what was unpacked from files that are ``gone``: nobody can name it any more.

    Returns the names; what a lab holds stays. Raises ImageError.
    """
    folder, names = cache.root(), []
    for name in cache.names(folder):
        version = cache.current(folder, name) if name.startswith(PREFIX) else None
        source = cache.described(version).get("exported", {}).get("from") if version is not None else None
        if not isinstance(source, list) or not gone(Path(str(source[0]))):
            continue
        with cache.locked(folder, name, lambda text: None):
            if all([cache.remove_version(one) for one in cache.versions(folder, name)]):
                (folder / name).unlink(missing_ok=True)
                cache.lock_of(folder, name).unlink(missing_ok=True)
                names.append(name)
    return names


def has_disk(name: str) -> bool:
    """Whether the name of an image is the path of an exported machine, unpacked, that has a disk."""
    try:
        return is_path(name) and find(name).disk is not None
    except ImageError:
        return False


def exported(image: Image) -> Exported | None:
    """What an image says of its exported machine; None: it was built."""
    told = cache.described(image.folder).get("exported")
    try:
        key = SnapshotKey(**told["machine"]) if isinstance(told, dict) else None
    except (KeyError, TypeError):
        return None
    if key is None or not isinstance(told, dict):
        return None
    return Exported(key, image.folder / STATE if told["state"] else None)


def _damaged(name: str) -> ImageError:
    return ImageError(
        f"{name} is no machine that sdnlab exported, or it is damaged",
        "export it again (sdnlab export VM FILE); image: also takes 'micro' and a disk in the format qcow2; "
        f"make one of another format: qemu-img convert -O qcow2 {name} disk.qcow2",
    )


def _read_manifest(tar: tarfile.TarFile, name: str) -> tuple[dict[str, Any], bytes]:
    first = tar.next()
    if first is None or first.name != MANIFEST or first.size > MOST_MANIFEST:
        raise _damaged(name)
    file = tar.extractfile(first)
    raw = file.read() if file is not None else b""
    told = json.loads(raw)
    if told["format"] not in (FORMAT, DISK_FORMAT):
        raise ImageError(
            f"{name} has format {told['format']}, and this sdnlab reads format {FORMAT} and {DISK_FORMAT}",
            "use the sdnlab that exported it, or a newer one",
        )
    SnapshotKey(**told["machine"])
    boots = {cache.DISK} if told["format"] == DISK_FORMAT else {*cache.FILES}
    if not boots <= {*told["files"]} <= boots | {STATE}:
        raise _damaged(name)
    return told, raw


def _unpack(tar: tarfile.TarFile, files: Mapping[str, Any], work: Path, name: str) -> None:
    """Write the files, and compare them with the manifest. No other name is taken from the archive."""
    missing = dict(files)
    while (info := tar.next()) is not None:
        wanted = missing.pop(info.name, None)
        file = tar.extractfile(info) if info.isreg() else None
        if wanted is None or file is None or info.size != wanted["size"]:
            raise _damaged(name)
        summing = hashlib.sha256()
        with (work / info.name).open("wb") as out:
            while piece := file.read(PIECE):
                summing.update(piece)
                out.write(piece)
        if summing.hexdigest() != wanted["sha256"]:
            raise _damaged(name)
    if missing:
        raise ImageError(f"{name} ends too early: {', '.join(sorted(missing))} is missing", "copy it again")


def _adopt(folder: Path, own: str, work: Path, told: Mapping[str, Any], path: Path) -> Image:
    with explained(folder):
        has_state = (work / STATE).exists()
        version = cache.versions(folder, own)
        if has_state and version:
            (work / STATE).replace(version[0] / STATE)
        description = {
            **told["image"],
            "recipe": "",
            "guest": "",
            "exported": {"machine": told["machine"], "state": has_state, "from": _stamp(path)},
        }
        image = cache.adopt(folder, own, work, description)
        if has_state and not version:
            (work / STATE).replace(image.folder / STATE)
        return image


def _unpacked(folder: Path, path: Path) -> Image | None:
    """The image that was unpacked from this very file, if it is whole."""
    try:
        stamp = _stamp(path)
    except OSError:
        return None
    for name in cache.names(folder):
        version = cache.current(folder, name) if name.startswith(PREFIX) else None
        told = cache.described(version).get("exported", {}) if version is not None else {}
        if version is None or told.get("from") != stamp or cache.wrong_file(version) is not None:
            continue
        if not told["state"] or (version / STATE).exists():
            return cache.read(version)
    return None


def _stamp(path: Path) -> list[str | int]:
    return [str(path), *cache.stamp(path)]


def digest_of(file: IO[bytes]) -> str:
    """The SHA-256 of an open file from its beginning, in hex; then it is at its beginning again."""
    file.seek(0)
    summing = hashlib.sha256()
    while piece := file.read(PIECE):
        summing.update(piece)
    file.seek(0)
    return summing.hexdigest()
