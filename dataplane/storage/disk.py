"""The head of a volume: the disk that its host uses. It grows, has snapshots, and is mounted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dataplane.hosts.driver import Place, packed
from dataplane.sandbox.namespaces import run_in, start_thread
from dataplane.storage import mounting, plan
from dataplane.storage.copies import Tell
from dataplane.storage.error import StorageError
from dataplane.storage.mounting import MountError, Task
from dataplane.storage.process import ENVIRONMENT, Process
from dataplane.storage.server import remove_export
from linux import syscalls
from topologies.model.storage import Volume

CONNECTED = "03"
"""The state of a connected Unix socket in /proc/net/unix (kernel, SS_CONNECTED)."""


class Snapshot(NamedTuple):
    """A snapshot: its name, and when it was saved, in seconds since 1970."""

    name: str
    saved: float


def used(mounts: int, path: Path) -> int:
    """The bytes that the file system at ``path`` of a mount namespace (a descriptor) uses. Raises OSError."""

    def look() -> int:
        syscalls.unshare(syscalls.CLONE_FS)  # else a thread can't enter it
        syscalls.setns(mounts, syscalls.CLONE_NEWNS)
        status = os.statvfs(path)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    return start_thread(look).result()


class Disk:
    """``netns``: returns a descriptor of the adapter's network namespace. ``place``: that of the host."""

    def __init__(
        self,
        volume: Volume,
        netns: Callable[[], int],
        place: Callable[[], Place],
        folder: plan.Folder,
        tell: Tell,
    ) -> None:
        self.volume = volume
        self._netns, self._place, self._folder, self._tell = netns, place, folder, tell
        self._lock = threading.RLock()
        self._process: Process | None = None
        self._closing = False
        self.mounted = ""
        """How it is mounted in its host: ``loop`` or ``fuse2fs``; empty: it is not."""

    def start(self, fresh: bool) -> None:
        """Begin. ``fresh``: there is no data yet. Raises StorageError."""
        with self._lock:
            if fresh:
                self._tool(plan.create(self.volume.size, self._folder))
            self._begin()
            if not fresh and self.size < self.volume.size:
                self._process_do("block_resize", {"node-name": plan.HEAD, "size": self.volume.size})
                self._export()
                if self.volume.path and not fresh:
                    self._mount_tool("resize")
            else:
                self._export()
            self._mount()

    @property
    def size(self) -> int:
        """Its size in bytes, which the file may not say: it has grown."""
        return int(self._image()["virtual-size"])

    def used(self) -> int | None:
        """The bytes that its file system uses; None if it is not mounted."""
        if not self.mounted or self._process is None:
            return None
        with contextlib.suppress(OSError):
            return used(self._process.mounts, self._folder.mounted)
        return None

    def snapshots(self) -> list[Snapshot]:
        """Its snapshots, the oldest first. Raises StorageError."""
        return [
            Snapshot(entry["name"], entry["date-sec"] + entry["date-nsec"] / 1e9)
            for entry in self._image().get("snapshots", [])
        ]

    def save(self, name: str) -> None:
        """Save a snapshot, while the host goes on; a file system is written out before. Raises
        StorageError."""
        with self._lock:
            if any(known.name == name for known in self.snapshots()):
                raise StorageError(f"{self.volume.name} has a snapshot {name} already", "choose another name")
            if self.mounted:
                self._mount_tool("sync")
            self._process_do("blockdev-snapshot-internal-sync", {"device": plan.HEAD, "name": name})

    def delete(self, name: str) -> None:
        """Delete a snapshot. Raises StorageError."""
        with self._lock:
            self._known(name)
            self._process_do("blockdev-snapshot-delete-internal-sync", {"device": plan.HEAD, "name": name})

    def restore(self, name: str) -> None:
        """Make the disk what it was at a snapshot. The host must not use it in that moment. Raises
        StorageError."""
        with self._lock:
            self._known(name)
            self._unused()
            try:
                self._close_nodes()
                self._tool(plan.restore(name, self._folder))
            finally:
                self._open_nodes()
                self._export()
            self._mount()

    def grow(self, size: int) -> None:
        """Make it larger. The host must not use it in that moment. Raises StorageError."""
        with self._lock:
            self._unused()
            try:
                self._process_do("block-export-del", {"id": plan.HEAD, "mode": "hard"})
                self._gone()
                self._process_do("block_resize", {"node-name": plan.HEAD, "size": size})
            finally:
                self._export()
            if self.volume.path:
                self._mount_tool("resize")
            self._mount()

    def close(self) -> bool:
        """End. Returns whether all that the host has written is there, and nobody uses it."""
        clean = True
        with self._lock:
            self._closing = True
            try:
                self._unused()
            except StorageError:
                clean = False
                with contextlib.suppress(StorageError):
                    self._mount_tool("sync")
            if self._process is not None:
                self._process.stop()
        return clean

    # Nodes of the head

    def _begin(self) -> None:
        """Start the process, with the disk open."""
        control = self._folder.path / "head.qmp"
        argv = plan.local(control, self._folder.disk)
        self._process = Process(self._netns(), argv, control, lambda event, data: None, self._ended)
        self._open_nodes()

    def _process_do(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        if self._process is None:
            raise StorageError(f"the disk of {self.volume.name} is not there")
        return self._process.do(command, arguments)

    def _open_nodes(self) -> None:
        self._process_do("blockdev-add", plan.raw(self._folder))
        self._process_do("blockdev-add", plan.head())

    def _close_nodes(self) -> None:
        self._process_do("block-export-del", {"id": plan.HEAD, "mode": "hard"})
        self._gone()
        self._process_do("blockdev-del", {"node-name": plan.HEAD})
        self._process_do("blockdev-del", {"node-name": plan.RAW})

    def _gone(self) -> None:
        if self._process is not None:
            remove_export(self._process, plan.HEAD)

    def _export(self) -> None:
        if self.volume.path:
            self._folder.file.touch()
        self._process_do("block-export-add", plan.head_export(self.volume, self._folder))

    def _image(self) -> dict[str, Any]:
        nodes = self._process_do("query-named-block-nodes")
        return next(dict(node["image"]) for node in nodes if node["node-name"] == plan.HEAD)

    def _known(self, name: str) -> None:
        names = [known.name for known in self.snapshots()]
        if name not in names:
            remedy = f"there are: {', '.join(names)}" if names else "see: sdnlab volume snapshot save"
            raise StorageError(f"{self.volume.name} has no snapshot {name}", remedy)

    def _tool(self, words: Sequence[str]) -> None:
        done = subprocess.run(list(words), env=ENVIRONMENT, capture_output=True, check=False, cwd="/")
        if done.returncode:
            text = done.stderr.decode(errors="replace").strip().splitlines()
            raise StorageError(f"{words[0]}: {text[-1] if text else f'exit code {done.returncode}'}")

    # The host

    def _task(self) -> Task:
        if self._process is None:
            raise StorageError(f"the disk of {self.volume.name} is not there")
        place, of = self._place(), self._folder
        return Task(
            self._process.mounts,
            str(of.file),
            str(of.mounted),
            place.name,
            packed(place),
            self.volume.path,
        )

    def _mount_tool(self, do: str) -> dict[str, Any]:
        try:
            return mounting.run(do, self._task())
        except MountError as error:
            raise StorageError(error.what, error.remedy) from None

    def _mount(self) -> None:
        if self.volume.path:
            self.mounted = str(self._mount_tool("mount")["how"])

    def _unused(self) -> None:
        """Let the host use the disk no more: unmount it. Raises StorageError if the host uses it."""
        if self.mounted:
            self._mount_tool("unmount")
            self.mounted = ""
        elif not self.volume.path and self._connected():
            raise StorageError(
                f"{self.volume.host} uses {self.volume.name}: a virtual machine has it open",
                f"stop {self.volume.host} before",
            )

    def _connected(self) -> bool:
        table = run_in(self._netns(), lambda: Path("/proc/thread-self/net/unix").read_text())
        rows = (line.split() for line in table.splitlines())
        return any(len(row) == 8 and row[7] == str(self._folder.disk) and row[5] == CONNECTED for row in rows)

    def _ended(self) -> None:
        """The head has ended by itself: start it again. What was not written out is lost."""
        with self._lock:
            if self._closing:
                return
            try:
                self._drop()
                self._begin()
                self._export()
                self._mount()
            except (StorageError, KeyError, OSError) as error:
                text = f"volume {self.volume.name} is gone from {self.volume.host}: {error}"
                self._tell(text, {"volume": self.volume.name, "state": "gone"})
                return
        self._tell(
            f"volume {self.volume.name} was interrupted: its disk's process had ended, and runs again",
            {"volume": self.volume.name},
        )

    def _drop(self) -> None:
        if self.mounted:
            self.mounted = ""
            place = self._place()
            task = Task(0, "", "", place.name, packed(place), self.volume.path)
            with contextlib.suppress(MountError):
                mounting.run("drop", task)
