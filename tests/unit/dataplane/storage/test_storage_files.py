"""The files of copies, and their records."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataplane.storage.error import StorageError
from dataplane.storage.files import CopyFile
from dataplane.storage.records import Record


def test_a_kept_copy_is_there_again(tmp_path: Path) -> None:
    first = CopyFile("data", "st1", tmp_path / "disks")
    first.empty(1 << 20)
    os.pwrite(first.fd, b"hello", 4096)
    first.note(3, False)
    first.close()
    second = CopyFile("data", "st1", tmp_path / "disks")
    assert second.record() == Record(3, False, 1 << 20)
    assert os.pread(second.fd, 5, 4096) == b"hello"
    second.close()


def test_a_record_that_does_not_fit_its_file_counts_as_none(tmp_path: Path) -> None:
    copy = CopyFile("data", "st1", tmp_path)
    copy.empty(1 << 20)
    copy.note(3, False)
    os.ftruncate(copy.fd, 1 << 19)
    assert copy.record() is None
    copy.close()


def test_a_copy_that_was_stretched_when_the_lab_was_killed_is_known(tmp_path: Path) -> None:
    copy = CopyFile("data", "st1", tmp_path)
    copy.empty(1 << 20)
    copy.note(3, False)
    copy.stretch(2 << 20)
    assert copy.record() == Record(3, False, 1 << 20)
    copy.close()


def test_only_a_copy_that_was_written_to_has_data(tmp_path: Path) -> None:
    copy = CopyFile("data", "st1", tmp_path)
    assert not copy.has_data()
    copy.empty(1 << 20)
    assert not copy.has_data()
    os.pwrite(copy.fd, b"hello", 4096)
    assert copy.has_data()
    copy.close()


def test_who_empties_a_copy_has_no_record_of_it_any_more(tmp_path: Path) -> None:
    copy = CopyFile("data", "st1", tmp_path)
    copy.empty(1 << 20)
    copy.note(3, False)
    copy.empty(1 << 20)
    assert copy.record() is None
    copy.close()


def test_a_copy_is_used_by_one_lab_at_a_time(tmp_path: Path) -> None:
    copy = CopyFile("data", "st1", tmp_path)
    with pytest.raises(StorageError, match="another lab uses volume data"):
        CopyFile("data", "st1", tmp_path)
    copy.close()
    CopyFile("data", "st1", tmp_path).close()


def test_a_copy_is_no_link_to_another_file(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "data.st1.img").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError, match="can't be opened"):
        CopyFile("data", "st1", tmp_path)


def test_a_copy_that_is_not_kept_has_no_name(tmp_path: Path) -> None:
    copy = CopyFile("data", "st1", None)
    copy.empty(1 << 20)
    assert copy.record() is None
    copy.note(1, True)
    assert copy.record() == Record(1, True, 1 << 20)  # as long as the lab runs: its user may change
    copy.empty(1 << 20)
    assert copy.record() is None
    assert os.fstat(copy.fd).st_nlink == 0
    assert copy.occupied() < 1 << 20
    copy.close()
