"""A virtual machine written as one file: its image or disk, and its state when it is on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from dataplane.hosts.driver import HostError
from dataplane.hosts.vm.own_disk import merged
from dataplane.hosts.vm.saved_state import Saved
from dataplane.hosts.vm.saving import must_be_up, size_of, taken
from dataplane.images import cache, exported
from dataplane.images.exported import Part

if TYPE_CHECKING:
    from dataplane.hosts.vm.machine import Machine


DISK = {"arguments": "", "python": "", "distribution": "its own disk", "packages": {}, "built": ""}
"""What an archive says of the image of a machine that boots from a disk."""


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
    must_be_up(machine)
    with machine.acting, contextlib.ExitStack() as stack:
        key = machine.key()
        saved = _state(machine) if machine.state != "off" else None
        if saved is not None:
            stack.callback(saved.close)
        if machine.disk is not None:
            told: Mapping[str, Any] = DISK
            changes = (
                machine.disk.changes if saved is None or saved.changes is None else saved.changes.fileno()
            )
            # nobody starts it meanwhile: its lock is held
            parts = [_part(cache.DISK, stack.enter_context(merged(machine.disk.base, changes)))]
        else:
            told = cache.described(machine.image().folder)
            parts = _booted(machine, told, stack)
        if saved is not None:
            parts.append(_part(exported.STATE, saved.file))
        manifest = exported.manifest(machine.host.name, key, told, parts)
        size = exported.archive_size(manifest, parts)
        paused = saved.paused if saved is not None else 0.0
        return Export(_pieces(manifest, parts, stack.pop_all()), size, saved is not None, paused)


def _state(machine: Machine) -> Saved:
    """Its state. Raises HostError, with what helps an export, if its volumes are in the way."""
    try:
        return taken(machine)
    except HostError as error:
        if not machine.volumes.names:
            raise
        name = machine.host.name
        remedy = f"export it when it is off, without them: sdnlab vm stop {name}; {error.remedy}"
        raise HostError(error.what, remedy) from None


def _booted(machine: Machine, told: Mapping[str, Any], stack: contextlib.ExitStack) -> list[Part]:
    """What it boots. ``told``: what the cache says of its image. Raises HostError."""
    folder, parts = machine.image().folder, []
    try:
        for name in cache.FILES:
            file = stack.enter_context((folder / name).open("rb"))
            size = os.fstat(file.fileno()).st_size
            parts.append(Part(name, file, size, told["files"][name]["sha256"]))
    except (OSError, KeyError) as error:
        raise HostError(f"the image of {machine.host.name} is gone: {error}") from None
    return parts


def _part(name: str, file: IO[bytes]) -> Part:
    return Part(name, file, size_of(file), exported.digest_of(file))


def _pieces(manifest: bytes, parts: list[Part], files: contextlib.ExitStack) -> Iterator[bytes]:
    with files:
        yield from exported.archive(manifest, parts)
