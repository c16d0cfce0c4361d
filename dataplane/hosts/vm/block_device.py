"""What QEMU is told about a volume that a machine gets while it runs: arguments of QMP's blockdev-add and
device_add. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

FIRST, LAST = 0x10, 0x1E
"""Slots of the PCI bus for volumes; QEMU gives the machine's other devices the slots below."""
MOST = LAST - FIRST + 1
"""Volumes of one machine."""


def free_slot(taken: Collection[int]) -> int | None:
    """The first slot that no volume has; None: there is none."""
    return next((slot for slot in range(FIRST, LAST + 1) if slot not in taken), None)


def node(name: str, slot: int) -> dict[str, Any]:
    """The block node of the volume, which is served by NBD.

    The connection is made by the lab and handed over (getfd) under the node's name: QEMU may open no socket
    of the lab. It is not opened again: when it ends, what was not written out is lost, and the guest must
    not go on with the disk as if it were there.
    """
    return {
        "driver": "nbd",
        "node-name": name_of(slot),
        "server": {"type": "fd", "str": name_of(slot)},
        "export": name,
        "discard": "unmap",
    }


def device(name: str, slot: int) -> dict[str, Any]:
    """The disk in the machine. Its serial number, by which the guest knows it, is the volume's name. A
    machine to which this one moves must have it in the same slot."""
    return {
        "driver": "virtio-blk-pci",
        "id": name_of(slot),
        "drive": name_of(slot),
        "serial": name,
        "bus": "pci.0",
        "addr": f"{slot:#x}",
    }


def name_of(slot: int) -> str:
    """The name of the node and of the device in a slot."""
    return f"volume{slot:x}"
