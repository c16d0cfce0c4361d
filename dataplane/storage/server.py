"""The server of a storage host: a process that is kept running, and the copies that it serves."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from dataplane.sandbox.namespaces import run_in, write_settings
from dataplane.storage import plan
from dataplane.storage.error import StorageError
from dataplane.storage.files import CopyFile
from dataplane.storage.process import Process

BACKOFF = (0.0, 0.5, 1.0, 2.0)
"""Seconds before the n-th restart in a row."""
STEADY = 10.0
"""After so many seconds of running, it is restarted without delay."""
GONE = 10.0
"""Seconds to wait until an export is gone."""


class Server:
    """``netns``: returns a descriptor of the host's network namespace. ``files``: volume -> its copy here.

    ``ended`` is called when the process has ended by itself, before it is started again; then copies that
    were not withdrawn are served again. ``returned`` is called after that.
    """

    def __init__(
        self,
        host: str,
        address: str,
        netns: Callable[[], int],
        control: Path,
        files: dict[str, CopyFile],
        ended: Callable[[str], None],
        returned: Callable[[str], None],
    ) -> None:
        self.host, self.address = host, address
        self._netns, self._control, self._files = netns, control, files
        self._tell_ended, self._tell_returned = ended, returned
        self._lock = threading.RLock()
        self._served: dict[str, int] = {}
        self._handed: dict[str, str] = {}
        self._process: Process | None = None
        self._closing = False
        self._failures = 0
        self._began = 0.0

    @property
    def pid(self) -> int:
        """The process; 0 while there is none."""
        process = self._process
        return process.process.pid if process is not None and process.runs else 0

    def start(self) -> None:
        """Start the process. Raises StorageError."""
        with self._lock:
            self._began = time.monotonic()
            run_in(self._netns(), lambda: write_settings(plan.SETTINGS))
            self._process = Process(
                self._netns(),
                plan.server(self._control, self.address),
                self._control,
                lambda event, data: None,
                self._ended,
                [file.fd for file in self._files.values()],
            )
            self._handed.clear()
            for volume, epoch in list(self._served.items()):
                self._add(volume, epoch)

    def serve(self, volume: str, epoch: int) -> None:
        """Serve a copy under the name of this epoch. Raises StorageError."""
        with self._lock:
            self._add(volume, epoch)
            self._served[volume] = epoch

    def take(self, volume: str, file: CopyFile) -> None:
        """Know the file of one more copy."""
        with self._lock:
            if self._files.get(volume) is file:
                return
            self._files[volume] = file
            if self._process is not None and self._process.runs:
                # QEMU's storage daemon takes no descriptors while it runs: it opens that of this process
                self._handed[volume] = f"/proc/{os.getpid()}/fd/{file.fd}"

    def leave(self, volume: str) -> None:
        """Know the file of a copy, which is not served, no more."""
        with self._lock:
            self._files.pop(volume, None)
            self._handed.pop(volume, None)

    def forget(self, volume: str) -> None:
        """Don't serve a copy again if the process starts again. It does not wait."""
        self._served.pop(volume, None)

    def withdraw(self, volume: str, epoch: int) -> None:
        """Serve a copy no more; its connections end."""
        self.forget(volume)
        with self._lock:
            if self._process is None:
                return
            node = plan.export_name(volume, epoch)
            with contextlib.suppress(StorageError):
                self._process.do("block-export-del", {"id": _node(node), "mode": "hard"})
                remove_export(self._process, _node(node))
                self._process.do("blockdev-del", {"node-name": _node(node)})

    def close(self) -> None:
        """End the process."""
        self._closing = True
        with self._lock:
            if self._process is not None:
                self._process.stop()

    def _add(self, volume: str, epoch: int) -> None:
        if self._process is None or not self._process.runs:
            raise StorageError(f"the server of {self.host} does not run")
        name = plan.export_name(volume, epoch)
        path = self._handed.get(volume, self._files[volume].path)
        self._process.do("blockdev-add", plan.served_file(_node(name), path))
        self._process.do("block-export-add", plan.nbd_export(_node(name), name))

    def _ended(self) -> None:
        """Runs in the thread that has seen the end."""
        if self._closing:
            return
        self._tell_ended(self.host)
        while not self._closing:
            self._failures = 0 if time.monotonic() - self._began > STEADY else self._failures + 1
            time.sleep(BACKOFF[min(self._failures, len(BACKOFF) - 1)])
            try:
                self.start()
            except (StorageError, KeyError, OSError):
                continue
            self._tell_returned(self.host)
            return


def _node(name: str) -> str:
    """An export's name as the name of a node: the last 31 bytes, which differ between epochs."""
    return f"n{name[-30:]}"


def remove_export(process: Process, name: str) -> None:
    """Wait until an export that was told to go is gone. Raises StorageError."""
    deadline = time.monotonic() + GONE
    while any(export["id"] == name for export in process.do("query-block-exports")):
        if time.monotonic() > deadline:
            raise StorageError(f"the export {name} does not end")
        time.sleep(0.02)
