"""The storage of a running lab: its servers and volumes, and what users do with them."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dataplane import facts
from dataplane.hosts.driver import Lack, Place
from dataplane.plan.volumes import VolumeChange
from dataplane.sandbox.namespaces import in_threads
from dataplane.storage import plan
from dataplane.storage.answers import SnapshotInfo, VolumeInfo
from dataplane.storage.copies import Copies, Tell
from dataplane.storage.disk import Disk
from dataplane.storage.error import StorageError
from dataplane.storage.files import CopyFile
from dataplane.storage.live_volume import LiveVolume
from dataplane.storage.server import Server
from topologies.model.storage import BLOCK, Storage, Volume, needed
from topologies.model.topology import Topology

FUSE = Path("/dev/fuse")
ASKED = 20.0
"""Seconds for which hosts are asked what their file systems use."""


def lacks(storage: Storage) -> list[Lack]:
    """What this machine lacks for the storage. It is called in the sandbox, before the lab is built."""
    if not storage.used:
        return []
    lacking = [
        Lack(f"{program} is not installed", "volumes", facts.install(package)("", facts.System()))
        for program, package in plan.PROGRAMS.items()
        if shutil.which(program, path=plan.SEARCH) is None
    ]
    mounted = [volume.name for volume in storage.used if not volume.device]
    if mounted:
        try:
            with FUSE.open("r+b", buffering=0):
                pass
        except OSError as error:
            lacking.append(
                Lack(
                    f"{FUSE} can't be used ({error.strerror})",
                    f"mounting {', '.join(mounted[:4])}; a virtual machine needs none",
                    f"allow it, as other distributions do: sudo chmod 666 {FUSE}",
                )
            )
    return lacking


class LiveStorage:
    """``space``: the descriptor of a host's network namespace. ``place``: a host's place. ``kept``: the
    folder of the topology file, in which ``keep:`` begins. ``tell`` gets what happens by itself."""

    def __init__(
        self,
        topology: Topology,
        space: Callable[[str], int],
        place: Callable[[str], Place],
        run_dir: Path,
        kept: Path,
        tell: Tell,
    ) -> None:
        self._space, self._place = space, place
        self._run_dir, self._kept, self._tell = run_dir, kept, tell
        self._servers: dict[str, Server] = {}
        self._begun = 0
        self._files: dict[str, dict[str, CopyFile]] = {}
        self._volumes: dict[str, LiveVolume] = {}
        self._know(topology)

    def _know(self, topology: Topology) -> None:
        self._storage = topology.storage
        addresses = [(host.name, host.ipv4 or host.ipv6) for host in topology.hosts]
        self._addresses = {name: str(address.ip) for name, address in addresses if address is not None}

    def start(self) -> list[str]:
        """Start all servers and volumes, after the switches forward. Returns texts about those that don't
        work."""
        return self._begin(self._storage.used)

    def close(self) -> None:
        """Write everything out, and end all processes."""
        in_threads([live.close for live in self._volumes.values()])
        for server in self._servers.values():
            server.close()

    # Changes of the lab

    def lacks(self, storage: Storage) -> list[Lack]:
        """What this machine lacks for a changed storage."""
        return lacks(storage)

    def release(self, volumes: Sequence[Volume]) -> None:
        """Let the hosts of these volumes use them no more. Raises StorageError if one does; then all are as
        before."""
        released: list[Volume] = []
        try:
            for volume in volumes:
                live = self._volumes.get(volume.name)
                if live is not None and not live.trouble:
                    live.disk.release()
                    released.append(volume)
        except StorageError:
            self.resume(released)
            raise

    def resume(self, volumes: Sequence[Volume]) -> list[str]:
        """Let the hosts use released volumes again. Returns texts about those that they don't get."""
        problems = []
        for volume in volumes:
            live = self._volumes.get(volume.name)
            if live is not None and not live.trouble:
                try:
                    live.disk.resume()
                except (StorageError, KeyError, OSError) as error:
                    problems.append(live.failed(str(error)))
        return problems

    def end(self, change: VolumeChange) -> None:
        """End the processes of released volumes, while their adapters are there still."""
        for volume in change.ended:
            live = self._volumes.pop(volume.name, None)
            if live is not None:
                live.end()
        for volume in change.removed:
            for host, file in self._files.pop(volume.name, {}).items():
                if host in self._servers:
                    self._servers[host].leave(volume.name)
                file.discard()

    def become(self, topology: Topology, change: VolumeChange) -> list[str]:
        """Begin the new uses, when the new adapters and hosts are there. Returns texts about those that don't
        work."""
        self._know(topology)
        problems = self._begin(change.begun)
        serving = {host for volume in self._storage.used for host in volume.copies}
        for host in [host for host in self._servers if host not in serving]:
            self._servers.pop(host).close()
        return problems

    # What users do

    def states(self, used: bool) -> list[VolumeInfo]:
        """All volumes, also unused ones. ``used``: with the bytes that their file systems use, for which a
        storage host or a guest may have to answer, as long as that does not take too long."""
        deadline = time.monotonic() + ASKED
        return [self._state(volume, used and time.monotonic() < deadline) for volume in self._storage.volumes]

    def troubles(self) -> list[str]:
        """Texts about present problems."""
        texts = []
        for live in self._volumes.values():
            lost = [host for host, state in live.copies.states.items() if state != "current"]
            if live.trouble:
                texts.append(f"volume {live.volume.name}: {live.trouble}")
            elif lost:
                texts.append(f"volume {live.volume.name} has no copy at {', '.join(lost)} now")
        return texts

    def grow(self, name: str, size: int) -> None:
        """Make a volume larger. Raises StorageError, or KeyError for an unknown volume."""
        live = self._find(name)
        size = size // BLOCK * BLOCK
        now = live.disk.size
        if size <= now:
            raise StorageError(f"{name} has {now >> 20} MiB already", "a volume can only grow")
        pool = next(pool for pool in self._storage.pools if pool.name == live.volume.pool)
        for host in live.volume.copies:
            others = [
                needed(self._volumes[other.name].disk.size if other.name in self._volumes else other.size)
                for other in self._storage.volumes
                if other.name != name and other.pool == pool.name and host in other.copies
            ]
            if needed(size) + sum(others) > pool.size:
                room = (pool.size - sum(others)) >> 20
                raise StorageError(
                    f"pool {pool.name} has {room} MiB for {name} at {host}, of {needed(size) >> 20} needed",
                    "make the pool's size larger in the file, and start the lab again",
                )
        live.disk.grow(size)
        self._tell(f"volume {name} has grown to {size >> 20} MiB", {"volume": name, "size": size})

    def snapshot(self, name: str, action: str, snapshot: str) -> None:
        """``save``, ``restore`` or ``delete`` a snapshot. Raises StorageError, or KeyError for an unknown
        volume."""
        disk = self._find(name).disk
        {"save": disk.save, "restore": disk.restore, "delete": disk.delete}[action](snapshot)
        word = {"save": "saved", "restore": "restored", "delete": "deleted"}[action]
        self._tell(f"snapshot {snapshot} of volume {name} was {word}", {"volume": name, "snapshot": snapshot})

    def names(self) -> list[str]:
        """The names of the volumes that are used."""
        return list(self._volumes)

    # Parts

    def _find(self, name: str) -> LiveVolume:
        live = self._volumes[name]
        if live.trouble:
            raise StorageError(f"volume {name} is not there: {live.trouble}", "see: sdnlab events")
        return live

    def _begin(self, volumes: Sequence[Volume]) -> list[str]:
        """Start servers that are missing, and these volumes. Returns texts about those that don't work."""
        problems: list[str] = []
        before = set(self._servers)
        there: list[Volume] = []
        for volume in volumes:
            try:
                self._open(volume)
                there.append(volume)
            except StorageError as error:
                problems.append(f"volume {volume.name} is not there: {error}")

        def begin(server: Server) -> str:
            try:
                server.start()
            except StorageError as error:
                return f"storage host {server.host} serves nothing: {error}"
            return ""

        problems += filter(
            None,
            in_threads(
                [partial(begin, server) for host, server in self._servers.items() if host not in before]
            ),
        )
        lives = [self._live(volume) for volume in there]
        self._volumes |= {live.volume.name: live for live in lives}
        problems += filter(None, in_threads([live.begin for live in lives]))
        return problems

    def _open(self, volume: Volume) -> None:
        """Open the files of a volume's copies, and let servers know them. Raises StorageError."""
        folder = self._kept / volume.keep if volume.keep else None
        known = self._files.setdefault(volume.name, {})
        for host in volume.copies:
            if host not in known:
                known[host] = CopyFile(volume.name, host, folder)
            if host in self._servers:
                self._servers[host].take(volume.name, known[host])
            else:
                self._servers[host] = self._server(host, {volume.name: known[host]})

    def _server(self, host: str, files: dict[str, CopyFile]) -> Server:
        self._begun += 1
        return Server(
            host,
            self._addresses[host],
            lambda: self._space(host),
            self._run_dir / "storage" / f"{self._begun}.server.qmp",
            files,
            self._server_ended,
            lambda _host: self._tell(f"the storage server of {host} runs again", {"host": host}),
        )

    def _server_ended(self, host: str) -> None:
        self._tell(f"the storage server of {host} has ended; it is started again", {"host": host})
        for live in self._volumes.values():
            if host in live.volume.copies:
                live.copies.suspect(host)

    def _live(self, volume: Volume) -> LiveVolume:
        folder = plan.folder(self._run_dir, volume.name)
        folder.path.mkdir(parents=True, exist_ok=True)
        servers = {host: self._servers[host] for host in volume.copies}
        files = self._files[volume.name]

        def netns() -> int:
            return self._space(volume.adapter)

        copies = Copies(volume, servers, files, netns, folder, self._tell)
        disk = Disk(volume, netns, lambda: self._place(volume.host), folder, self._tell)
        return LiveVolume(volume, files, copies, disk, netns, self._tell)

    def _state(self, volume: Volume, with_used: bool) -> VolumeInfo:
        live = self._volumes.get(volume.name)
        states = live.copies.states if live is not None else {}
        size, used, snapshots = volume.size, None, []
        if live is not None and not live.trouble:
            with contextlib.suppress(StorageError, StopIteration):
                size, used = live.disk.size, live.disk.used() if with_used else None
                snapshots = [SnapshotInfo(name=s.name, saved=s.saved) for s in live.disk.snapshots()]
        return {
            "name": volume.name,
            "pool": volume.pool,
            "size": size,
            "limit": volume.limit,
            "used": used,
            "host": volume.host,
            "path": volume.path,
            "mounted": live.disk.mounted if live is not None else "",
            "keep": volume.keep,
            "copies": [
                {
                    "host": host,
                    "state": states.get(host, "unused"),
                    "occupied": live.files[host].occupied() if live is not None else 0,
                    "pid": self._servers[host].pid if live is not None else 0,
                }
                for host in volume.copies
            ],
            "rebuilt": live.copies.progress if live is not None else 0.0,
            "snapshots": snapshots,
            "trouble": live.trouble if live is not None else "",
        }
