"""Which frame shows of each link, and of each tunnel, that it carries. Pure.

A switch sends such a frame out of one end, as if it came from a host behind that; the tables beyond lead it
to a host on the other side, as they would lead that host's packets. So every link is shown to carry in both
directions, also one that a select group might not choose for any ping.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controller.messages import Crossing
from controller.proof.batches import Batches
from controller.proof.walk import At
from topologies.model.overlay import overlay
from topologies.model.topology import Topology


class Crossings(NamedTuple):
    """``unused``: links that lead to no host in some direction, by the tables."""

    all: list[Crossing]
    unused: list[str]


def crossings(topology: Topology, batches: Batches, down: frozenset[str] = frozenset()) -> Crossings:
    """A frame for each direction of each link that is up, and for each tunnel between two domains."""
    finder = _Finder(batches)
    some: list[Crossing] = []
    unused: list[str] = []
    for link in topology.links:
        if link.name in down:
            continue
        for near, far in ((link.a, link.b), (link.b, link.a)):
            crossing = finder.crossing(link.name, (near.switch, near.number), (far.switch, far.number))
            if crossing is None:
                unused.append(link.name)
            else:
                some.append(crossing)
    some += finder.tunnels(topology)
    return Crossings(some, unused)


class _Finder:
    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._domain = {switch.name: switch.domain for switch in batches.topology.switches}

    def crossing(self, name: str, near: At, far: At) -> Crossing | None:
        """A frame from ``near`` to ``far`` that arrives at a host."""
        for network, family, hosts in self._sorts():
            pings = self._batches.pings(network, family, routed=False)
            if pings is None or len(hosts) < 2:
                continue
            for source in hosts[:2]:
                outcomes = self._batches.arriving(source, pings, far)
                arrived = [n for n, outcome in outcomes.items() if outcome is None and n != source]
                if arrived:
                    there = self._nearest(arrived, far[0])
                    src, dst = self._batches.hosts[source].name, self._batches.hosts[there].name
                    return Crossing(name, *near, src, dst, family)
        return None

    def _sorts(self) -> Iterator[tuple[str, int, list[int]]]:
        for network, hosts in self._batches.hosts_of.items():
            for family in (4, 6):
                some = [n for n in hosts if self._batches.has(n, family)]
                if some:
                    yield network, family, some
                    break

    def _nearest(self, numbers: list[int], switch: str) -> int:
        at = [n for n in numbers if self._batches.hosts[n].at.switch == switch]
        return (at or numbers)[0]

    def tunnels(self, topology: Topology) -> Iterator[Crossing]:
        """A frame from each domain to each other one in each network that both have, by its uplink."""
        hosts = self._batches.hosts
        behind: dict[tuple[str, str], list[int]] = {}
        for number, host in enumerate(hosts):
            behind.setdefault((host.network, self._domain[host.at.switch]), []).append(number)
        for uplink in overlay(topology).uplinks:
            here = self._domain[uplink.near.switch]
            mine = [
                n for n in behind.get((uplink.network, here), ()) if hosts[n].at.switch == uplink.near.switch
            ]
            for (network, there), others in behind.items():
                if network != uplink.network or there == here or not mine:
                    continue
                family = next((f for f in (4, 6) if self._batches.has(mine[0], f)), 4)
                pings = self._batches.pings(network, family, routed=False)
                if pings is None:
                    continue
                far = (uplink.far.switch, uplink.far.number)
                outcomes = self._batches.arriving(mine[0], pings, far)
                arrived = [n for n in others if outcomes.get(n, "") is None]
                if arrived:
                    src, dst = hosts[mine[0]].name, hosts[arrived[0]].name
                    near = (uplink.near.switch, uplink.near.number)
                    yield Crossing(f"{network}: {here} to {there}", *near, src, dst, family, True)
