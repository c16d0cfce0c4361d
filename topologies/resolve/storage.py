"""Storage: which storage hosts have the copies of each volume, and the adapters of the hosts that use them.
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from topologies.model import names
from topologies.model.choices import VM
from topologies.model.storage import BLOCK, LONGEST_SERIAL, MOST_DEVICES, Mount, Pool, Storage, Volume, needed
from topologies.syntax import units
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.storage_specification import PoolSpec, StorageSpec, VolumeSpec

POOL_SIZE = 1 << 30
VOLUME_SIZE = 128 << 20
LEAST = 8 << 20
"""Bytes of the smallest volume: a file system with a journal fits."""


class Use(NamedTuple):
    """The use of a volume: the host, the path there, and whether it is a block device (see ``Volume``)."""

    host: str = ""
    path: str = ""
    device: bool = False


def users(hosts: Mapping[str, HostSpec], known: Mapping[str, VolumeSpec], report: Report) -> dict[str, Use]:
    """Volume -> its use. Wrong uses are reported and left out."""
    used: dict[str, Use] = {}
    for host, mount in _mounts(hosts, known, report):
        here: Path = ("hosts", host, "volumes", mount.volume)
        if mount.volume in used:
            other = used[mount.volume].host
            what = f"volume {mount.volume} is used by {other} already"
            report.add(here, what, "one host for each volume", "give each host a volume of its own")
            continue
        used[mount.volume] = Use(host, mount.path, hosts[host].kind == VM)
    return used


def _mounts(
    hosts: Mapping[str, HostSpec], known: Mapping[str, VolumeSpec], report: Report
) -> list[tuple[str, Mount]]:
    mounts = []
    for host, spec in hosts.items():
        paths: dict[str, str] = {}
        for volume, path in (spec.volumes or {}).items():
            here: Path = ("hosts", host, "volumes", volume)
            if volume not in known:
                if not report.is_broken(("storage",)):
                    report.unknown(here, "volume", volume, list(known), "storage")
                continue
            if report.is_broken(("hosts", host, "kind")):
                continue
            place = _place(here, host, spec.kind, path, report)
            if place is None:
                continue
            if place and place in paths.values():
                report.add(here, f"{place} is the place of another volume", remedy="choose another directory")
                continue
            if spec.kind == VM and len(paths) == MOST_DEVICES:
                what = f"{host} has {MOST_DEVICES} volumes already"
                report.add(
                    here, what, f"up to {MOST_DEVICES} for a virtual machine", "take fewer, larger ones"
                )
                break
            paths[volume] = place
            mounts.append((host, Mount(volume=volume, path=place)))
    return mounts


def _place(here: Path, host: str, kind: str | None, path: str | None, report: Report) -> str | None:
    """The directory where a volume is mounted; None: it is wrong."""
    if kind == VM and len(str(here[-1])) > LONGEST_SERIAL:
        what = f"the name is the serial number of a disk of {host}, and too long for that"
        report.add(here, what, f"up to {LONGEST_SERIAL} letters", "rename the volume")
        return None
    if kind == VM and path is None:
        return ""
    place = PurePosixPath(path or "")
    if not place.is_absolute() or ".." in place.parts or place == PurePosixPath("/") or "\0" in str(place):
        what = f"{shown(path)} is no directory" if path else "the directory is missing"
        report.add(here, what, "an absolute path like /srv, without '..'", f"write {here[-1]}: /srv")
        return None
    if place.parts[1] in ("dev", "proc", "sys"):
        report.add(here, f"{place} is the kernel's", "another directory", f"write {here[-1]}: /srv")
        return None
    return str(place)


def pools(specs: Mapping[str, PoolSpec], hosts: Mapping[str, HostSpec], report: Report) -> dict[str, Pool]:
    """The pools that are right; the others are reported."""
    known_pools = {}
    for name, spec in specs.items():
        here: Path = ("storage", "pools", name)
        _check_name(here, name, report)
        chosen = [host for host in spec.hosts or () if host is not None]
        if not chosen:
            if not report.is_broken((*here, "hosts")):
                report.add(here, "the pool has no storage hosts", "a list of hosts", "write hosts: [st1]")
            continue
        wrong = [
            _wrong_host((*here, "hosts", i), host, chosen[:i], hosts, report) for i, host in enumerate(chosen)
        ]
        if any(wrong):
            continue
        segments = {hosts[host].network for host in chosen}
        if len(segments) > 1:
            what = f"its storage hosts are in {len(segments)} networks"
            report.add((*here, "hosts"), what, "storage hosts of one network", "give them one network")
            continue
        copies = spec.copies or 1
        if copies > len(chosen):
            what = f"{copies} copies need {copies} storage hosts, and there are {len(chosen)}"
            report.add(
                (*here, "copies"), what, f"1 to {len(chosen)}", "add storage hosts, or want fewer copies"
            )
            continue
        size = (spec.size or POOL_SIZE) // BLOCK * BLOCK
        known_pools[name] = Pool(name=name, hosts=tuple(chosen), size=size, copies=copies)
    return known_pools


def _wrong_host(
    here: Path, host: str, before: list[str], hosts: Mapping[str, HostSpec], report: Report
) -> bool:
    if host not in hosts:
        report.unknown(here, "host", host, list(hosts), "hosts")
        return True
    if host in before:
        report.add(here, f"{host} is named twice", remedy="remove one")
        return True
    if hosts[host].kind == VM:
        what = f"{host} is a virtual machine, and no storage host"
        report.add(here, what, "hosts of kind namespace or container", "take another host")
        return True
    return False


def _check_name(here: Path, name: str, report: Report) -> None:
    if not names.is_name(name):
        report.add(here, f"{shown(name)} cannot be a name", names.ALLOWED)


def volumes(
    spec: StorageSpec,
    known_pools: Mapping[str, Pool],
    used: Mapping[str, Use],
    running: Storage,
    report: Report,
) -> tuple[Volume, ...]:
    """The volumes that are right, in natural order, each on the storage hosts that have most space left.

    Those of a ``running`` lab stay where they are, if their pool has these hosts still.
    """
    left = {(pool.name, host): pool.size for pool in known_pools.values() for host in pool.hosts}
    stay = _staying(spec, known_pools, running)
    for volume in stay.values():
        for host in volume.copies:
            left[volume.pool, host] -= needed(volume.size)
    placed = []
    for name in sorted(spec.volumes or {}, key=names.natural):
        stated, here = (spec.volumes or {})[name], ("storage", "volumes", name)
        _check_name(here, name, report)
        pool = _pool_of(here, stated, spec, known_pools, report)
        keep = _kept((*here, "keep"), stated.keep, report)
        if pool is None or keep is None:
            continue
        size = (stated.size or VOLUME_SIZE) // BLOCK * BLOCK
        if size < LEAST:
            report.add((*here, "size"), f"{size >> 10} KiB are too small for a volume", "8MiB or more")
            continue
        roomy = list(pool.hosts)
        if name in stay:
            roomy = list(stay[name].copies)
            for host in roomy:
                left[pool.name, host] += needed(stay[name].size)
        # sorted() keeps the order of the file where space is equal
        roomy = sorted(roomy, key=lambda host: -left[pool.name, host])[: pool.copies]
        room = min(left[pool.name, host] for host in roomy)
        if needed(size) > room:
            what = (
                f"pool {pool.name} has too little space for {name}: {needed(size) >> 20} MiB of {room >> 20}"
            )
            report.add(here, what, remedy=f"make the pool's size larger, or {name} smaller")
            continue
        for host in roomy:
            left[pool.name, host] -= needed(size)
        its = used.get(name, Use())
        copies = tuple(h for h in pool.hosts if h in roomy)
        placed.append(
            Volume(
                name=name,
                pool=pool.name,
                size=size,
                limit=pool.size,
                copies=copies,
                host=its.host,
                path=its.path,
                device=its.device,
                keep=keep,
            )
        )
    return tuple(placed)


def _staying(spec: StorageSpec, known_pools: Mapping[str, Pool], running: Storage) -> dict[str, Volume]:
    """Name -> the volume of the running lab whose copies can stay where they are."""
    stay = {}
    for volume in running.volumes:
        stated, pool = (spec.volumes or {}).get(volume.name), known_pools.get(volume.pool)
        if stated is None or pool is None or stated.pool not in (None, volume.pool):
            continue
        if set(volume.copies) <= set(pool.hosts) and len(volume.copies) == pool.copies:
            stay[volume.name] = volume
    return stay


def _pool_of(
    here: Path, stated: VolumeSpec, spec: StorageSpec, known_pools: Mapping[str, Pool], report: Report
) -> Pool | None:
    known = list(spec.pools or {})
    if stated.pool is not None and stated.pool not in known:
        report.unknown((*here, "pool"), "pool", stated.pool, known, "storage")
        return None
    if stated.pool is None and len(known) != 1:
        what = "the volume names no pool" + (", and there are several" if known else ", and there is none")
        report.add((*here, "pool"), what, ", ".join(known), "name one" if known else "write pools:")
        return None
    return known_pools.get(stated.pool or known[0])


def _kept(here: Path, keep: str | None, report: Report) -> str | None:
    """The directory as it stands in the file. It must be below the file: the file may be somebody else's."""
    if keep is None:
        return ""
    path = PurePosixPath(keep)
    if path.is_absolute() or ".." in path.parts or not path.parts or not keep.isprintable():
        what = f"{shown(keep)} is no directory below that of the topology file"
        report.add(
            here, what, "a relative path like disks, without '..'", "a symbolic link may lead elsewhere"
        )
        return None
    return str(path)


