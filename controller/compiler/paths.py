"""Shortest paths and loop-free alternates, for one destination switch at a time.

Every link costs one hop.  A switch to be avoided costs ``DETACHED`` more when it is crossed
(as IS-IS does with the overload bit, RFC 3787 section 4), so it is used only where nothing
else leads on.  Switches are plain indexes into ``topology.switches``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from topologies.model.topology import Topology

DETACHED = 1 << 20
UNREACHED = 1 << 60


class UTurn(NamedTuple):
    """Frames for the destination that ``via`` gets on port ``entry`` (from the switch that
    could not send them on) leave by ``ports`` of ``via``, never back to where they came from."""

    via: int
    entry: int
    ports: tuple[int, ...]


class Route(NamedTuple):
    """How one switch reaches the destination.

    ``ports``: all ports of all shortest paths. ``alternate``: the port to use when the only
    one of them is dead, or 0. ``uturn``: what the alternate's switch must then do.
    """

    ports: tuple[int, ...]
    alternate: int = 0
    uturn: UTurn | None = None


class Neighbour(NamedTuple):
    """An adjacent switch: our ports to it, and in the same order its ports to us."""

    switch: int
    ports: tuple[int, ...]
    theirs: tuple[int, ...]


def _neighbour(switch: int, pairs: list[tuple[int, int]]) -> Neighbour:
    pairs.sort()
    return Neighbour(switch, tuple(ours for ours, _ in pairs), tuple(theirs for _, theirs in pairs))


Hops = list[tuple[int, tuple[int, ...]]]
"""The next switches of all shortest paths, with the ports to them."""


class Graph:
    """The neighbours of each switch, with the ports between them; computed once for each compilation."""

    def __init__(
        self,
        topology: Topology,
        down_links: frozenset[str] = frozenset(),
        avoid: frozenset[str] = frozenset(),
    ) -> None:
        self.names = tuple(switch.name for switch in topology.switches)
        index = {name: number for number, name in enumerate(self.names)}
        between: list[dict[int, list[tuple[int, int]]]] = [{} for _ in self.names]
        for link in topology.links:
            if link.name in down_links or link.a.switch == link.b.switch:
                continue
            a, b = index[link.a.switch], index[link.b.switch]
            between[a].setdefault(b, []).append((link.a.number, link.b.number))
            between[b].setdefault(a, []).append((link.b.number, link.a.number))
        self.neighbours = [
            [_neighbour(other, pairs) for other, pairs in sorted(links.items())] for links in between
        ]
        self.adjacent = [frozenset(links) for links in between]
        self.avoid = frozenset(index[name] for name in avoid if name in index)

    def distances(self, destination: int) -> list[int]:
        """Cost from every switch to the destination, ``UNREACHED`` where there is no path."""
        distance = [UNREACHED] * len(self.names)
        distance[destination] = 0
        if self.avoid:
            return self._distances_avoiding(destination, distance)
        frontier, cost = [destination], 0
        while frontier:
            cost += 1
            following = []
            for switch in frontier:
                for other in self.adjacent[switch]:
                    if distance[other] == UNREACHED:
                        distance[other] = cost
                        following.append(other)
            frontier = following
        return distance

    def _distances_avoiding(self, destination: int, distance: list[int]) -> list[int]:
        queue = [(0, destination)]
        while queue:
            cost, switch = heappop(queue)
            if cost > distance[switch]:
                continue
            step = cost + self._crossing(switch, destination)
            for other in self.adjacent[switch]:
                if step < distance[other]:
                    distance[other] = step
                    heappush(queue, (step, other))
        return distance

    def _crossing(self, switch: int, destination: int) -> int:
        return DETACHED if switch in self.avoid and switch != destination else 1

    def routes(self, destination: int) -> list[Route | None]:
        """Every switch's route to ``destination``; None for itself and where there is no path."""
        distance = self.distances(destination)
        hops = [self.hops(switch, destination, distance) for switch in range(len(self.names))]
        return [
            self._route(switch, destination, distance, hops) if hops[switch] else None
            for switch in range(len(self.names))
        ]

    def routes_of(
        self, switches: Iterable[int], destination: int, distance: list[int]
    ) -> Iterator[tuple[int, Route | None]]:
        """The routes of some switches alone; ``distance``: that to the destination."""
        hops = _Hops(self, destination, distance)
        for switch in switches:
            yield switch, self._route(switch, destination, distance, hops) if hops[switch] else None

    def within_two_hops(self, switch: int) -> frozenset[int]:
        """The switches whose routes can depend on this one's distances, or on its links."""
        near = {switch, *self.adjacent[switch]}
        return frozenset(near.union(*(self.adjacent[other] for other in near)))

    def hops(self, switch: int, destination: int, distance: list[int]) -> Hops:
        """The neighbours that all shortest paths lead through, with the ports to them."""
        mine = distance[switch]
        if mine == 0 or mine == UNREACHED:
            return []
        if not self.avoid:
            return [(other, ports) for other, ports, _ in self.neighbours[switch] if distance[other] < mine]
        return [
            (other, ports)
            for other, ports, _ in self.neighbours[switch]
            if distance[other] + self._crossing(other, destination) == mine
        ]

    def _route(
        self,
        switch: int,
        destination: int,
        distance: list[int],
        hops: Sequence[Hops] | _Hops,
    ) -> Route:
        mine = hops[switch]
        ports = (
            mine[0][1]
            if len(mine) == 1
            else tuple(sorted(port for _, neighbour_ports in mine for port in neighbour_ports))
        )
        if len(ports) > 1:
            return Route(ports)
        primary = mine[0][0]
        side = self._loop_free_alternates(switch, primary, distance)
        if side:
            # spread destinations over the candidates
            return Route(ports, side[destination % len(side)])
        return self._uturn_route(switch, destination, distance, hops, ports)

    def _loop_free_alternates(self, switch: int, shun: int, distance: list[int]) -> list[int]:
        """Ports to loop-free alternates (RFC 5286, inequality 1): neighbours no farther from the
        destination than we are, hence not sending through us. Those that are not next to
        ``shun``, the primary (inequality 3, node protection), are preferred."""
        mine = distance[switch]
        link: list[int] = []
        node: list[int] = []
        for other, ports, _ in self.neighbours[switch]:
            if other == shun or distance[other] > mine or other in self.avoid:
                continue
            (link if shun in self.adjacent[other] else node).append(ports[0])
        return node or link

    def _uturn_route(
        self,
        switch: int,
        destination: int,
        distance: list[int],
        hops: Sequence[Hops] | _Hops,
        ports: tuple[int, ...],
    ) -> Route:
        """A U-turn alternate (draft-atlas-ip-local-protect-uturn): a farther neighbour that has
        another way than through us, and takes it for frames that come from us."""
        mine = distance[switch]
        alternates = []
        for other, to_it, to_me in self.neighbours[switch]:
            if distance[other] <= mine or other in self.avoid:
                continue
            onward = [
                port
                for hop, neighbour_ports in hops[other]
                if hop != switch and distance[hop] <= mine
                for port in neighbour_ports
            ]
            if not onward:
                # or its own sideways neighbour, unless that one may turn to us
                side = [
                    neighbour_ports[0]
                    for hop, neighbour_ports, _ in self.neighbours[other]
                    if hop not in self.adjacent[switch]
                    and hop != switch
                    and distance[hop] <= distance[other]
                    and hop not in self.avoid
                ]
                onward = side[:1]
            if onward:
                alternates.append((to_it[0], UTurn(other, to_me[0], tuple(sorted(onward)))))
        if not alternates:
            return Route(ports)
        alternate, uturn = alternates[destination % len(alternates)]
        return Route(ports, alternate, uturn)


class _Hops(dict[int, Hops]):
    """Those of each switch that somebody asks for."""

    def __init__(self, graph: Graph, destination: int, distance: list[int]) -> None:
        super().__init__()
        self._graph, self._destination, self._distance = graph, destination, distance

    def __missing__(self, switch: int) -> Hops:
        hops = self[switch] = self._graph.hops(switch, self._destination, self._distance)
        return hops
