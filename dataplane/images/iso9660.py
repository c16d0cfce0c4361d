"""A small file system on a read-only disk: ISO 9660 with files in one folder. Pure.

ECMA-119 (https://ecma-international.org/publications-and-standards/standards/ecma-119/), without extensions.
Names have capital letters there; Linux shows them in small ones (``map=normal``, its default), and takes the
hyphen that the standard does not know.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 2048
_FIRST = 16
"""The sectors before are for the system that boots from the disk."""
_ROOT = _FIRST + 4
"""Two descriptors, and the table of folders twice, come before."""
_MOST_NAME = 30
_NO_DATE = b"0" * 16 + b"\0"


def disk(label: str, files: Mapping[str, bytes]) -> bytes:
    """The disk's content: a whole number of sectors of 2048 bytes, and at least 64 KiB.

    ``files``: content by name, which has small letters and at most 30 characters. Raises ValueError for
    another name, and for more names than fit in one sector.
    """
    for name in files:
        if not 0 < len(name) <= _MOST_NAME or name != name.lower() or not name.isascii() or "/" in name:
            raise ValueError(f"{name!r} can't be a file's name on this disk")
    at = _ROOT + 1
    folder = _record(b"\0", _ROOT, SECTOR, True) + _record(b"\1", _ROOT, SECTOR, True)
    contents = []
    for name in sorted(files):
        folder += _record(f"{name.upper()};1".encode(), at, len(files[name]), False)
        contents.append(_whole(files[name]))
        at += len(contents[-1]) // SECTOR
    if len(folder) > SECTOR:
        raise ValueError("there are more files than fit in one sector")
    # ECMA-119, 9.4: the only folder is the root
    tables = [b"\1\0" + struct.pack(order + "IH", _ROOT, 1) + b"\0\0" for order in "<>"]
    sectors = [
        bytes(_FIRST * SECTOR),
        _primary(label, at, len(tables[0])),
        _whole(b"\xffCD001\1"),
        *(_whole(one) for one in tables),
        _whole(folder),
        *contents,
    ]
    return b"".join(sectors).ljust(32 * SECTOR, b"\0")


def _primary(label: str, sectors: int, table: int) -> bytes:
    """ECMA-119, 8.4: the primary volume descriptor."""
    return _whole(
        b"\1CD001\1\0"
        + b" " * 32
        + label.encode("ascii").ljust(32)
        + bytes(8)
        + _both(sectors, 4)
        + bytes(32)
        + _both(1, 2)
        + _both(1, 2)
        + _both(SECTOR, 2)
        + _both(table, 4)
        + struct.pack("<II", _FIRST + 2, 0)
        + struct.pack(">II", _FIRST + 3, 0)
        + _record(b"\0", _ROOT, SECTOR, True)
        + b" " * (4 * 128 + 3 * 37)
        + _NO_DATE * 4
        + b"\1"
    )


def _record(name: bytes, sector: int, size: int, is_folder: bool) -> bytes:
    """ECMA-119, 9.1: an entry of a folder. Its length is even."""
    date = bytes((70, 1, 1, 0, 0, 0, 0))
    body = _both(sector, 4) + _both(size, 4) + date + bytes((2 if is_folder else 0, 0, 0)) + _both(1, 2)
    record = bytes((0, 0)) + body + bytes((len(name),)) + name
    record += bytes(len(record) % 2)
    return bytes((len(record),)) + record[1:]


def _both(value: int, size: int) -> bytes:
    """ECMA-119, 7.2.3 and 7.3.3: a number in both orders of bytes."""
    return value.to_bytes(size, "little") + value.to_bytes(size, "big")


def _whole(data: bytes) -> bytes:
    return data + bytes(-len(data) % SECTOR)
