"""The hosts of a lab as their drivers see them: what they need, whether they are ready, what happens to
them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from dataplane.hosts.driver import BootingDriver, HostError, Lack, Place
from dataplane.hosts.drivers import DRIVERS, driver
from lab.events.log import EventLog
from lab.failure import Exit, Failure
from topologies.model.hosts import Host

READY_PATIENCE = 60.0
"""Timeout in seconds until commands run in a new host, if its driver says nothing else."""
LOOK = 1.0
"""Seconds between two texts about what is awaited."""


def by_kind(hosts: Iterable[Host]) -> dict[str, list[Host]]:
    """Kind -> its hosts, without their further interfaces."""
    kinds: dict[str, list[Host]] = {}
    for host in hosts:
        if host.of:
            continue
        kinds.setdefault(host.kind, []).append(host)
    return kinds


def to_prepare(hosts: Iterable[Host]) -> list[Host]:
    """The hosts whose drivers have something to prepare, outside the sandbox, before the lab is built."""
    return [
        host for kind, some in by_kind(hosts).items() if driver(kind).needs_preparation(some) for host in some
    ]


def machine_must_have(hosts: Iterable[Host]) -> None:
    """Raise Failure, before anything is built, when this machine lacks what the hosts need."""
    refuse([lack for kind, some in by_kind(hosts).items() for lack in driver(kind).lacks(some)])


def refuse(lacks: Sequence[Lack]) -> None:
    """Raise Failure for what this machine lacks, if it lacks anything."""
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
    hosts: Sequence[Host],
    place: Callable[[str], Place],
    events: EventLog,
    most: float = math.inf,
    told: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Wait until commands run in all ``hosts``, ``most`` seconds at most. Returns texts about those in which
    they don't; each is an event. ``told`` gets what is awaited, again and again."""

    def ready(host: Host) -> str:
        try:
            driver(host.kind).ready(place(host.name), min(patience(host), most))
        except (HostError, OSError) as error:
            what = f"host {host.name} is not ready: {error}"
            events.add("host", what, {"host": host.name})
            return what
        return ""

    slow = [host for host in hosts if not host.of and driver(host.kind).takes_time]
    if not slow:
        return []
    with ThreadPoolExecutor(min(len(slow), 64)) as threads:
        coming = {host.name: threads.submit(ready, host) for host in slow}
        while wait(coming.values(), LOOK).not_done:
            told(awaited([host for host in slow if not coming[host.name].done()], place))
        return [what for one in coming.values() if (what := one.result())]


def patience(host: Host) -> float:
    """Seconds until commands run in a new host, at most."""
    kind = driver(host.kind)
    return kind.patience(host) if isinstance(kind, BootingDriver) else READY_PATIENCE


def awaited(hosts: Sequence[Host], place: Callable[[str], Place]) -> str:
    """What is awaited of hosts, in words: what the first one does that tells it, and how many others there
    are."""
    for host in hosts:
        kind = driver(host.kind)
        if isinstance(kind, BootingDriver) and (doing := kind.doing(place(host.name))):
            others = f" (and {len(hosts) - 1} more)" if len(hosts) > 1 else ""
            return f"waiting for {host.name}{others}, which {doing}"
    return f"waiting for {', '.join(host.name for host in hosts[:8])}"


def take_time(hosts: Iterable[Host]) -> bool:
    """Whether it takes time until all ``hosts`` are ready, or serve."""
    return any(host.serves or driver(host.kind).takes_time for host in hosts)
