"""The hosts of a lab as their drivers see them: what they need, whether they are ready, what happens to
them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from dataplane.hosts.driver import HostError, Place
from dataplane.hosts.drivers import DRIVERS, driver
from lab.events.log import EventLog
from lab.failure import Exit, Failure
from topologies.model.hosts import Host

READY_PATIENCE = 60.0
"""Timeout in seconds until commands run in a new host: a virtual machine boots on a busy machine."""


def by_kind(hosts: Iterable[Host]) -> dict[str, list[Host]]:
    """Kind -> its hosts."""
    kinds: dict[str, list[Host]] = {}
    for host in hosts:
        kinds.setdefault(host.kind, []).append(host)
    return kinds


def to_prepare(hosts: Iterable[Host]) -> list[Host]:
    """The hosts whose drivers have something to prepare, outside the sandbox, before the lab is built."""
    return [
        host for kind, some in by_kind(hosts).items() if driver(kind).needs_preparation(some) for host in some
    ]


def machine_must_have(hosts: Iterable[Host]) -> None:
    """Raise Failure, before anything is built, when this machine lacks what the hosts need."""
    lacks = [lack for kind, some in by_kind(hosts).items() for lack in driver(kind).lacks(some)]
    if lacks:
        remedy = "\n".join(f"{lack.what}; needed for {lack.needed}; {lack.remedy}" for lack in lacks)
        raise Failure("this machine can't run the lab", remedy, Exit.MACHINE)


def watch(events: EventLog) -> None:
    """Make events of what happens to hosts by itself."""

    def hear(host: str, kind: str, text: str) -> None:
        events.add(kind, text, {"host": host})

    for hosts in DRIVERS.values():
        hosts.watch(hear)


def await_ready(
    hosts: Sequence[Host], place: Callable[[str], Place], events: EventLog, patience: float = READY_PATIENCE
) -> list[str]:
    """Wait until commands run in all ``hosts``. Returns texts about those in which they don't; each is an
    event."""

    def ready(host: Host) -> str:
        try:
            driver(host.kind).ready(place(host.name), patience)
        except (HostError, OSError) as error:
            what = f"host {host.name} is not ready: {error}"
            events.add("host", what, {"host": host.name})
            return what
        return ""

    slow = [host for host in hosts if driver(host.kind).takes_time]
    if not slow:
        return []
    with ThreadPoolExecutor(min(len(slow), 64)) as threads:
        return [what for what in threads.map(ready, slow) if what]


def take_time(hosts: Iterable[Host]) -> bool:
    """Whether it takes time until all ``hosts`` are ready, or serve."""
    return any(host.serves or driver(host.kind).takes_time for host in hosts)