def adapters(
    placed: tuple[Volume, ...], known_pools: Mapping[str, Pool], hosts: Mapping[str, HostSpec], report: Report
) -> dict[str, HostSpec]:
    """The storage adapters, each on the switch of its host, in the network of its pools' storage hosts."""
    added: dict[str, HostSpec] = {}
    for volume in placed:
        if not volume.host:
            continue
        user, name = hosts[volume.host], volume.adapter
        here: Path = ("hosts", volume.host, "volumes", volume.name)
        network = hosts[known_pools[volume.pool].hosts[0]].network
        if name in hosts or not names.is_name(name):
            what = f"its storage adapter would be called {name}" + (
                ", like another host" if name in hosts else ", which is too long"
            )
            report.add(here, what, remedy="rename the host")
        elif name in added and added[name].network != network:
            what = f"the pools of the volumes of {volume.host} are in two networks"
            report.add(here, what, "one storage network for each host", "take a volume of the same network")
        elif user.switch is not None:
            switch = units.End(user.switch.switch)
            added[name] = HostSpec.model_construct(None, switch=switch, network=network)
    return added


def resolve(
    spec: StorageSpec | None, hosts: Mapping[str, HostSpec], running: Storage, report: Report
) -> tuple[Storage, dict[str, HostSpec]]:
    """The storage, and the storage adapters, which are hosts. ``running``: that of a running lab, if there is
    one. Problems are reported."""
    stated = spec or StorageSpec()
    used = users(hosts, stated.volumes or {}, report)
    known_pools = pools(stated.pools or {}, hosts, report)
    placed = volumes(stated, known_pools, used, running, report)
    storage = Storage(
        pools=tuple(known_pools[name] for name in sorted(known_pools, key=names.natural)), volumes=placed
    )
    return storage, adapters(placed, known_pools, hosts, report)


def mounts(storage: Storage, host: str) -> tuple[Mount, ...]:
    """The uses of volumes by a host."""
    return tuple(
        Mount(volume=volume.name, path=volume.path) for volume in storage.volumes if volume.host == host
    )
