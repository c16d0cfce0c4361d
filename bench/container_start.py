"""``python -m bench.container_start RUNS ADDRESS NETNS...``: what the start of a container takes.

Runs inside a lab, as its root (see ``bench.kinds``).  ``NETNS`` are the namespaces of hosts in which nothing
runs yet.  In the first, in turns, a container whose only command is one ping to ``ADDRESS`` starts as a lab
starts it, and ``unshare`` and ``chroot`` start the same ping; then containers start in all, at once.  A
sample ends when all answered pings have ended.  Prints JSON: contestant -> samples in seconds; those of
``... CPU`` are seconds of a processor, which count also where others use it.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from dataplane.hosts.container.driver import ContainerHosts
from dataplane.hosts.driver import Place
from dataplane.sandbox.namespaces import RUN_NETNS
from topologies.model.hosts import Container, ContainerHost
from topologies.model.values import Port

PATIENCE = 60.0
BY_HAND = ("unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "chroot", "/")


class Bench:
    """One driver, and the namespaces of hosts."""

    def __init__(self, spaces: Sequence[str], address: str, folder: str) -> None:
        self.ping = ("ping", "-c", "1", "-W", "1", address)
        self.driver = ContainerHosts()
        self.told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.driver.watch(lambda host, kind, text: self.told.put(text) if kind == "container" else None)
        self.places = [Place(name, "container", name, folder=f"{folder}/{name}") for name in spaces]
        self.spaces: list[Any] = [
            SimpleNamespace(fd=os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)) for name in spaces
        ]

    def ours(self, count: int) -> float:
        """Start so many containers; seconds until the pings of all were answered."""
        used = list(zip(self.places, self.spaces, strict=True))[:count]
        begin = time.monotonic()
        for place, space in used:
            self.driver.start(cast(Any, SimpleNamespace(host=self._host(place.name))), place, space)
        for _ in used:
            text = self.told.get(timeout=PATIENCE)
            if not text.endswith("exit code 0"):
                raise RuntimeError(text)
        seconds = time.monotonic() - begin
        for place, space in used:
            self.driver.stop(place, space)
        return seconds

    def by_hand(self) -> float:
        """Seconds that the ping takes, with namespaces of its own and a root folder."""
        words = ["nsenter", f"--net={RUN_NETNS / self.places[0].netns}", "--", *BY_HAND, *self.ping]
        begin = time.monotonic()
        subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE)
        return time.monotonic() - begin

    def _host(self, name: str) -> ContainerHost:
        return ContainerHost(
            name=name,
            kind="container",
            network="lan",
            port=Port(switch="s1", number=9),
            mac="02:00:00:00:00:09",
            container=Container(command=self.ping),
        )


def used() -> float:
    """Seconds of a processor that this process and those that it has waited for have used."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main(arguments: Sequence[str]) -> None:
    """Measure, and print."""
    runs, address, *spaces = arguments
    samples: dict[str, list[float]] = {name: [] for name in ("hand", "hand CPU", "one", "one CPU", "all")}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(spaces, address, folder)
        for _ in range(int(runs) + 1):  # the first one reads programs from the disk
            for name, measured in (("hand", bench.by_hand), ("one", lambda: bench.ours(1))):
                before = used()
                samples[name].append(measured())
                samples[f"{name} CPU"].append(used() - before)
            samples["all"].append(bench.ours(len(spaces)))
    print(json.dumps({name: seconds[1:] for name, seconds in samples.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
