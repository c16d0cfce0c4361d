"""Exported machines: written, read, and refused when they are not whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataplane.images import cache, exported, images
from dataplane.images.errors import ImageError
from dataplane.images.exported import Part
from dataplane.images.snapshots import SnapshotKey

KEY = SnapshotKey("7.2", "tcg", 64 << 20, 2, "e1000", "devices")
IMAGE = {
    "arguments": "quiet",
    "python": "python3",
    "distribution": "d",
    "packages": {"a": "1"},
    "built": "now",
}
CONTENT = {"vmlinux": b"kernel", "initrd": bytes(3000), "state": os.urandom(1 << 20), "disk.qcow2": b"disk"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def parts(*names: str) -> list[Part]:
    return [
        Part(name, io.BytesIO(CONTENT[name]), len(CONTENT[name]), hashlib.sha256(CONTENT[name]).hexdigest())
        for name in names
    ]


def machine(tmp_path: Path, *names: str, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """An exported machine with these files."""
    told = exported.manifest("v1", KEY, IMAGE, parts(*names))
    if change is not None:
        manifest = json.loads(told)
        change(manifest)
        told = json.dumps(manifest).encode()
    file = tmp_path / "v1.machine"
    file.write_bytes(gzip.compress(b"".join(exported.archive(told, parts(*names))), 1))
    return file


def unpacked(file: Path) -> exported.Exported:
    known = exported.exported(images.ensure(str(file), lambda text: None))
    assert known is not None
    return known


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = machine(tmp_path, "vmlinux", "initrd", "state")
    heard: list[str] = []
    image = images.ensure(str(file), heard.append)
    assert heard == [f"unpacking {file}"]
    assert image.kernel.read_bytes() == CONTENT["vmlinux"]
    assert image.initrd.read_bytes() == CONTENT["initrd"]
    assert (image.arguments, image.python) == ("quiet", "python3")
    known = exported.exported(image)
    assert known is not None and known.key == KEY
    assert known.state is not None and known.state.read_bytes() == CONTENT["state"]
    assert images.ensure(str(file), heard.append) == image == exported.find(str(file))
    assert len(heard) == 1  # only once


def test_a_machine_that_was_off_has_no_state(tmp_path: Path) -> None:
    assert unpacked(machine(tmp_path, "vmlinux", "initrd")) == exported.Exported(KEY, None)


def test_the_archive_has_the_size_that_was_said(tmp_path: Path) -> None:
    told = exported.manifest("v1", KEY, IMAGE, parts("vmlinux", "initrd", "state"))
    some = parts("vmlinux", "initrd", "state")
    data = b"".join(exported.archive(told, some))
    assert len(data) == exported.archive_size(told, some)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["manifest.json", "vmlinux", "initrd", "state"]


def test_another_content_is_unpacked_again(tmp_path: Path) -> None:
    off = unpacked(machine(tmp_path, "vmlinux", "initrd"))
    on = unpacked(machine(tmp_path, "vmlinux", "initrd", "state"))
    assert off.state is None and on.state is not None


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.9999])
def test_half_a_file(tmp_path: Path, own_cache: Path, kept: float) -> None:
    file = machine(tmp_path, "vmlinux", "initrd", "state")
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ImageError) as error:
        unpacked(file)
    assert str(file) in error.value.what
    assert not [path for path in own_cache.rglob("*") if path.is_file() and not path.name.startswith(".lock")]


def test_a_changed_octet(tmp_path: Path) -> None:
    file = machine(tmp_path, "vmlinux", "initrd", "state")
    told = exported.manifest("v1", KEY, IMAGE, parts("vmlinux", "initrd", "state"))
    data = bytearray(b"".join(exported.archive(told, parts("vmlinux", "initrd", "state"))))
    data[-5000] ^= 1
    file.write_bytes(gzip.compress(bytes(data), 1))
    with pytest.raises(ImageError, match="damaged"):
        unpacked(file)


def test_foreign_files(tmp_path: Path) -> None:
    file = tmp_path / "v1.machine"
    for content in (gzip.compress(b"something else" * 1000), b"\x1f\x8bno gzip", gzip.compress(b"")):
        file.write_bytes(content)
        with pytest.raises(ImageError, match="no machine that sdnlab exported"):
            unpacked(file)
    for content in (b"text", b"QFI\xfb a disk", b""):
        file.write_bytes(content)
        with pytest.raises(ImageError, match="no machine that sdnlab exported"):
            images.ensure(str(file), lambda text: None)
    with pytest.raises(ImageError, match="missing: No such file"):
        images.ensure(str(tmp_path / "missing"), lambda text: None)


def test_another_format_is_named(tmp_path: Path) -> None:
    file = machine(tmp_path, "vmlinux", "initrd", change=lambda told: told.update(format=3))
    with pytest.raises(ImageError, match="has format 3, and this sdnlab reads format 1 and 2"):
        unpacked(file)
    file = machine(tmp_path, "vmlinux", "initrd", change=lambda told: told.update(format=2))
    with pytest.raises(ImageError, match="damaged"):
        unpacked(file)


def test_a_machine_with_a_disk(tmp_path: Path) -> None:
    file = machine(tmp_path, "disk.qcow2", "state")
    image = images.ensure(str(file), lambda text: None)
    assert image.disk is not None and image.disk.read_bytes() == CONTENT["disk.qcow2"]
    assert image.size() == len(CONTENT["disk.qcow2"])
    known = exported.exported(image)
    assert known is not None and known.state is not None
    assert exported.has_disk(str(file)) and not exported.has_disk("micro")
    images.verify(image)
    image.disk.write_bytes(b"changed")
    with pytest.raises(ImageError, match=r"is damaged: .*disk\.qcow2"):
        images.verify(image)


def test_what_was_unpacked_goes_when_its_file_is_gone(tmp_path: Path) -> None:
    first = images.ensure(str(machine(tmp_path, "vmlinux", "initrd")), lambda text: None)
    (tmp_path / "v1.machine").unlink()
    held = first.hold()
    assert exported.forget(lambda file: not file.exists()) == [] and first.folder.exists()
    os.close(held)
    (tmp_path / "second").mkdir()
    second = images.ensure(str(machine(tmp_path / "second", "vmlinux", "initrd", "state")), lambda text: None)
    assert not first.folder.exists() and second.folder.exists()
    assert exported.forget(lambda file: file.is_relative_to(tmp_path)) == [second.name]
    assert images.listed() == []
    assert not list(cache.root().iterdir()), "nor is a lock left"


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "other", ".."])
def test_only_known_names_are_taken(tmp_path: Path, own_cache: Path, name: str) -> None:
    def add(told: dict[str, Any]) -> None:
        told["files"][name] = told["files"]["vmlinux"]

    told = exported.manifest("v1", KEY, IMAGE, parts("vmlinux", "initrd"))
    file = tmp_path / "v1.machine"
    for manifest in (told, machine_manifest(told, add)):
        evil = Part(name, io.BytesIO(b"kernel"), 6, hashlib.sha256(b"kernel").hexdigest())
        data = b"".join(exported.archive(manifest, [evil, *parts("vmlinux", "initrd")]))
        file.write_bytes(gzip.compress(data))
        with pytest.raises(ImageError):
            unpacked(file)
    assert not [path for path in own_cache.rglob("*evil*")]


def machine_manifest(told: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    manifest = json.loads(told)
    change(manifest)
    return json.dumps(manifest).encode()
