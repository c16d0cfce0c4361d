"""The states of virtual machines: snapshots, files, and live migration to another domain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from dataplane.hosts.driver import HostError
from dataplane.hosts.drivers import driver
from dataplane.hosts.vm.driver import VmHosts
from lab.failure import Failure, unknown
from lab.messages.lab import Migrated, SnapshotState
from lab.supervisor import change

if TYPE_CHECKING:
    from dataplane.hosts.driver import Place
    from dataplane.hosts.vm.exporting import Export
    from dataplane.hosts.vm.migration import Journey
    from dataplane.hosts.vm.saved_state import Saved
    from lab.supervisor.lab import Lab


def snapshots(lab: Lab, host: str) -> list[SnapshotState]:
    """The saved states of a virtual machine. Raises Failure."""
    with _explained():
        machines, place = _machines(lab, host)
        return [_told(saved) for saved in machines.saved(place).listed()]


def change_snapshot(
    lab: Lab, host: str, name: str, action: Literal["save", "restore", "delete"]
) -> SnapshotState:
    """Save a state of a virtual machine, return to one, or delete one. Raises Failure."""
    with _explained():
        machines, place = _machines(lab, host)
        states = machines.saved(place)
        saved = {"save": states.save, "restore": states.restore, "delete": states.delete}[action](name)
    words = {
        "save": f"{host} was saved as {name}",
        "restore": f"{host} has returned to {name}",
        "delete": f"snapshot {name} of {host} was deleted",
    }
    if action == "restore":  # the lab's servers in it are those of that moment
        for problem in lab.servers.become(lab.topology):
            lab.events.add("server", problem, {"host": host})
    lab.events.add("snapshot", words[action], {"host": host, "snapshot": name, "action": action})
    return _told(saved)


def migrate(lab: Lab, host: str, domain: str, switch: str | None) -> Migrated:
    """Move a running virtual machine with its memory to another domain's switch.

    Returns when it runs there, and the old place is gone.  Raises Failure if it can't be done; then the
    machine runs where it was, and the lab is unchanged.
    """
    began = time.monotonic()
    with lab.changing(), _explained():
        machines, place = _machines(lab, host)
        target, new = change.moved_to(lab.topology, host, domain, switch)
        source = next(known.at.switch for known in lab.topology.hosts if known.name == host)
        result: Migrated = {
            "host": host,
            "source": source,
            "target": target,
            "domain": domain,
            "seconds": 0.0,
            "changed": new != lab.topology,
            "downtime": 0.0,
            "downtime_qemu": 0.0,
            "copied": 0,
            "precopy": 0.0,
            "notes": [],
        }
        if not result["changed"]:
            return result
        with machines.travelling(place) as journey:
            result["notes"] = change.take(lab, new, _Crossing(host, journey))
        downtime = journey.downtime
        assert downtime is not None
        result["downtime"], result["downtime_qemu"] = downtime.milliseconds, downtime.qemu
        result["copied"], result["precopy"] = downtime.copied, downtime.precopy
        result["seconds"] = time.monotonic() - began
        lab.events.add(
            "migrate",
            f"{host} moved with its memory from {source} to {target} (domain {domain}), and stood still for "
            f"{downtime.milliseconds:.0f} ms",
            dict(result),
        )
        return result


def export(lab: Lab, host: str) -> Export:
    """A virtual machine as one file, as it is now. Raises Failure."""
    with _explained():
        machines, place = _machines(lab, host)
        exported = machines.export(place)
    lab.events.add("export", f"{host} was exported", {"host": host, "running": exported.running})
    return exported


class _Crossing:
    """A journey, with Failures."""

    def __init__(self, host: str, journey: Journey) -> None:
        self.host = host
        self._journey = journey

    def depart(self) -> None:
        with _explained():
            self._journey.depart()

    def arrive(self) -> None:
        with _explained():
            self._journey.arrive()

    def abandon(self) -> None:
        self._journey.abandon()


def _machines(lab: Lab, host: str) -> tuple[VmHosts, Place]:
    """The driver of a virtual machine, and its place. Raises Failure for another host."""
    hosts = {known.name: known for known in lab.topology.hosts}
    if host not in hosts:
        raise unknown("host", host, [*hosts])
    machines = driver(hosts[host].kind)
    if not isinstance(machines, VmHosts):
        some = [name for name, known in hosts.items() if isinstance(driver(known.kind), VmHosts)]
        raise Failure(
            f"{host} is a {hosts[host].kind}: only a virtual machine has a state as a whole",
            f"there are: {', '.join(some[:12])}" if some else "give a host 'vm: micro' in the topology file",
        )
    return machines, lab.net.place(host)


def _told(saved: Saved) -> SnapshotState:
    return {"name": saved.name, "taken": saved.taken, "size": saved.size, "paused": saved.paused}


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except HostError as error:
        raise Failure(error.what, error.remedy) from None
