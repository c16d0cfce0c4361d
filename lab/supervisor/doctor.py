"""Looks at the switches that users' own apps control, and applies the rules of ``lab.diagnosis``."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from dataplane.ovs import ofctl
from dataplane.sandbox.namespaces import in_threads
from lab.diagnosis import flows as said
from lab.diagnosis.observation import Finding, Observation, Rate, SeenSwitch
from lab.diagnosis.rules import findings
from lab.supervisor import bridges

if TYPE_CHECKING:
    from dataplane.fabric.fabric import Fabric
    from lab.supervisor.ryu_apps import RyuApps
    from topologies.model.topology import Topology

_LEAST, _MOST = 0.3, 30.0
"""Seconds between two readings of counters that give a rate."""
_SETTLING = 8.0
"""Seconds after the start of apps for which a switch without session is no finding: ovs-vswitchd writes what
it knows of sessions every five (ovs-vswitchd.conf.db(5), stats-update-interval)."""

Counts = dict[str, dict[int, said.Count]]


class Doctor:
    """Examines one lab. It remembers the counters of its last look, from which rates follow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[float, Counts] | None = None

    def examine(
        self, topology: Topology, apps: Sequence[RyuApps], net: Fabric, without: Collection[str]
    ) -> list[Finding]:
        """What is wrong, as far as it can be seen; nothing of a lab without users' own ``apps``.

        ``without``: the switches that are switched off.
        """
        if not apps:
            return []
        with self._lock:
            return findings(self._observe(topology, apps, net, without))

    def _observe(
        self, topology: Topology, apps: Sequence[RyuApps], net: Fabric, without: Collection[str]
    ) -> Observation:
        names = [name for name in topology.by_apps if name not in without]
        places = bridges.places(names)
        before = self._last
        if before is None or not _LEAST <= time.monotonic() - before[0] <= _MOST:
            before = (time.monotonic(), _counts(places))
            time.sleep(_LEAST)
        now, counts = time.monotonic(), _counts(places)
        self._last = (now, counts)
        states = [controller.told() for controller in apps]
        young = {s["name"] for s in states if time.time() - s["since"] < _SETTLING}
        versions = {switch: version for s in states for switch, version in s["connected"].items()}
        flows: dict[str, tuple[list[said.Flow], frozenset[int]]] = {}

        def ask(name: str) -> None:
            try:
                flows[name] = (
                    said.flows(ofctl.flows(*places[name])),
                    said.group_numbers(ofctl.groups(*places[name])),
                )
            except ofctl.NoAnswer:
                return

        in_threads([partial(ask, name) for name in places])
        sessions = net.sessions()
        links = net.link_states()
        hosts: dict[str, set[int]] = {}
        for host in topology.attached:
            hosts.setdefault(host.at.switch, set()).add(host.at.number)
        switches = []
        for name in places:
            controller, session = topology.by_apps[name], sessions.get(name)
            held = flows.get(name)
            switches.append(
                SeenSwitch(
                    name,
                    controller,
                    given=session is None or session.given,
                    connected=session is None or session.connected or controller in young,
                    error=session.error if session is not None else "",
                    version=versions.get(name, "1.3"),
                    flows=None if held is None or controller in young else held[0],
                    groups=frozenset() if held is None else held[1],
                    ports=frozenset(counts.get(name, {})),
                    rates=_rates(before[1].get(name, {}), counts.get(name, {}), now - before[0]),
                    hosts=frozenset(hosts.get(name, ())),
                )
            )
        up = [
            ((link.a.switch, link.a.number), (link.b.switch, link.b.number))
            for link in topology.links
            if links.get(link.name, True)
        ]
        return Observation(
            switches, [s for s in states if s["state"] != "starting" or s["name"] not in young], up
        )


def _counts(places: dict[str, bridges.Place]) -> Counts:
    counts: Counts = {}

    def ask(name: str) -> None:
        try:
            counts[name] = said.counts(ofctl.ports(*places[name]))
        except ofctl.NoAnswer:
            return

    in_threads([partial(ask, name) for name in places])
    return counts


def _rates(before: dict[int, said.Count], now: dict[int, said.Count], seconds: float) -> dict[int, Rate]:
    return {
        port: Rate(
            max(0, count.received - before[port].received) / seconds,
            max(0, count.sent - before[port].sent) / seconds,
        )
        for port, count in now.items()
        if port in before and seconds > 0
    }
