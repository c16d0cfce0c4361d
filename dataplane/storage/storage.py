"""The storage of a running lab: its servers and volumes, and what users do with them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from dataplane.hosts.driver import Lack, Place
from dataplane.sandbox.namespaces import in_threads, run_in, write_settings
from dataplane.storage import plan
from dataplane.storage.answers import SnapshotInfo, VolumeInfo
from dataplane.storage.copies import Copies, Tell
from dataplane.storage.disk import Disk
from dataplane.storage.error import StorageError
from dataplane.storage.files import CopyFile
from dataplane.storage.server import Server
from topologies.model.storage import BLOCK, Storage, Volume, needed
from topologies.model.topology import Topology

FUSE = Path("/dev/fuse")


def lacks(storage: Storage) -> list[Lack]:
    """What this machine lacks for the storage. It is called in the sandbox, before the lab is built."""
    if not storage.used:
        return []
    lacking = [
        Lack(f"{program} is not installed", "volumes", f"install it: sudo apt-get install {package}")
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


class _Live:
    """A volume that is used: its copies' files, its assembler and its head."""

    def __init__(self, volume: Volume, files: Mapping[str, CopyFile], copies: Copies, disk: Disk) -> None:
        self.volume, self.files, self.copies, self.disk = volume, files, copies, disk
        self.trouble = ""


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
        self._storage, self._space, self._place = topology.storage, space, place
        self._run_dir, self._kept, self._tell = run_dir, kept, tell
        addresses = [(host.name, host.ipv4 or host.ipv6) for host in topology.hosts]
        self._addresses = {name: str(address.ip) for name, address in addresses if address is not None}
        self._servers: dict[str, Server] = {}
        self._volumes: dict[str, _Live] = {}

    def start(self) -> list[str]:
        """Start all servers and volumes, after the switches forward. Returns texts about those that don't
        work."""
        problems: list[str] = []
        files: dict[str, dict[str, CopyFile]] = {}
        for volume in self._storage.used:
            try:
                files[volume.name] = self._files(volume)
            except StorageError as error:
                problems.append(f"volume {volume.name} is not there: {error}")
        by_host: dict[str, dict[str, CopyFile]] = {}
        for name, copies in files.items():
            for host, file in copies.items():
                by_host.setdefault(host, {})[name] = file
        for host, own in by_host.items():
            self._servers[host] = self._server(host, own)

        def begin(server: Server) -> str:
            try:
                server.start()
            except StorageError as error:
                return f"storage host {server.host} serves nothing: {error}"
            return ""

        problems += filter(None, in_threads([partial(begin, server) for server in self._servers.values()]))
        for volume in self._storage.used:
            if volume.name in files:
                self._volumes[volume.name] = self._live(volume, files[volume.name])
        problems += filter(None, in_threads([partial(self._begin, live) for live in self._volumes.values()]))
        return problems

    def close(self) -> None:
        """Write everything out, and end all processes."""

        def end(live: _Live) -> None:
            live.copies.close(live.disk.close())

        in_threads([partial(end, live) for live in self._volumes.values()])
        for server in self._servers.values():
            server.close()

    # What users do

    def states(self, used: bool) -> list[VolumeInfo]:
        """All volumes, also unused ones. ``used``: with the bytes that their file systems use, for which a
        storage host may have to answer."""
        return [self._state(volume, used) for volume in self._storage.volumes]

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

    def _find(self, name: str) -> _Live:
        live = self._volumes[name]
        if live.trouble:
            raise StorageError(f"volume {name} is not there: {live.trouble}", "see: sdnlab events")
        return live

    def _files(self, volume: Volume) -> dict[str, CopyFile]:
        folder = self._kept / volume.keep if volume.keep else None
        return {host: CopyFile(volume.name, host, folder) for host in volume.copies}

    def _server(self, host: str, files: dict[str, CopyFile]) -> Server:
        control = self._run_dir / "storage" / f"{len(self._servers)}.server.qmp"
        return Server(
            host,
            self._addresses[host],
            lambda: self._space(host),
            control,
            files,
            self._server_ended,
            lambda _host: self._tell(f"the storage server of {host} runs again", {"host": host}),
        )

    def _server_ended(self, host: str) -> None:
        self._tell(f"the storage server of {host} has ended; it is started again", {"host": host})
        for live in self._volumes.values():
            if host in live.volume.copies:
                live.copies.suspect(host)

    def _live(self, volume: Volume, files: Mapping[str, CopyFile]) -> _Live:
        folder = plan.folder(self._run_dir, volume.name)
        folder.path.mkdir(parents=True, exist_ok=True)
        servers = {host: self._servers[host] for host in volume.copies}

        def netns() -> int:
            return self._space(volume.adapter)

        copies = Copies(volume, servers, files, netns, folder, self._tell)
        disk = Disk(volume, netns, lambda: self._place(volume.host), folder, self._tell)
        return _Live(volume, files, copies, disk)

    def _begin(self, live: _Live) -> str:
        try:
            run_in(self._space(live.volume.adapter), lambda: write_settings(plan.SETTINGS))
            live.disk.start(live.copies.start())
            live.copies.watch()
        except (StorageError, KeyError, OSError) as error:
            live.trouble = str(error)
            remedy = error.remedy if isinstance(error, StorageError) else ""
            text = f"volume {live.volume.name} is not there: {error}" + (f"; {remedy}" if remedy else "")
            self._tell(text, {"volume": live.volume.name, "state": "gone"})
            return text
        return ""

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
