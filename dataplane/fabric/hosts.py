"""The hosts of a running lab. The driver of a host's kind does the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from dataplane.hosts.driver import place_of
from dataplane.hosts.drivers import driver
from dataplane.plan.pieces import HostPlan, WirePlan
from dataplane.sandbox.namespaces import Namespace


class Hosts:
    """The hosts that have a namespace, or will get one, and which of them were started.

    ``spaces``: namespaces by file name; they stay the caller's. ``run_dir``: the lab's.
    """

    def __init__(self, spaces: Mapping[str, Namespace], run_dir: Path) -> None:
        self._spaces = spaces
        self._run_dir = run_dir
        self._planned: dict[str, HostPlan] = {}  # by namespace
        self._started: set[str] = set()  # of these, by namespace

    def expect(self, hosts: Iterable[HostPlan]) -> None:
        """Remember new hosts, and the new plans of present ones. One with several interfaces starts with the
        first that is wired."""
        self._planned |= {host.netns: host for host in hosts if not host.host.of}

    def at(self, netns: str) -> HostPlan | None:
        """The host whose namespace this is."""
        return self._planned.get(netns)

    def wire_in(self, host: HostPlan, wire: WirePlan) -> None:
        """Configure the near end of a new wire in a host. The host starts with its first wire."""
        hosts, space = driver(host.kind), self._spaces[host.netns]
        hosts.wire_in(host, space, wire)
        if host.netns not in self._started:
            self._started.add(host.netns)
            hosts.start(host, place_of(host, self._run_dir), space)

    def rewire(self, host: HostPlan, old: WirePlan, new: WirePlan) -> None:
        """Change the addresses, default routes or MTU of a host in place."""
        driver(host.kind).rewire(host, self._spaces[host.netns], old, new)

    def remove(self, netns: str) -> None:
        """Stop the host whose namespace this is, if there is one, and forget it."""
        if (host := self._planned.pop(netns, None)) is not None:
            self._stop(host)

    def stop(self) -> None:
        """Stop all hosts. One that its driver can't stop ends with the sandbox."""
        for host in self._planned.values():
            try:
                self._stop(host)
            except Exception as error:  # of whatever driver
                print(f"host {host.name} was not stopped: {error!r}", flush=True)  # into the log

    def _stop(self, host: HostPlan) -> None:
        """End everything of a host except its namespace."""
        self._started.discard(host.netns)
        if (space := self._spaces.get(host.netns)) is not None:
            driver(host.kind).stop(place_of(host, self._run_dir), space)
