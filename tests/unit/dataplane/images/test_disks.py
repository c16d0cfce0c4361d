"""Disk images: what their headers say, which are refused, and what is found in the others."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from dataplane.images import disks, images, qcow2
from dataplane.images.errors import ImageError
from dataplane.images.qcow2 import BadDisk, Header

needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
CREATE = ("qemu-img", "create", "-q", "-f", "qcow2")
FIRST = struct.Struct(">4sIQIIQI")


def quiet(text: str) -> None:
    pass


def head(
    version: int = 3,
    backing: int = 0,
    bits: int = 16,
    size: int = 1 << 30,
    encryption: int = 0,
    features: int = 0,
) -> bytes:
    first = FIRST.pack(b"QFI\xfb", version, backing, 7 if backing else 0, bits, size, encryption)
    return first.ljust(72, b"\0") + struct.pack(">Q", features) + bytes(24)


def made(path: Path) -> Path:
    """A disk with something in it."""
    subprocess.run([*CREATE, path, "16M"], check=True)
    write = ["qemu-io", "-f", "qcow2", "-c", "write -P 65 1M 4M", path]
    subprocess.run(write, check=True, capture_output=True)
    return path


def test_a_header_is_read() -> None:
    assert qcow2.header(head()) == Header(1 << 30)
    assert qcow2.header(head(version=2, features=7)) == Header(1 << 30)  # these bytes are no features there
    assert qcow2.header(head(backing=104)).backing
    assert qcow2.header(head(encryption=2)).encrypted
    assert qcow2.header(head(features=4)).data_file
    assert qcow2.header(head(features=2)).corrupt


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no disk in the format qcow2"),
        (b"QFI\xfb", "no disk in the format qcow2"),
        (bytes(512), "no disk in the format qcow2"),
        (head(version=4), "version 4"),
        (head()[:90], "damaged"),
        (head(bits=60), "damaged"),
        (head(size=0), "damaged"),
        (head(size=1000), "damaged"),
    ],
)
def test_what_is_no_header(data: bytes, why: str) -> None:
    with pytest.raises(BadDisk, match=why):
        qcow2.header(data)


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (Header(512, backing=True), "has a backing file"),
        (Header(512, data_file=True), "data is in another file"),
        (Header(512, encrypted=True), "encrypted"),
        (Header(512, corrupt=True), "marked as corrupt"),
    ],
)
def test_what_a_machine_must_not_get(of: Header, why: str) -> None:
    with pytest.raises(BadDisk, match=why):
        qcow2.check(of, "disk")
    qcow2.check(Header(512), "disk")


def test_a_disk_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(head())
    (tmp_path / "b").write_bytes(b"\x1f\x8b a machine, perhaps")
    os.mkfifo(tmp_path / "pipe")
    assert disks.is_disk(str(tmp_path / "a"))
    for name in ("b", "pipe", "nothing", "."):
        assert not disks.is_disk(str(tmp_path / name))
    assert not disks.is_disk("micro")


def test_what_is_neither_disk_nor_machine_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bytes(4096))
    with pytest.raises(ImageError) as error:
        images.ensure(str(raw), quiet)
    assert "'micro' and a disk in the format qcow2" in error.value.remedy
    assert f"qemu-img convert -O qcow2 {raw}" in error.value.remedy
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(ImageError, match="no regular file"):  # and nobody waits for a pipe's end
            images.ensure(str(tmp_path / name), quiet)


@needs_qemu
def test_a_good_disk_is_checked_and_stays_open(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk.qcow2")
    before = disk.read_bytes()
    heard: list[str] = []
    assert disks.ensure(str(disk), heard.append) == disks.DiskImage(str(disk), disk, 16 << 20)
    assert heard == [f"checking {disk}"] and disk.read_bytes() == before
    _, fd = disks.find(str(disk))
    disk.unlink()
    assert os.pread(fd, 4, 0) == qcow2.MAGIC
    os.close(fd)


@needs_qemu
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_half_a_disk(tmp_path: Path, kept: float) -> None:
    disk = made(tmp_path / "disk.qcow2")
    os.truncate(disk, int(disk.stat().st_size * kept))
    with pytest.raises(ImageError, match=r"damaged, or a part of it is missing|can't be read") as error:
        disks.ensure(str(disk), quiet)
    assert str(disk) in error.value.what and "/proc/" not in error.value.what


@needs_qemu
def test_a_disk_with_a_wrong_table(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk.qcow2")
    with disk.open("r+b") as file:
        (table,) = struct.unpack(">Q", file.read(48)[40:])
        file.seek(table)
        file.write(struct.pack(">Q", 1 << 62 | 12345))
    with pytest.raises(ImageError, match="damaged"):
        disks.ensure(str(disk), quiet)


@needs_qemu
def test_a_disk_that_names_a_file_of_the_machine_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for the guest".ljust(1 << 20))
    hostile = tmp_path / "hostile.qcow2"
    subprocess.run([*CREATE, "-b", secret, "-F", "raw", hostile], check=True)
    with pytest.raises(ImageError, match="has a backing file"):
        disks.ensure(str(hostile), quiet)
    apart = tmp_path / "apart.qcow2"
    subprocess.run([*CREATE, "-o", f"data_file={tmp_path / 'data'}", apart, "1M"], check=True)
    with pytest.raises(ImageError, match="its data is in another file"):
        disks.ensure(str(apart), quiet)


def test_a_disk_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nothing: No such file"):
        disks.ensure(str(tmp_path / "nothing"), quiet)
