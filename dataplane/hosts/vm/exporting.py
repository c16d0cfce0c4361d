"""A virtual machine written as one file: its image, and its state when it is on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataplane.hosts.driver import HostError
from dataplane.hosts.vm.saving import size_of, taken
from dataplane.images import cache, exported
from dataplane.images.exported import Part

if TYPE_CHECKING:
    from dataplane.hosts.vm.machine import Machine


@dataclass(frozen=True)
class Export:
    """A machine's archive. ``size``: of ``pieces`` together, in bytes. ``running``: its state is in it.

    ``paused``: seconds for which it stood still.
    """

    pieces: Iterator[bytes]
    size: int
    running: bool
    paused: float


def export(machine: Machine) -> Export:
    """The machine as an archive; when it is on, as it is at this moment. Raises HostError."""
    if machine.disk is not None:
        name = machine.host.name
        raise HostError(
            f"{name} boots from a disk, and only machines with an image of sdnlab are exported",
            f"sdnlab snapshot save {name} NAME keeps its state as long as the lab",
        )
    image, key = machine.image(), machine.key()
    with contextlib.ExitStack() as stack:
        paused = 0.0
        parts: list[Part] = []
        told = cache.described(image.folder)
        try:
            for name in cache.FILES:
                file = stack.enter_context((image.folder / name).open("rb"))
                size = os.fstat(file.fileno()).st_size
                parts.append(Part(name, file, size, told["files"][name]["sha256"]))
        except (OSError, KeyError) as error:
            raise HostError(f"the image of {machine.host.name} is gone: {error}") from None
        if machine.state != "off":
            saved = taken(machine)
            paused = saved.paused
            state = stack.enter_context(saved.file)
            parts.append(Part(exported.STATE, state, size_of(state), exported.digest_of(state)))
        manifest = exported.manifest(machine.host.name, key, told, parts)
        size = exported.archive_size(manifest, parts)
        return Export(_pieces(manifest, parts, stack.pop_all()), size, len(parts) > len(cache.FILES), paused)


def _pieces(manifest: bytes, parts: list[Part], files: contextlib.ExitStack) -> Iterator[bytes]:
    with files:
        yield from exported.archive(manifest, parts)
