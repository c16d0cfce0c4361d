"""Tells when a host meets its limits: what its control group counts, as texts for events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dataplane.hosts.cgroups import Group, Limits

INTERVAL = 1.0
"""Seconds between two looks. There is no file that tells when a host has to wait for processors."""
SILENCE = 10
"""Looks for which the same is not told again."""

BUSY = 0.9
"""The share of its periods in which a host has to wait for a processor that is told."""


def met(before: Mapping[str, int], after: Mapping[str, int], limits: Limits) -> dict[str, str]:
    """Controller -> what happened between two looks at the counters of a group with these limits."""
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    happened = {}
    if killed := grown.get("memory.oom_kill", 0):
        what = "1 process was" if killed == 1 else f"{killed} processes were"
        happened["memory"] = f"its {(limits.memory or 0) >> 20} MiB of memory were full: {what} killed"
    if grown.get("pids.max", 0):
        happened["pids"] = (
            f"it may have no more than {limits.pids} processes and threads: it was refused more"
        )
    periods = grown.get("cpu.nr_periods", 0)
    if periods and grown.get("cpu.nr_throttled", 0) >= BUSY * periods:
        happened["cpu"] = f"it uses all of its {limits.cpus:g} processors: it has to wait"
    return happened


@dataclass
class _Watched:
    host: str
    group: Group
    limits: Limits
    counters: dict[str, int]
    silent: dict[str, int] = field(default_factory=dict)
    """Controller -> looks until it is told again."""


def news(happened: Mapping[str, str], silent: Mapping[str, int]) -> tuple[list[str], dict[str, int]]:
    """The texts to tell, and the next ``silent``. That a host waits for processors is told once, until
    it has not waited for as long."""
    told = [text for controller, text in happened.items() if not silent.get(controller)]
    left = {controller: looks - 1 for controller, looks in silent.items()}
    for controller in happened:
        if controller == "cpu" or not silent.get(controller):
            left[controller] = SILENCE
    return told, {controller: looks for controller, looks in left.items() if looks > 0}


class Watcher:
    """Looks at groups in a thread of its own, while there are any. ``tell`` gets a host and a text."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._watched: list[_Watched] = []
        self._lock = threading.Lock()
        self._end = threading.Event()

    def watch(self, host: str, group: Group, limits: Limits) -> None:
        """Begin to watch a group."""
        with self._lock:
            self._watched.append(_Watched(host, group, limits, group.counters()))
            if len(self._watched) == 1:
                self._end = threading.Event()
                threading.Thread(target=self._run, args=(self._end,), daemon=True).start()

    def forget(self, host: str, group: Group) -> None:
        """Look a last time, and stop."""
        with self._lock:
            mine = [watched for watched in self._watched if watched.group is group]
            self._watched = [watched for watched in self._watched if watched.group is not group]
            if not self._watched:
                self._end.set()
        for watched in mine:
            self._look(watched)

    def _run(self, end: threading.Event) -> None:
        while not end.wait(INTERVAL):
            with self._lock:
                watched = list(self._watched)
            for one in watched:
                self._look(one)

    def _look(self, one: _Watched) -> None:
        now = one.group.counters()
        told, one.silent = news(met(one.counters, now, one.limits), one.silent)
        one.counters = {**one.counters, **now}
        for text in told:
            self._tell(one.host, f"{one.host}: {text}")
