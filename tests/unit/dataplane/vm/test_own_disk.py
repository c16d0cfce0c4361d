"""A machine's own disk: files without a name, copies of them, and the seed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from ipaddress import ip_address, ip_interface
from pathlib import Path
from types import SimpleNamespace

import pytest

from dataplane.hosts.driver import HostError
from dataplane.hosts.vm import own_disk
from dataplane.hosts.vm.own_disk import OwnDisk
from dataplane.images import disks, seed

TOLD = seed.Machine("deb", "02:00:00:00:00:01", [ip_interface("10.0.0.1/24")], [ip_address("10.0.0.9")], 1500)
needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "16M"], check=True)
    path.chmod(0o400)
    return path


@needs_qemu
def test_what_a_machine_writes_goes_to_a_file_without_a_name(image: Path) -> None:
    before = image.read_bytes()
    one, two = OwnDisk(str(image)), OwnDisk(str(image))
    assert one.changes != two.changes
    assert os.fstat(one.changes).st_nlink == 0
    told = subprocess.run(
        ["qemu-img", "info", f"/proc/self/fd/{one.changes}"],
        pass_fds=[one.changes],
        capture_output=True,
        text=True,
    ).stdout
    assert "virtual size: 16 MiB" in told and "backing" not in told
    image.unlink()  # it is open
    assert os.pread(one.boot().base, len(before), 0) == before
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(one.boot().base, b"x")
    one.close()
    two.close()


@needs_qemu
def test_a_machine_that_returned_has_what_it_had_written(image: Path) -> None:
    disk = OwnDisk(str(image))
    other = own_disk.nameless()
    assert disk.boot(other).changes == other.fileno() != disk.boot().changes
    disk.take(other)
    assert disk.boot().changes == disk.changes == other.fileno()
    disk.close()
    assert other.closed


@needs_qemu
def test_a_disk_and_what_was_written_over_it_become_one_file(image: Path, tmp_path: Path) -> None:
    image.chmod(0o600)
    subprocess.run(["qemu-io", "-c", "write -P 1 0 1M", "-c", "write -P 2 2M 1M", image], check=True)
    disk = OwnDisk(str(image))
    changes = tmp_path / "changes"
    changes.write_bytes(Path(f"/proc/self/fd/{disk.changes}").read_bytes())
    subprocess.run(["qemu-io", "-c", "write -P 3 2M 64k", changes], check=True)
    with changes.open("rb") as written, own_disk.merged(disk.base, written.fileno()) as both:
        one = tmp_path / "one.qcow2"
        one.write_bytes(Path(f"/proc/self/fd/{both.fileno()}").read_bytes())
    disks.ensure(str(one), print)  # it is one file
    reads = ("read -P 1 0 1M", "read -P 3 2M 64k", "read -P 2 2112k 64k", "read -P 0 4M 1M")
    told = subprocess.run(
        ["qemu-io", *(word for read in reads for word in ("-c", read)), one], capture_output=True, text=True
    )
    assert "verification failed" not in told.stdout and told.stdout.count("read ") == len(reads)
    disk.close()


@needs_qemu
def test_changes_that_name_other_files_are_not_read(image: Path, tmp_path: Path) -> None:
    disk, evil = OwnDisk(str(image)), tmp_path / "evil.qcow2"
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", evil]
    subprocess.run(words, check=True)
    with evil.open("rb") as file, pytest.raises(HostError, match="has a backing file"):
        own_disk.merged(disk.base, file.fileno())
    disk.close()


@needs_qemu
def test_a_machine_is_told_what_it_is(image: Path) -> None:
    disk = OwnDisk(str(image))
    assert disk.boot().seed is None
    disk.tell(TOLD)
    fd = disk.boot().seed
    assert fd is not None and fd in disk.boot().descriptors()
    content = os.pread(fd, os.fstat(fd).st_size, 0)
    assert b"02:00:00:00:00:01" in content and b"sdnlab-agent.service" in content
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(fd, b"x")
    disk.tell(TOLD)
    disk.close()


def holes_are_kept() -> None:
    source = own_disk.nameless()
    for at, data in ((0, b"first"), (3 << 20, b"x" * 70_000), (9 << 20, b"last")):
        os.pwrite(source.fileno(), data, at)
    os.ftruncate(source.fileno(), 16 << 20)
    copy = own_disk.copied(source.fileno())
    size = os.fstat(source.fileno()).st_size
    assert os.pread(copy.fileno(), size + 1, 0) == os.pread(source.fileno(), size + 1, 0)
    assert os.fstat(copy.fileno()).st_blocks * 512 < 2 << 20
    os.pwrite(source.fileno(), b"FIRST", 0)
    assert os.pread(copy.fileno(), 5, 0) == b"first"


def test_a_copy_has_the_same_content_and_holes() -> None:
    holes_are_kept()


def test_a_copy_is_read_and_written_where_the_kernel_does_not_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        raise OSError(errno.EXDEV, "between two file systems")

    monkeypatch.setattr("os.copy_file_range", refuse)
    holes_are_kept()


def test_without_room_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1 << 20))
    with (
        own_disk.nameless() as source,
        pytest.raises(HostError, match="1 MiB are free in /var/tmp"),
    ):
        own_disk.copied(source.fileno())
