"""What changes about the volumes of a running lab. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dataplane.plan.lab import settings_mark
from topologies.model.storage import Volume
from topologies.model.topology import Topology


@dataclass(frozen=True)
class VolumeChange:
    """``ended``: uses that end, as they were. ``begun``: uses that begin; a volume that is used in another
    way is in both. ``removed``: volumes that are no longer there."""

    ended: tuple[Volume, ...] = ()
    begun: tuple[Volume, ...] = ()
    removed: tuple[Volume, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether nothing changes."""
        return not (self.ended or self.begun or self.removed)


def volume_change(old: Topology, new: Topology) -> VolumeChange:
    """What changes when ``old`` becomes ``new``. A host that is made anew loses its volumes, and gets them
    again."""
    anew = _made_anew(old, new)
    before = {volume for volume in old.storage.used if volume.host not in anew}
    after = {volume for volume in new.storage.used if volume.host not in anew}
    names = {volume.name for volume in new.storage.volumes}
    return VolumeChange(
        tuple(volume for volume in old.storage.used if volume not in after),
        tuple(volume for volume in new.storage.used if volume not in before),
        tuple(volume for volume in old.storage.volumes if volume.name not in names),
    )


def impossible(old: Topology, new: Topology) -> list[str]:
    """The differences of the storage that can't be made while a lab runs, as texts."""
    if new.storage.used and not old.storage.used:
        return ["the first volume would be used: the lab has started without storage"]
    differences = []
    after = {volume.name: volume for volume in new.storage.volumes}
    kept = [(volume, after[volume.name]) for volume in old.storage.volumes if volume.name in after]
    for volume, then in kept:
        if volume.copies != then.copies or volume.pool != then.pool:
            here, there = (f"{one.pool} ({', '.join(one.copies)})" for one in (volume, then))
            differences.append(f"volume {volume.name} would lie in pool {there} instead of {here}")
        if volume.keep != then.keep:
            here, there = (one.keep or "no directory" for one in (volume, then))
            differences.append(f"volume {volume.name} would be kept in {there} instead of {here}")
        if then.size < volume.size:
            differences.append(
                f"volume {volume.name} would shrink from {volume.size >> 20} MiB to {then.size >> 20} MiB"
            )
    servers = {host for volume, then in kept if volume.host and then.host for host in volume.copies}
    hosts = [{host.name: host for host in topology.hosts} for topology in (old, new)]
    for name in sorted(servers & hosts[0].keys() & hosts[1].keys()):
        was, now = hosts[0][name], hosts[1][name]
        if (was.network, was.ipv4, was.ipv6) != (now.network, now.ipv4, now.ipv6):
            differences.append(f"storage host {name} would have another address, and serves volumes")
        elif settings_mark(was) != settings_mark(now):
            differences.append(f"storage host {name} would be made anew, and serves volumes")
    return differences


def _made_anew(old: Topology, new: Topology) -> set[str]:
    before = {host.name: settings_mark(host) for host in old.hosts}
    return {host.name for host in new.hosts if before.get(host.name, "") != settings_mark(host)}
