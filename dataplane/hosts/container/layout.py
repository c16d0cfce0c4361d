"""Reads an OCI image layout, a directory or a tar archive of one: which layers and which settings it has.

OCI image specification 1.1: image-layout.md, image-index.md, manifest.md, config.md.  What is named by a
digest is compared with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

INDEX = "index.json"
MARK = "oci-layout"
MOST_JSON = 4 << 20
"""Bytes of a document, as registries allow them."""
MOST_LAYERS = 512
DEPTH = 4
"""Indexes in indexes."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "ppc64le": "ppc64le"}
"""uname(2) -> the word of images."""
DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
NAME = "org.opencontainers.image.ref.name"


class LayoutError(Exception):
    """It is no image layout, or it is damaged; the message says what is wrong."""


@dataclass(frozen=True)
class Blob:
    """A descriptor: what a blob must be."""

    digest: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """An image. ``digest``: of its manifest. ``layers``: the lowest first; ``diff_ids``: their digests as tar
    archives. ``config``: the ``config`` of its configuration."""

    digest: str
    layers: tuple[Blob, ...]
    diff_ids: tuple[str, ...]
    config: Mapping[str, Any]


class Layout:
    """An open layout; ``open_layout`` makes it."""

    def __init__(self, path: str, archive: tarfile.TarFile | None) -> None:
        self._path, self._archive = path, archive

    def open(self, name: str) -> IO[bytes]:
        """A file of the layout. Raises LayoutError."""
        try:
            if self._archive is None:
                return (Path(self._path) / name).open("rb")
            for spelled in (name, f"./{name}"):
                try:
                    file = self._archive.extractfile(spelled)
                except KeyError:
                    continue
                if file is not None:
                    return file
        except (OSError, tarfile.TarError) as error:
            raise LayoutError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
        raise LayoutError(f"{name} is missing")

    def chunks(self, blob: Blob, octets: int = 1 << 20) -> Iterator[bytes]:
        """A blob's content. Raises LayoutError, at its end at the latest, when it is not what it must be."""
        algorithm, _, number = blob.digest.partition(":")
        check, size = hashlib.new(algorithm), 0
        with self.open(f"blobs/{algorithm}/{number}") as file:
            while True:
                try:
                    chunk = file.read(octets)
                except (OSError, tarfile.TarError) as error:
                    raise LayoutError(f"{blob.digest}: {error}") from None
                if not chunk:
                    break
                size += len(chunk)
                if size > blob.size:
                    raise LayoutError(f"{blob.digest} is longer than {blob.size} bytes")
                check.update(chunk)
                yield chunk
        if size != blob.size or check.hexdigest() != number:
            raise LayoutError(f"the content of {blob.digest} is another one")

    def document(self, blob: Blob) -> dict[str, Any]:
        """A blob that is a JSON object. Raises LayoutError."""
        if blob.size > MOST_JSON:
            raise LayoutError(f"{blob.digest} is too long for a document")
        return parsed(b"".join(self.chunks(blob)), blob.digest)


@contextmanager
def open_layout(path: str) -> Iterator[Layout]:
    """The layout at ``path``, which is a directory or a tar archive. Raises LayoutError."""
    if Path(path).is_dir():
        yield Layout(path, None)
        return
    try:
        archive = tarfile.open(path, "r:")  # noqa: SIM115 - closed below
    except (OSError, tarfile.TarError) as error:
        raise LayoutError(f"it can't be read as a tar archive: {error}") from None
    with archive:
        yield Layout(path, archive)


def is_layout(path: str) -> bool:
    """Whether it is a layout rather than a root file system: a directory with the mark of one, or a file."""
    return (Path(path) / MARK).is_file() or Path(path).is_file()


def manifest(layout: Layout, wanted: str = "", machine: str = "") -> Manifest:
    """The image in the layout with the name ``wanted`` (empty: the only one) for ``machine`` (of uname(2)).

    Raises LayoutError.
    """
    with layout.open(INDEX) as file:
        index = parsed(file.read(MOST_JSON), INDEX)
    chosen = _choose(layout, index, wanted, ARCHITECTURES.get(machine or os.uname().machine, machine), DEPTH)
    listed = layout.document(chosen)
    layers = [_blob(entry) for entry in _list(listed, "layers")]
    if len(layers) > MOST_LAYERS:
        raise LayoutError(f"it has {len(layers)} layers, more than {MOST_LAYERS}")
    config = layout.document(_blob(listed.get("config")))
    rootfs = config.get("rootfs")
    diff_ids = _list(rootfs, "diff_ids") if isinstance(rootfs, dict) else []
    if len(diff_ids) != len(layers) or not all(
        isinstance(one, str) and DIGEST.match(one) for one in diff_ids
    ):
        raise LayoutError("its configuration does not name the content of each layer")
    settings = config.get("config")
    return Manifest(
        chosen.digest, tuple(layers), tuple(diff_ids), settings if isinstance(settings, dict) else {}
    )


def parsed(data: bytes, name: str) -> dict[str, Any]:
    """A JSON object. Raises LayoutError."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise LayoutError(f"{name} is no JSON") from None
    if not isinstance(value, dict):
        raise LayoutError(f"{name} is no JSON object")
    return value


def _choose(layout: Layout, index: Mapping[str, Any], wanted: str, architecture: str, depth: int) -> Blob:
    if depth == 0:
        raise LayoutError("its indexes are nested too deep")
    entries = [entry for entry in _list(index, "manifests") if isinstance(entry, dict)]
    names = {str(_object(entry, "annotations").get(NAME, "")): entry for entry in entries}
    if wanted:
        if wanted not in names:
            raise LayoutError(f"it has no image {wanted}, but {', '.join(filter(None, names)) or 'no names'}")
        entries = [names[wanted]]
    suitable = [entry for entry in entries if _suits(_object(entry, "platform"), architecture)]
    digests = {str(entry.get("digest")) for entry in suitable}
    if len(digests) > 1:
        raise LayoutError(
            f"it has several images ({', '.join(sorted(filter(None, names)))}): write PATH:NAME"
        )
    if not suitable:
        raise LayoutError(f"it has no image for {architecture}")
    blob = _blob(suitable[0])
    if suitable[0].get("mediaType") in INDEXES:
        return _choose(layout, layout.document(blob), "", architecture, depth - 1)
    return blob


def _suits(platform: Mapping[str, Any], architecture: str) -> bool:
    system, processor = platform.get("os", "linux"), platform.get("architecture", architecture)
    return bool(system == "linux" and processor == architecture)


def _blob(entry: Any) -> Blob:
    digest, size = (entry.get("digest"), entry.get("size")) if isinstance(entry, dict) else (None, None)
    if not isinstance(digest, str) or not DIGEST.match(digest):
        raise LayoutError(f"{digest!r} is no digest")
    if not isinstance(size, int) or size < 0:
        raise LayoutError(f"{digest} has no size")
    return Blob(digest, size)


def _list(holder: Mapping[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []


def _object(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}
