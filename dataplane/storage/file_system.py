"""The file system of volumes (ext4): what makes it, and how it is known. Pure; for programs without packages,
too."""

from __future__ import annotations

FORMAT = ("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0")
"""What makes the lab's file system, before the path of the disk."""
MAGIC = (0x438, b"\x53\xef")
"""The offset of ext4's magic number on a disk, and the number (kernel, fs/ext4/ext4.h)."""
LOOKED_AT = 128 << 10
"""Bytes at the begin of a disk where file systems and others have their marks."""
FILE_SYSTEM, NOTHING, OTHER = "a file system", "nothing", "something else"


def what_is_there(begin: bytes) -> str:
    """``FILE_SYSTEM``, ``NOTHING`` or ``OTHER``, by the first bytes of a disk."""
    offset, magic = MAGIC
    if begin[offset : offset + len(magic)] == magic:
        return FILE_SYSTEM
    return OTHER if any(begin) else NOTHING
