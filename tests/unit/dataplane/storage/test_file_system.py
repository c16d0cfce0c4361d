"""What is on a disk, by its first bytes."""

from __future__ import annotations

from dataplane.storage.file_system import FILE_SYSTEM, LOOKED_AT, MAGIC, NOTHING, OTHER, what_is_there


def test_the_labs_file_system_is_known_and_nothing_else_is_taken_for_empty() -> None:
    empty = bytes(LOOKED_AT)
    offset, magic = MAGIC
    assert what_is_there(empty) == NOTHING
    assert what_is_there(empty[:offset] + magic + empty[offset + 2 :]) == FILE_SYSTEM
    assert what_is_there(b"XFSB" + empty) == OTHER
    assert what_is_there(empty[:65600] + b"_BHRfS_M") == OTHER
