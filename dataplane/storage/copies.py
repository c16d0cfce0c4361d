"""The assembler of a volume: the process that writes to all copies, loses some, and rebuilds them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from dataplane.sandbox.namespaces import run_in
from dataplane.storage import plan
from dataplane.storage.error import StorageError
from dataplane.storage.files import CopyFile
from dataplane.storage.process import Process
from dataplane.storage.records import choose
from dataplane.storage.server import Server
from topologies.model.storage import PORT, Volume

CopyState = Literal["current", "lost", "rebuilding"]
LOOK = 1.0
"""Seconds between two looks whether a lost copy can be rebuilt."""
REACHED = 1.0
"""Seconds for a storage host to accept a connection."""

Tell = Callable[[str, Mapping[str, Any]], None]
"""Takes a text about what happened, and its data."""


class Copies:
    """The copies of a volume. A thread of its own decides about them, so nothing is decided twice."""

    def __init__(
        self,
        volume: Volume,
        servers: Mapping[str, Server],
        files: Mapping[str, CopyFile],
        netns: Callable[[], int],
        folder: plan.Folder,
        tell: Tell,
    ) -> None:
        self.volume = volume
        self._servers, self._files, self._netns, self._folder = servers, files, netns, folder
        self._tell = tell
        self._epochs = dict.fromkeys(volume.copies, 1)
        self.states: dict[str, CopyState] = dict.fromkeys(volume.copies, "current")
        self.progress = 0.0
        """The part of a copy that is rebuilt, 0 to 1."""
        self._generation = 1
        self._process: Process | None = None
        self._bad: set[str] = set()
        self._broken = False
        self._closing = False
        self._chosen = False
        self._wake = threading.Condition()
        self._worker = threading.Thread(target=self._work, name=f"copies {volume.name}", daemon=True)

    def start(self) -> bool:
        """Assemble the copies; whether there is no data yet. Raises StorageError."""
        choice = choose({host: self._files[host].record() for host in self.volume.copies})
        if choice.fresh:
            self._refuse_to_empty()
        length = max([self.volume.limit, *(self._files[host].length for host in choice.current)])
        try:
            for host in choice.current:
                if choice.fresh:
                    self._files[host].empty(length)
                self._files[host].stretch(length)
        except OSError as error:
            raise StorageError(f"volume {self.volume.name}: {error.strerror}") from None
        self._generation, self._chosen = choice.generation, True
        self.states = {host: "current" if host in choice.current else "lost" for host in self.volume.copies}
        for host in choice.current:
            self._servers[host].serve(self.volume.name, self._epochs[host])
        self._assemble()
        self._note(True)
        return choice.fresh

    def watch(self) -> None:
        """Begin to rebuild copies that are lost, now and later."""
        self._worker.start()

    def close(self, clean: bool) -> None:
        """End the assembler. ``clean``: nobody uses the volume any more, and all is written."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._process is not None:
            self._process.stop()
        if clean and self._chosen:
            self._note(False)

    def withdraw(self) -> None:
        """Nobody serves the copies any more."""
        for host, epoch in self._epochs.items():
            self._servers[host].withdraw(self.volume.name, epoch)

    def suspect(self, host: str) -> None:
        """The server of a storage host has ended, or did not answer: if another copy has all, this one is
        lost from now on, before anything can read it again."""
        with self._wake:
            if self.states[host] != "current":
                return
            if len(self.current) > 1:
                self.states[host] = "lost"
                self._servers[host].forget(self.volume.name)
            self._bad.add(host)
            self._wake.notify()

    @property
    def current(self) -> list[str]:
        """The storage hosts whose copies have all data."""
        return [host for host, state in self.states.items() if state == "current"]

    def _note(self, used: bool) -> None:
        for host in self.current:
            with contextlib.suppress(OSError):
                self._files[host].note(self._generation, used)

    def _do(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        if self._process is None:
            raise StorageError("the assembler does not run")
        return self._process.do(command, arguments)

    def _node(self, host: str) -> str:
        return plan.copy_node(host, self._epochs[host])

    def _remote(self, host: str) -> plan.Node:
        return plan.remote_copy(self.volume, host, self._servers[host].address, self._epochs[host])

    def _assemble(self) -> None:
        """Start the assembler with the current copies."""
        control, hear, ended = self._folder.path / "assembler.qmp", self._hear, self._ended
        self._process = Process(
            self._netns(), plan.local(control, self._folder.assembled), control, hear, ended
        )
        hosts = self.current
        for host in hosts:
            self._do("blockdev-add", self._remote(host))
        self._do("blockdev-add", plan.assembled([self._node(host) for host in hosts]))
        self._do("block-export-add", plan.nbd_export(plan.QUORUM, plan.RAW) | {"id": plan.RAW})

    def _refuse_to_empty(self) -> None:
        """Raise StorageError if a copy without a record has data: it could be the only one."""
        files = [self._files[host] for host in self.volume.copies]
        holding = [file.named for file in files if file.named and file.has_data()]
        if holding:
            raise StorageError(
                f"{', '.join(holding)} hold data, but the records beside them (.json) are missing or damaged",
                "bring the records back, or move these files away to begin with an empty volume",
            )

    # What happens by itself

    def _hear(self, event: str, data: Mapping[str, Any]) -> None:
        if event == "QUORUM_REPORT_BAD" and data.get("error"):
            node = data.get("node-name")
            for host in self.volume.copies:
                if self._node(host) == node:
                    self.suspect(host)

    def _ended(self) -> None:
        with self._wake:
            self._broken = not self._closing
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                lost = [host for host, state in self.states.items() if state != "current"]
                if not (self._bad or self._broken or self._closing):
                    self._wake.wait(LOOK if lost else None)
                if self._closing:
                    return
                bad, self._bad = self._bad, set()
                broken, self._broken = self._broken, False
            try:
                if broken:
                    self._repair()
                for host in bad:
                    self._lose(host)
                for host in [host for host, state in self.states.items() if state == "lost"]:
                    if host not in self._bad:
                        self._regain(host)
            except (StorageError, OSError, KeyError) as error:
                if not self._closing:
                    self._say(f"the copies of volume {self.volume.name} are in trouble: {error}")
                    time.sleep(LOOK)

    def _say(self, text: str, **data: Any) -> None:
        self._tell(text, {"volume": self.volume.name, **data})

    def _repair(self) -> None:
        """The assembler has ended: start it again. Who reads and writes waits meanwhile."""
        for host, state in self.states.items():
            if state == "rebuilding":
                self._servers[host].withdraw(self.volume.name, self._epochs[host])
                self.states[host] = "lost"
        self._assemble()
        self._say(f"volume {self.volume.name} is assembled again: its assembler had ended")

    def _lose(self, host: str) -> None:
        """Use a copy that has missed something no more, until it is rebuilt."""
        if self.states[host] == "current":
            self._say(f"volume {self.volume.name} waits for {host}, which has its only copy", host=host)
            return
        node, others = self._node(host), self.current
        self._generation += 1
        self._note(True)
        self._servers[host].withdraw(self.volume.name, self._epochs[host])
        child = plan.child_of(self._do("x-debug-query-block-graph"), node)
        if child is not None:
            self._do("x-blockdev-change", {"parent": plan.QUORUM, "child": child})
        with contextlib.suppress(StorageError):
            self._do("blockdev-del", {"node-name": node})
        self._say(
            f"volume {self.volume.name} has lost its copy at {host}; that at {', '.join(others)} has all",
            host=host,
            state="lost",
        )

    def _regain(self, host: str) -> None:
        """Rebuild a lost copy if its storage host can be reached."""
        server = self._servers[host]
        if not server.pid or not self.current or not self._reaches(server.address):
            return
        began = time.monotonic()
        self.states[host], self.progress = "rebuilding", 0.0
        try:
            self._files[host].empty(self._files[self.current[0]].length)
            self._epochs[host] += 1
            server.serve(self.volume.name, self._epochs[host])
            self._do("blockdev-add", self._remote(host))
            self._mirror(self._node(host))
        except (StorageError, OSError) as error:
            self.states[host] = "lost"
            self._clear(self._node(host))
            server.withdraw(self.volume.name, self._epochs[host])
            if not self._closing:
                self._say(
                    f"volume {self.volume.name}: its copy at {host} can't be rebuilt: {error}", host=host
                )
                time.sleep(LOOK)
            return
        self.states[host] = "current"
        self._note(True)
        seconds = time.monotonic() - began
        text = f"volume {self.volume.name} has its copy at {host} again, rebuilt in {seconds:.1f} s"
        self._say(text, host=host, state="current")

    def _mirror(self, node: str) -> None:
        self._do("blockdev-add", plan.hole(self._files[self.current[0]].length))
        self._do("x-blockdev-change", {"parent": plan.QUORUM, "node": plan.HOLE})
        self._do("blockdev-mirror", plan.rebuild(node))
        completing = False
        while True:
            job = next(iter(self._do("query-jobs")), None)
            if job is None or job["status"] == "concluded":
                break
            self.progress = job["current-progress"] / max(job["total-progress"], 1)
            if job["status"] == "ready" and not completing:
                completing = True
                self._do("job-complete", {"id": plan.REBUILD})
            time.sleep(0.05)
        if job is not None:
            self._do("job-dismiss", {"id": plan.REBUILD})
            if job.get("error"):
                raise StorageError(str(job["error"]))
        self._do("blockdev-del", {"node-name": plan.HOLE})

    def _clear(self, node: str) -> None:
        """Remove what a rebuild that failed has left."""
        with contextlib.suppress(StorageError):
            for job in self._do("query-jobs"):
                if job["status"] == "concluded":
                    self._do("job-dismiss", {"id": job["id"]})
        with contextlib.suppress(StorageError):
            child = plan.child_of(self._do("x-debug-query-block-graph"), plan.HOLE)
            if child is not None:
                self._do("x-blockdev-change", {"parent": plan.QUORUM, "child": child})
        for name in (plan.HOLE, node):
            with contextlib.suppress(StorageError):
                self._do("blockdev-del", {"node-name": name})

    def _reaches(self, address: str) -> bool:
        def connect() -> bool:
            with contextlib.suppress(OSError), socket.create_connection((address, PORT), REACHED):
                return True
            return False

        return run_in(self._netns(), connect)
