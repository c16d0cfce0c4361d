"""What a 64-bit ELF file says about itself: its sections, and the libraries that it needs. Pure.

System V ABI, chapters 4 and 5: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_NEEDED = 1
"""DT_NEEDED: the offset of a library's name."""


def is_elf(data: bytes) -> bool:
    """Whether ``data`` is an ELF file of 64 bits, little endian."""
    return data[:6] == b"\x7fELF\x02\x01"


def section(data: bytes, name: str) -> bytes:
    """The content of a section; empty if there is none of this name, or the file is no ELF."""
    return next((content for other, content in _sections(data) if other == name), b"")


def needed(data: bytes) -> list[str]:
    """The libraries that a program or library needs, and a program's interpreter, by their file names."""
    names = section(data, ".dynstr")
    entries = struct.iter_unpack("<QQ", _whole(section(data, ".dynamic"), 16))
    libraries = [_text(names, value) for tag, value in entries if tag == _NEEDED]
    interpreter = _text(section(data, ".interp"), 0).rpartition("/")[2]
    return [*libraries, interpreter] if interpreter else libraries


def module_information(data: bytes) -> dict[str, list[str]]:
    """What a kernel module says about itself (modinfo(8)), such as ``depends`` and ``alias``."""
    values: dict[str, list[str]] = {}
    for line in section(data, ".modinfo").split(b"\0"):
        key, _, value = line.decode("utf-8", "replace").partition("=")
        if key:
            values.setdefault(key, []).append(value)
    return values


def _sections(data: bytes) -> Iterator[tuple[str, bytes]]:
    if not is_elf(data) or len(data) < 64:
        return
    (table,) = struct.unpack_from("<Q", data, 40)
    size, number, names = struct.unpack_from("<HHH", data, 58)
    if size < 64 or table + size * number > len(data) or names >= number:
        return
    heads = [struct.unpack_from("<IIQQQQ", data, table + size * i) for i in range(number)]
    _, _, _, _, offset, length = heads[names]
    texts = data[offset : offset + length]
    for name, kind, _, _, offset, length in heads:
        if kind != 8:  # SHT_NOBITS takes no room in the file
            yield _text(texts, name), data[offset : offset + length]


def _text(data: bytes, at: int) -> str:
    return data[at:].partition(b"\0")[0].decode("utf-8", "replace")


def _whole(data: bytes, unit: int) -> bytes:
    return data[: len(data) - len(data) % unit]
