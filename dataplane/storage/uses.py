"""How a host uses a volume's disk: as a mounted directory, or as a machine's block device."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from dataplane.hosts.driver import BlockDevice, HasDevices, HostError, Place, packed
from dataplane.hosts.drivers import driver
from dataplane.storage import file_system, mounting, plan
from dataplane.storage.error import StorageError
from dataplane.storage.files import PLACES
from dataplane.storage.mounting import MountError, Task
from dataplane.storage.process import run_tool
from topologies.model.storage import Volume


class Use(Protocol):
    """The use of a volume by its host. The disk's process runs, and serves the disk.

    ``how``: how the host has it; empty: it has not.
    """

    how: str

    def ready(self) -> None:
        """Make what the process needs before it serves the disk."""

    def begin(self, resized: bool = False) -> str:
        """Let the host use the disk. ``resized``: it is larger than before. Returns a text if the host has it
        and does not use it yet. Raises StorageError."""

    def end(self) -> None:
        """Let the host use it no more. Raises StorageError if the host does."""

    def drop(self) -> None:
        """The disk's process has ended: take from the host what it has of the disk."""

    def write_out(self) -> None:
        """Let the host write out what it has for the disk. Raises StorageError."""

    def used(self) -> int | None:
        """The bytes that its file system uses; None: it is not known."""


def use(volume: Volume, place: Callable[[], Place], folder: plan.Folder, mounts: Callable[[], int]) -> Use:
    """The use that fits the volume's host. ``mounts``: a descriptor of the disk's mount namespace."""
    if volume.device:
        return Device(volume, place, folder)
    return Directory(volume, place, folder, mounts)


class Directory:
    """A file system that the lab mounts in the host."""

    def __init__(
        self, volume: Volume, place: Callable[[], Place], folder: plan.Folder, mounts: Callable[[], int]
    ) -> None:
        self.how = ""
        self._volume, self._place, self._folder, self._mounts = volume, place, folder, mounts

    def ready(self) -> None:
        """Make the file that becomes the disk."""
        self._folder.file.touch()

    def begin(self, resized: bool = False) -> str:
        """Mount it; it is formatted if it has no file system. Raises StorageError."""
        if resized:
            self._do("resize")
        self.how = str(self._do("mount")["how"])
        return ""

    def end(self) -> None:
        """Unmount it. Raises StorageError."""
        if self.how:
            self._do("unmount")
            self.how = ""

    def drop(self) -> None:
        """Take away the mount whose disk is gone."""
        if self.how:
            self.how = ""
            place = self._place()
            task = Task(0, "", "", place.name, packed(place), self._volume.path)
            with contextlib.suppress(MountError):
                mounting.run("drop", task)

    def write_out(self) -> None:
        """Write the file system out. Raises StorageError."""
        if self.how:
            self._do("sync")

    def used(self) -> int | None:
        """The bytes that the file system uses."""
        if not self.how:
            return None
        with contextlib.suppress(OSError, StorageError):
            return mounting.used(self._mounts(), self._folder.mounted)
        return None

    def _do(self, what: str) -> dict[str, Any]:
        place, of = self._place(), self._folder
        task = Task(
            self._mounts(), str(of.file), str(of.mounted), place.name, packed(place), self._volume.path
        )
        try:
            return mounting.run(what, task)
        except MountError as error:
            raise StorageError(error.what, error.remedy) from None


class Device:
    """A block device of a virtual machine, whose guest mounts it."""

    def __init__(self, volume: Volume, place: Callable[[], Place], folder: plan.Folder) -> None:
        self.how = ""
        self._volume, self._place, self._folder = volume, place, folder

    def ready(self) -> None:
        """Nothing: the process serves it at a socket."""

    def begin(self, resized: bool = False) -> str:
        """Plug it in; it is formatted before if it shall be mounted and is empty. Raises StorageError.

        The guest makes the file system as large as the disk.
        """
        if self._volume.path:
            self._format()
        device = BlockDevice(self._volume.name, str(self._folder.disk), self._volume.path)
        with self._machines() as (machines, place):
            text = machines.attach(place, device)
            self.how = "virtio"
            return text

    def end(self) -> None:
        """Unplug it. Raises StorageError."""
        if self.how:
            with self._machines() as (machines, place):
                machines.detach(place, self._volume.name)
            self.how = ""

    def drop(self) -> None:
        """Unplug it whatever the guest does: it must not go on with a disk that has forgotten something.

        Raises StorageError if it can't be unplugged.
        """
        if self.how:
            with self._machines() as (machines, place):
                machines.detach(place, self._volume.name, lost=True)
            self.how = ""

    def write_out(self) -> None:
        """Let the guest write out what it has. Raises StorageError."""
        if self.how:
            with self._machines() as (machines, place):
                machines.write_out(place, self._volume.name)

    def used(self) -> int | None:
        """The bytes that the file system uses, as the guest says."""
        with contextlib.suppress(StorageError), self._machines() as (machines, place):
            return machines.device_used(place, self._volume.name)
        return None

    @contextmanager
    def _machines(self) -> Iterator[tuple[HasDevices, Place]]:
        place = self._place()
        machines = driver(place.kind)
        if not isinstance(machines, HasDevices):
            raise StorageError(f"hosts of kind {place.kind} have no block devices")
        try:
            yield machines, place
        except HostError as error:
            raise StorageError(error.what, error.remedy) from None

    def _format(self) -> None:
        """Put a file system on an empty disk. Raises StorageError."""
        with _temporary() as file:
            run_tool(plan.beginning(self._volume, self._folder, file))
            content = file_system.what_is_there(Path(file).read_bytes())
        if content == file_system.OTHER:
            raise StorageError(
                f"{self._volume.name} has something else on it than a file system of the lab",
                f"use it without a directory: volumes: {{{self._volume.name}: null}}",
            )
        if content == file_system.NOTHING:
            with _temporary() as file:
                for words in plan.formatted(self._volume, self._folder, file):
                    run_tool(words)


@contextmanager
def _temporary() -> Iterator[str]:
    """The path of a file on a disk, which is removed afterwards. Raises StorageError."""
    for place in PLACES:
        try:
            file = tempfile.NamedTemporaryFile(dir=place, prefix="sdnlab-")  # noqa: SIM115
        except OSError:
            continue
        with file:
            yield file.name
        return
    raise StorageError("no directory takes temporary files: " + ", ".join(PLACES))
