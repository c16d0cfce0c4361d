"""The lab's copy of the container runtime: nobody can change it, and all processes find it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.hosts.container import runtime


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is the machine's runc."""
    program = tmp_path / "runc"
    program.write_bytes(Path("/bin/true").resolve().read_bytes())
    program.chmod(0o755)
    monkeypatch.setattr(runtime, "find", lambda name: str(program))
    monkeypatch.setattr(runtime, "CONTAINERS", tmp_path / "containers")
    monkeypatch.setattr(runtime, "RECORD", tmp_path / "containers" / "runtime")
    return program


@pytest.fixture
def copy(installed: Path) -> Iterator[int]:
    fd = runtime.keep_copy()
    yield fd
    os.close(fd)


def test_it_runs_and_nobody_can_change_it(copy: int, installed: Path) -> None:
    assert subprocess.run([runtime.path_of(copy)], pass_fds=[copy]).returncode == 0
    assert os.pread(copy, 1 << 30, 0) == installed.read_bytes()
    with pytest.raises(PermissionError):
        os.pwrite(copy, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(copy, 0)


def test_another_process_executes_the_copy(copy: int) -> None:
    path = runtime.program()
    assert os.stat(path).st_ino == os.fstat(copy).st_ino and path != runtime.path_of(copy)  # noqa: PTH116
    assert not os.get_inheritable(int(path.rpartition("/")[2]))
    os.close(int(path.rpartition("/")[2]))


def test_what_is_not_the_copy_is_not_executed(copy: int, installed: Path) -> None:
    other = os.open(installed, os.O_RDONLY)
    runtime.RECORD.write_text(f"/proc/{os.getpid()}/fd/{other} {os.fstat(copy).st_ino}")
    assert runtime.program() == str(installed)  # a file of another inode
    runtime.RECORD.write_text(f"/proc/{os.getpid()}/fd/{other} {os.fstat(other).st_ino}")
    assert runtime.program() == str(installed)  # not sealed
    os.close(other)
    runtime.RECORD.write_text("/proc/0/fd/1 7")
    assert runtime.program() == str(installed)
    runtime.RECORD.unlink()
    assert runtime.program() == str(installed)


def test_without_runc_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime, "find", lambda name: None)
    monkeypatch.setattr(runtime, "RECORD", tmp_path / "runtime")
    for call in (runtime.keep_copy, runtime.program):
        with pytest.raises(FileNotFoundError, match="runc is not installed"):
            call()
