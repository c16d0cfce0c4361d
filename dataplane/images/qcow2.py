"""The header of a disk image in the format qcow2. Pure.

QEMU's docs/interop/qcow2.txt: all numbers are big-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"QFI\xfb"
LENGTH = 104
"""Bytes of the part that is read here."""
_FIRST = struct.Struct(">4sIQIIQI")
"""Magic, version, place and length of the backing file's name, cluster bits, size, encryption."""
_FEATURES = struct.Struct(">Q")
_FEATURES_AT = 72
_CORRUPT, _DATA_FILE = 1 << 1, 1 << 2
_CLUSTER_BITS = range(9, 22)
_SECTOR = 512


class BadDisk(Exception):
    """The image can't be used; the message says why. ``remedy``: what helps."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


@dataclass(frozen=True)
class Header:
    """What the header says. ``size``: bytes of the disk that a machine sees.

    ``backing``: the image names another file that has what is not in it. ``data_file``: the data is in
    another file. ``corrupt``: QEMU has found a mistake in it.
    """

    size: int
    backing: bool = False
    data_file: bool = False
    encrypted: bool = False
    corrupt: bool = False


def header(data: bytes) -> Header:
    """The header of an image that begins with ``data``. Raises BadDisk when there is none."""
    if len(data) < _FIRST.size or not data.startswith(MAGIC):
        raise BadDisk("it is no disk in the format qcow2")
    _, version, backing, _, cluster_bits, size, encryption = _FIRST.unpack_from(data)
    if version not in (2, 3):
        raise BadDisk(f"it has version {version} of the format qcow2", "allowed: 2 and 3")
    if len(data) < LENGTH or cluster_bits not in _CLUSTER_BITS or size == 0 or size % _SECTOR:
        raise BadDisk("its header is damaged", "get the file again")
    (features,) = _FEATURES.unpack_from(data, _FEATURES_AT) if version == 3 else (0,)
    return Header(size, backing != 0, bool(features & _DATA_FILE), encryption != 0, bool(features & _CORRUPT))


def check(of: Header, name: str) -> None:
    """Raise BadDisk if a machine can't start from the image in the file ``name``, or must not.

    A disk of somebody else could name any file of this machine as a part of it, and the guest would read
    that.
    """
    alone = f"make it one file, if you know where it is from: qemu-img convert -O qcow2 {name} NEW.qcow2"
    if of.backing:
        raise BadDisk("it has a backing file, and a disk must be one file", alone)
    if of.data_file:
        raise BadDisk("its data is in another file, and a disk must be one file", alone)
    if of.encrypted:
        raise BadDisk("it is encrypted", "decrypt it: qemu-img convert")
    if of.corrupt:
        raise BadDisk(
            "it is marked as corrupt", f"get the file again, or repair it: qemu-img check -r all {name}"
        )
