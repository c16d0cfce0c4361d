"""The kernel that QEMU starts: taken out of its compressed form. Pure.

A distribution's kernel unpacks itself, which takes 7 s of 14 for an emulated processor. QEMU starts the
unpacked kernel just as well, by its PVH entry. https://docs.kernel.org/arch/x86/boot.html,
https://xenbits.xen.org/docs/unstable/misc/pvh.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from dataplane.images import elf

Decompress = Callable[[bytes], "bytes | None"]
"""Compressed bytes to plain ones; None where this machine can't."""

_PVH_NOTE = 18
"""XEN_ELFNOTE_PHYS32_ENTRY"""


class BadKernel(Exception):
    """The file is no kernel for x86."""


def payload(image: bytes) -> bytes:
    """The compressed kernel in a ``bzImage``; raises BadKernel.

    The last four bytes, the size of the kernel, are part of it (boot protocol 2.08).
    """
    if len(image) < 0x260 or image[0x202:0x206] != b"HdrS" or image[0x206:0x208] < b"\x08\x02":
        raise BadKernel("it has no header of the boot protocol 2.08")
    setup = (image[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = setup * 512 + offset
    if start + length > len(image):
        raise BadKernel("it is cut off")
    return image[start : start + length]


def for_qemu(image: bytes, decompress: Decompress) -> bytes:
    """The kernel in the form that starts fastest: unpacked if that is possible, else as it is.

    Raises BadKernel.
    """
    plain = decompress(payload(image))
    return plain if plain is not None and has_pvh_entry(plain) else image


def has_pvh_entry(kernel: bytes) -> bool:
    """Whether QEMU can start this unpacked kernel."""
    if not elf.is_elf(kernel):
        return False
    notes = elf.section(kernel, ".notes")
    return any(struct.pack("<III", 4, size, _PVH_NOTE) + b"Xen\0" in notes for size in (4, 8))
