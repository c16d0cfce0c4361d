"""Reading pcap and pcapng files.

Sources: draft-ietf-opsawg-pcap (pcap), draft-ietf-opsawg-pcapng.  Both byte orders, micro- and nanoseconds; a
file that ends in the middle of a packet gives the packets before it.  No length in a file is trusted: an
impossible one is an error.  Files are read as streams: at most ``BLOCK`` bytes and one packet are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import RawIOBase
from struct import Struct
from typing import BinaryIO

MAX_PACKET = 262144 * 4
"""Bytes; a record that claims more is an error (libpcap's own limit is 256 KiB, with slack)."""


BLOCK = 1 << 20
"""Bytes that are read at once."""
MAX_BLOCK = 16 << 20
"""Bytes; a pcapng block that claims more is an error (Wireshark's own limit)."""


class BadCapture(Exception):
    """The file is no capture, or a record in it is malformed."""


Record = tuple[float, bytes, int]
"""Seconds since 1970, the packet's bytes, its link type."""


class _Window:
    """The present part of a file: ``data``, which begins at byte ``begin`` of the file."""

    __slots__ = ("begin", "data", "file")

    def __init__(self, source: bytes | BinaryIO | RawIOBase) -> None:
        self.file = None if isinstance(source, bytes) else source
        self.data = source if isinstance(source, bytes) else b""
        self.begin = 0
        self.more(0, 4)

    def more(self, at: int, least: int) -> int:
        """Move the window's beginning to its offset ``at``, and read until it has ``least`` bytes, or to the
        file's end.

        Returns its size.
        """
        if self.file is None:
            if at:
                self.data, self.begin = self.data[at:], self.begin + at
            return len(self.data)
        parts = [self.data[at:]]
        have = len(parts[0])
        self.begin += at
        while have < least:
            try:
                part = self.file.read(max(BLOCK, least - have))
            except OSError as error:  # a disk error, or a pipe without more data
                raise BadCapture(f"at byte {self.begin + have}: {error.strerror or error}") from None
            if not part:
                break
            parts.append(part)
            have += len(part)
        self.data = b"".join(parts)
        return have


def records(source: bytes | BinaryIO | RawIOBase) -> Iterator[Record]:
    """All packets of a file or its content. Raises BadCapture at the first malformed record."""
    window = _Window(source)
    magic = window.data[:4]
    if magic == b"\x0a\x0d\x0d\x0a":
        yield from _pcapng(window)
    elif magic in _PCAP:
        yield from _pcap(window, *_PCAP[magic])
    elif len(magic) == 0:
        raise BadCapture("the file is empty")
    else:
        raise BadCapture(f"it begins with {magic.hex()}, which neither pcap nor pcapng does")


_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
    b"\x34\xcd\xb2\xa1": ("<", 1e-6),  # Kuznetzov's variant has 8 more bytes in each record
}


def _pcap(window: _Window, order: str, unit: float) -> Iterator[Record]:
    if window.more(0, 24) < 24:
        raise BadCapture("the file header is cut short")
    data = window.data
    linktype = Struct(order + "I").unpack_from(data, 20)[0] & 0xFFFF
    extra = 8 if data[:4] == b"\x34\xcd\xb2\xa1" else 0
    head = Struct(order + "IIII")
    unpack, at, size = head.unpack_from, 24, len(data)
    streamed = window.file is not None
    while True:
        if at + 16 > size:
            if streamed:
                size, at = window.more(at, 16 + extra), 0
                data = window.data
            if at + 16 > size:
                if at < size:
                    raise BadCapture(f"the last packet's header is cut short at byte {window.begin + size}")
                return
        seconds, fraction, length, _ = unpack(data, at)
        at += 16 + extra
        if length > MAX_PACKET:
            raise BadCapture(f"a record at byte {window.begin + at} claims {length} bytes")
        end = at + length
        if end > size:
            if streamed:
                size, at, end = window.more(at, length), 0, length
                data = window.data
            if end > size:
                raise BadCapture(f"the last packet is cut short at byte {window.begin + size}")
        yield seconds + fraction * unit, data[at:end], linktype
        at = end


def _pcapng(window: _Window) -> Iterator[Record]:
    data, order, at, size = window.data, "<", 0, len(window.data)
    interfaces: list[tuple[int, float, float]] = []  # link type, seconds per unit, offset in seconds
    while True:
        if at + 12 > size and window.file is not None:
            size, at = window.more(at, 12), 0
            data = window.data
        if at + 12 > size:
            if at < size:
                raise BadCapture(f"the last block is cut short at byte {window.begin + size}")
            return
        if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            bom = data[at + 8 : at + 12]
            if bom not in (b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"):
                raise BadCapture(f"a section at byte {window.begin + at} has no byte-order magic")
            order = ">" if bom == b"\x1a\x2b\x3c\x4d" else "<"
            interfaces = []
        kind, length = Struct(order + "II").unpack_from(data, at)
        if 12 <= length <= MAX_BLOCK and at + length > size and window.file is not None:
            size, at = window.more(at, length), 0
            data = window.data
        if length < 12 or length % 4 or length > MAX_BLOCK or at + length > size:
            raise BadCapture(f"a block at byte {window.begin + at} claims {length} bytes")
        body = data[at + 8 : at + length - 4]
        at += length
        if kind == 1 and len(body) >= 8:
            interfaces.append(_interface(body, order))
        elif kind == 6 and len(body) >= 20:
            number, high, low, captured, _ = Struct(order + "IIIII").unpack_from(body)
            if number >= len(interfaces) or captured > len(body) - 20:
                raise BadCapture(f"a packet block before byte {window.begin + at} makes no sense")
            linktype, unit, offset = interfaces[number]
            yield (high << 32 | low) * unit + offset, body[20 : 20 + captured], linktype
        elif kind == 2 and len(body) >= 20:  # the obsolete packet block
            number, _, high, low, captured, _ = Struct(order + "HHIIII").unpack_from(body)
            if number >= len(interfaces) or captured > len(body) - 20:
                raise BadCapture(f"a packet block before byte {window.begin + at} makes no sense")
            linktype, unit, offset = interfaces[number]
            yield (high << 32 | low) * unit + offset, body[20 : 20 + captured], linktype
        elif kind == 3 and len(body) >= 4 and interfaces:
            (original,) = Struct(order + "I").unpack_from(body)
            yield 0.0, body[4 : 4 + min(original, len(body) - 4)], interfaces[0][0]


def _interface(body: bytes, order: str) -> tuple[int, float, float]:
    linktype = Struct(order + "H").unpack_from(body)[0]
    unit, offset, at = 1e-6, 0.0, 8
    while at + 4 <= len(body):
        code, length = Struct(order + "HH").unpack_from(body, at)
        value = body[at + 4 : at + 4 + length]
        at += 4 + length + (-length % 4)
        if code == 0:
            break
        if code == 9 and length == 1 and len(value) == 1:  # if_tsresol
            exponent = value[0] & 0x7F
            unit = 2.0**-exponent if value[0] & 0x80 else 10.0**-exponent
        elif code == 14 and len(value) == 8:  # if_tsoffset
            offset = float(Struct(order + "q").unpack(value)[0])
    return linktype, unit, offset
