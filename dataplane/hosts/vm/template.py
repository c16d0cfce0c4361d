"""A booted machine as a file, from which machines start: its memory, and the state of its devices.

The memory is shared by all machines that start from it: each has pages of its own only where it writes.  So
the file is copied once into memory that nobody can change any more (memfd_create(2), F_SEAL_WRITE).

    bytes 0 to MEMORY        the machine's memory; a hole where it is empty
    then                     what QEMU wrote about its devices
    the last 32 bytes        MARK, memory and device bytes as 64-bit numbers, CRC-32 of all data
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TRAILER = struct.Struct("<8sQQII")
_MARK = b"sdnlabVM"
_PIECE = 1 << 22
_F_ADD_SEALS = 1033  # linux/fcntl.h
_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # SEAL, SHRINK, GROW, WRITE


class Damaged(Exception):
    """The file is not what was written."""


@dataclass(frozen=True)
class Template:
    """An open template. ``memory``: the descriptor of a sealed file. ``state``: what QEMU wrote."""

    memory: int
    state: bytes


def memory_file(size: int) -> int:
    """An empty file in memory of so many bytes; its descriptor."""
    fd = os.memfd_create("machine", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    return fd


def copy(memory: int, state: int) -> Template:
    """A template of the descriptors of a memory file and of QEMU's state, which may change afterwards.

    Raises OSError.
    """
    size = os.fstat(memory).st_size
    fixed = memory_file(size)
    try:
        for at, piece in _data(memory, size):
            _put(fixed, piece, at)
        fcntl.fcntl(fixed, _F_ADD_SEALS, _SEALS)
        return Template(fixed, os.pread(state, os.fstat(state).st_size, 0))
    except BaseException:
        os.close(fixed)
        raise


def write(path: Path, template: Template) -> None:
    """Write a template into an existing, empty file. Raises OSError."""
    size = os.fstat(template.memory).st_size
    check = 0
    with path.open("r+b", buffering=0) as file:
        for at, piece in _data(template.memory, size):
            check = zlib.crc32(piece, check)
            _put(file.fileno(), piece, at)
        check = zlib.crc32(template.state, check)
        _put(file.fileno(), template.state, size)
        trailer = _TRAILER.pack(_MARK, size, len(template.state), check, 0)
        _put(file.fileno(), trailer, size + len(template.state))


def read(path: Path, size: int) -> Template:
    """Open a template for machines with ``size`` bytes of memory. Raises OSError, Damaged."""
    with path.open("rb", buffering=0) as file:
        fd = file.fileno()
        length = os.fstat(fd).st_size
        trailer = os.pread(fd, _TRAILER.size, max(0, length - _TRAILER.size))
        if len(trailer) != _TRAILER.size:
            raise Damaged("it is too short")
        mark, memory_size, more, check, _ = _TRAILER.unpack(trailer)
        if (mark, memory_size, memory_size + more + _TRAILER.size) != (_MARK, size, length):
            raise Damaged("its end is missing")
        memory = memory_file(size)
        try:
            checksum = 0
            for at, piece in _data(fd, size):
                checksum = zlib.crc32(piece, checksum)
                _put(memory, piece, at)
            state = os.pread(fd, more, size)
            if zlib.crc32(state, checksum) != check:
                raise Damaged("its check sum is wrong")
            fcntl.fcntl(memory, _F_ADD_SEALS, _SEALS)
        except BaseException:
            os.close(memory)
            raise
    return Template(memory, state)


def _data(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(place, bytes) of a file's pages that are not empty, up to ``end``.

    Empty pages are left out also where the file has them: a file system may fill holes.
    """
    at = 0
    while at < end:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        stop = min(os.lseek(fd, begin, os.SEEK_HOLE), end)
        while begin < stop:
            piece = os.pread(fd, min(_PIECE, stop - begin), begin)
            if not piece:
                return
            if piece.count(0) != len(piece):
                yield begin, piece
            begin += len(piece)
        at = stop


def _put(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


def state_file(state: bytes) -> int:
    """A descriptor from which QEMU reads a state."""
    fd = os.memfd_create("state", os.MFD_CLOEXEC)
    _put(fd, state, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
