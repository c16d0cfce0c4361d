"""Compressed kernels and modules. What the standard library can't unpack is given to the usual programs."""

from __future__ import annotations

import gzip
import lzma
import subprocess
import zlib

_PROGRAMS = {
    b"\x28\xb5\x2f\xfd": ("zstd", "-dc"),
    b"\x02\x21\x4c\x18": ("lz4", "-dc"),
}
"""How zstd (RFC 8878) and LZ4's legacy frames begin."""


def decompress(data: bytes) -> bytes | None:
    """The plain bytes; None if the form is unknown, or the program for it is not there."""
    try:
        if data.startswith(b"\xfd7zXZ\0"):
            return lzma.LZMADecompressor().decompress(data)
        if data.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(data)
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile):
        return None
    for begin, argv in _PROGRAMS.items():
        if data.startswith(begin):
            return _by(argv, data)
    return None


def _by(argv: tuple[str, ...], data: bytes) -> bytes | None:
    # a kernel is followed by its size, of which the programs complain after they have written everything
    try:
        return subprocess.run(argv, input=data, capture_output=True, timeout=120).stdout or None
    except (OSError, subprocess.TimeoutExpired):
        return None
