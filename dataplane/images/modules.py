"""The kernel's modules in an image, and the tables from which modprobe(8) loads them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataplane.images import elf

WANTED = (
    "virtio_pci",
    "virtio_console",
    "virtio_net",
    "virtio_blk",
    "virtio_rng",
    "e1000",
    "ext4",
    "crc32c_generic",
    "pvpanic_pci",
)
"""Drivers of QEMU's devices, a file system for volumes with the checksum that it asks the kernel for, and the
device that tells QEMU of a panic."""
HELPERS = (
    "crc16",
    "failover",
    "jbd2",
    "libcrc32c",
    "mbcache",
    "net_failover",
    "pvpanic",
    "rng_core",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_ring",
)
"""What those need in known kernels. A kernel that needs more is read a second time."""

_SIGNATURE = b"~Module signature appended~\n"


@dataclass(frozen=True)
class Module:
    """``depends``: names of the modules that must be loaded before. ``aliases``: what asks for it."""

    name: str
    data: bytes
    depends: tuple[str, ...]
    aliases: tuple[str, ...]


def name_of(path: str) -> str | None:
    """The name of the module in a file; None if it is none. A module's name has no hyphens."""
    name = path.rpartition("/")[2]
    stem, _, compression = name.partition(".ko")
    if stem == name or compression not in ("", ".xz", ".zst", ".gz"):
        return None
    return stem.replace("-", "_")


def module(name: str, data: bytes) -> Module:
    """A module from the content of its file.

    Its signature is left out: to check it takes an emulated processor 20 ms for each module.
    """
    told = elf.module_information(data)
    depends = [one for line in told.get("depends", []) for one in line.split(",") if one]
    aliases = tuple(told.get("alias", []))
    return Module(name, unsigned(data), tuple(one.replace("-", "_") for one in depends), aliases)


def unsigned(data: bytes) -> bytes:
    """A module's file without the signature at its end (Linux, include/linux/module_signature.h)."""
    if not data.endswith(_SIGNATURE):
        return data
    end = len(data) - len(_SIGNATURE)
    return data[: end - 12 - int.from_bytes(data[end - 4 : end], "big")]


def lacking(modules: Mapping[str, Module], builtin: Iterable[str]) -> set[str]:
    """Names of modules that others depend on, and that are neither there nor part of the kernel."""
    known = {*modules, *builtin}
    return {name for one in modules.values() for name in one.depends} - known


def closure(modules: Mapping[str, Module], wanted: Iterable[str]) -> list[Module]:
    """The wanted modules that exist and all that they need, in an order in which they can be loaded."""
    order: dict[str, Module] = {}

    def add(name: str) -> None:
        if name in modules and name not in order:
            for before in modules[name].depends:
                add(before)
            order[name] = modules[name]

    for name in wanted:
        add(name)
    return list(order.values())


def dependency_table(modules: Iterable[Module]) -> str:
    """``modules.dep``: each module's file with all that must be loaded before, the last needed first."""
    modules = list(modules)
    by_name = {one.name: one for one in modules}
    lines = []
    for one in modules:
        before = [other.name for other in closure(by_name, [one.name])][:-1]
        lines.append(f"{one.name}.ko:" + "".join(f" {name}.ko" for name in reversed(before)))
    return "".join(line + "\n" for line in lines)


def alias_table(modules: Iterable[Module]) -> str:
    """``modules.alias``: which module to load for a device or a file system."""
    return "".join(f"alias {alias} {one.name}\n" for one in modules for alias in one.aliases)
