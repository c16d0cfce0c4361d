"""The head of a volume: the disk that its host uses. It grows, has snapshots, and is mounted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as Late
from typing import Any, NamedTuple

from dataplane.hosts.driver import Place
from dataplane.sandbox.namespaces import start_thread
from dataplane.storage import plan
from dataplane.storage.copies import Tell
from dataplane.storage.error import StorageError
from dataplane.storage.process import Process, run_tool
from dataplane.storage.server import remove_export
from dataplane.storage.uses import use
from topologies.model.storage import Volume

CLOSED = 8.0
"""Seconds in which a host must give up a volume at the end of the lab."""


class Snapshot(NamedTuple):
    """A snapshot: its name, and when it was saved, in seconds since 1970."""

    name: str
    saved: float


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
        self._netns, self._folder, self._tell = netns, folder, tell
        self._use = use(volume, place, folder, self._mounts)
        self._lock = threading.RLock()
        self._process: Process | None = None
        self._closing = False

    @property
    def mounted(self) -> str:
        """How its host has it: mounted by ``loop`` or ``fuse2fs``, or plugged in as ``virtio``; empty: not at
        all."""
        return self._use.how

    def start(self, fresh: bool) -> str:
        """Begin. ``fresh``: there is no data yet. Returns a text if its host has it and does not use it yet.
        Raises StorageError."""
        with self._lock:
            if fresh:
                run_tool(plan.create(self.volume.size, self._folder))
            self._begin()
            larger = not fresh and self.size < self.volume.size
            if larger:
                self._process_do("block_resize", {"node-name": plan.HEAD, "size": self.volume.size})
            self._export()
            return self._begin_use(larger)

    def _begin_use(self, resized: bool = False) -> str:
        text = self._use.begin(resized)
        if text:
            self._tell(text, {"volume": self.volume.name})
        return text

    @property
    def size(self) -> int:
        """Its size in bytes, which the file may not say: it has grown."""
        return int(self._image()["virtual-size"])

    def used(self) -> int | None:
        """The bytes that its file system uses; None if it is not known."""
        return self._use.used()

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
            self._use.write_out()
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
            self._use.end()
            try:
                self._close_nodes()
                run_tool(plan.restore(name, self._folder))
            finally:
                self._open_nodes()
                self._export()
            self._begin_use()

    def grow(self, size: int) -> None:
        """Make it larger. The host must not use it in that moment. Raises StorageError."""
        with self._lock:
            self._use.end()
            try:
                self._process_do("block-export-del", {"id": plan.HEAD, "mode": "hard"})
                self._gone()
                self._process_do("block_resize", {"node-name": plan.HEAD, "size": size})
            finally:
                self._export()
            self._begin_use(resized=True)

    def release(self) -> None:
        """Let the host use it no more. Raises StorageError if the host uses it; then it stays."""
        with self._lock:
            self._use.end()

    def resume(self) -> None:
        """Let the host use it again. Raises StorageError."""
        with self._lock:
            self._begin_use()

    def close(self) -> bool:
        """End. Returns whether all that the host has written is there, and nobody uses it."""
        clean = True
        with self._lock:
            self._closing = True
            try:
                start_thread(self._use.end).result(CLOSED)
            except Late:
                clean = False  # a guest that does not answer
            except StorageError:
                clean = False
                with contextlib.suppress(StorageError, Late):
                    start_thread(self._use.write_out).result(CLOSED)
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
        self._use.ready()
        self._process_do("block-export-add", plan.head_export(self.volume, self._folder))

    def _image(self) -> dict[str, Any]:
        nodes = self._process_do("query-named-block-nodes")
        return next(dict(node["image"]) for node in nodes if node["node-name"] == plan.HEAD)

    def _known(self, name: str) -> None:
        names = [known.name for known in self.snapshots()]
        if name not in names:
            remedy = f"there are: {', '.join(names)}" if names else "see: sdnlab volume snapshot save"
            raise StorageError(f"{self.volume.name} has no snapshot {name}", remedy)

    def _mounts(self) -> int:
        """The mount namespace of its process. Raises StorageError."""
        if self._process is None:
            raise StorageError(f"the disk of {self.volume.name} is not there")
        return self._process.mounts

    def _ended(self) -> None:
        """The head has ended by itself: start it again. What was not written out is lost."""
        with self._lock:
            if self._closing:
                return
            try:
                self._use.drop()
                self._begin()
                self._export()
                self._begin_use()
            except (StorageError, KeyError, OSError) as error:
                text = f"volume {self.volume.name} is gone from {self.volume.host}: {error}"
                self._tell(text, {"volume": self.volume.name, "state": "gone"})
                return
        self._tell(
            f"volume {self.volume.name} was interrupted: its disk's process had ended, and runs again",
            {"volume": self.volume.name},
        )
