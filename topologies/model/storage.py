"""The storage of a lab: pools of several storage hosts, and the volumes that are carved from them. Pure.

A volume has a copy on each of some storage hosts.  The host that uses it has a storage adapter: a host of
kind namespace, on the same switch, in the network of the storage hosts.  So the blocks are real packets on
the lab's switches, and what runs in the host can't reach the storage network.
"""

from __future__ import annotations

from topologies.model.values import Frozen

PORT = 10809
"""The TCP port of storage hosts: that of the protocol NBD (IANA)."""
SUFFIX = "-disk"
"""What the name of a storage adapter has more than that of its host."""
BLOCK = 4096
"""Sizes of volumes and pools are multiples of it, in bytes."""

MOST_DEVICES = 15
"""Volumes of one virtual machine: the slots that its PCI bus has for them."""
LONGEST_SERIAL = 20
"""Letters of a disk's serial number, which is its volume's name (virtio, VIRTIO_BLK_ID_BYTES)."""

OVERHEAD = 4 << 20
"""Bytes of a copy that its own tables need (qcow2), beside a 256th of the size."""


def needed(size: int) -> int:
    """Bytes that a copy of a volume of ``size`` bytes takes at most."""
    return (size + size // 256 + OVERHEAD + BLOCK - 1) // BLOCK * BLOCK


def adapter_of(host: str) -> str:
    """The name of the storage adapter of a host."""
    return host + SUFFIX


class Mount(Frozen):
    """The use of a volume by a host. ``path``: the directory where it is mounted; empty: a virtual machine
    has it as a block device only."""

    volume: str
    path: str = ""


class Pool(Frozen):
    """A pool. ``hosts``: its storage hosts. ``size``: what each of them gives, in bytes; no volume grows
    beyond it. ``copies``: how many storage hosts have the blocks of each volume."""

    name: str
    hosts: tuple[str, ...]
    size: int
    copies: int = 1


class Volume(Frozen):
    """A volume of ``size`` bytes. ``copies``: the storage hosts that have its blocks.

    ``limit``: the most bytes to which it can grow. ``host``: who uses it; empty: nobody. ``path``: see
    ``Mount``. ``device``: the host is a virtual machine, and gets a block device. ``keep``: the directory of
    its files, which stay when the lab ends; empty: they end with the lab.
    """

    name: str
    pool: str
    size: int
    limit: int
    copies: tuple[str, ...]
    host: str = ""
    path: str = ""
    device: bool = False
    keep: str = ""

    @property
    def adapter(self) -> str:
        """The storage adapter that reads and writes it; empty if nobody uses it."""
        return adapter_of(self.host) if self.host else ""


class Storage(Frozen):
    """All pools and volumes, sorted by name."""

    pools: tuple[Pool, ...] = ()
    volumes: tuple[Volume, ...] = ()

    @property
    def used(self) -> tuple[Volume, ...]:
        """The volumes that a host uses."""
        return tuple(volume for volume in self.volumes if volume.host)


NO_STORAGE = Storage()
