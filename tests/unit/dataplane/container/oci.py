"""Makes OCI image layouts, sound and hostile ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Entry = tuple[str, bytes, str, str, int]
"""Name, type (of tarfile), link's target, content, mode."""


def file(name: str, text: str, mode: int = 0o644) -> Entry:
    return name, tarfile.REGTYPE, "", text, mode


def folder(name: str, mode: int = 0o755) -> Entry:
    return name, tarfile.DIRTYPE, "", "", mode


def link(name: str, target: str) -> Entry:
    return name, tarfile.SYMTYPE, target, "", 0o777


def hard(name: str, target: str) -> Entry:
    return name, tarfile.LNKTYPE, target, "", 0o644


def device(name: str) -> Entry:
    return name, tarfile.CHRTYPE, "", "", 0o666


def layer(*entries: Entry, owner: int = 0) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, kind, target, text, mode in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.size = kind, target, mode, len(text.encode())
            info.uid = info.gid = owner
            archive.addfile(info, io.BytesIO(text.encode()))
    return raw.getvalue()


def write_layout(
    path: Path,
    layers: Sequence[bytes],
    config: Mapping[str, Any] | None = None,
    pack: Callable[[bytes], bytes] = gzip.compress,
    damage: Mapping[str, Any] | None = None,
    architecture: str | None = None,
) -> Path:
    """``pack`` compresses layers. ``damage``: fields of the manifest that are replaced."""
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes) -> dict[str, Any]:
        number = hashlib.sha256(data).hexdigest()
        (blobs / number).write_bytes(data)
        return {"digest": f"sha256:{number}", "size": len(data)}

    diff_ids = [f"sha256:{hashlib.sha256(plain).hexdigest()}" for plain in layers]
    settings = {"os": "linux", "config": config or {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {
        "schemaVersion": 2,
        "config": blob(json.dumps(settings).encode()),
        "layers": [blob(pack(plain)) for plain in layers],
        **(damage or {}),
    }
    entry: dict[str, Any] = blob(json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    if architecture:
        entry["platform"] = {"os": "linux", "architecture": architecture}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return path


def as_archive(path: Path, to: Path) -> Path:
    with tarfile.open(to, "w") as archive:
        archive.add(path, arcname=".")
    return to
