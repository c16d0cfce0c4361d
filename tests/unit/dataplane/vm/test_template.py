"""Templates: written, read, and damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataplane.hosts.vm import template
from dataplane.hosts.vm.template import Damaged, Template

SIZE = 1 << 20
STATE = os.urandom(5000)


@pytest.fixture
def fresh() -> Template:
    memory = template.memory_file(SIZE)
    os.pwrite(memory, b"first", 0)
    os.pwrite(memory, b"middle", 500_000)
    os.pwrite(memory, b"end", SIZE - 3)
    return template.copy(memory, template.state_file(STATE))


@pytest.fixture
def path(tmp_path: Path, fresh: Template) -> Path:
    path = tmp_path / "one"
    path.touch()
    template.write(path, fresh)
    return path


def contents(fd: int) -> bytes:
    return os.pread(fd, SIZE, 0)


def test_what_is_read_is_what_was_written(path: Path, fresh: Template) -> None:
    read = template.read(path, SIZE)
    assert contents(read.memory) == contents(fresh.memory)
    assert contents(read.memory)[500_000:500_006] == b"middle"
    assert read.state == STATE


def test_empty_memory_takes_no_room(path: Path, fresh: Template) -> None:
    assert os.fstat(fresh.memory).st_blocks * 512 < 65536
    assert path.stat().st_blocks * 512 < 65536 + len(STATE)


def test_nobody_can_change_what_machines_start_from(fresh: Template) -> None:
    with pytest.raises(PermissionError):
        os.pwrite(fresh.memory, b"x", 0)
    again = os.open(f"/proc/self/fd/{fresh.memory}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.pwrite(again, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(again, 10)


@pytest.mark.parametrize("place", [2, 500_001, SIZE + 100, SIZE + len(STATE) + 3])
def test_a_changed_byte_is_found(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 1]))
    with pytest.raises(Damaged):
        template.read(path, SIZE)


@pytest.mark.parametrize("length", [0, 10, SIZE, SIZE + 100, SIZE + len(STATE) + 31])
def test_a_short_file_is_found(path: Path, length: int) -> None:
    os.truncate(path, length)
    with pytest.raises(Damaged):
        template.read(path, SIZE)


def test_memory_of_another_size_does_not_fit(path: Path) -> None:
    with pytest.raises(Damaged):
        template.read(path, 2 * SIZE)
