"""The tables of a lab with links cut, made from those of the whole lab: only what a cut changes is made anew.

Only table FORWARD, its groups and the trees of broadcasts depend on links. A route depends on distances and
links at most two hops away (see ``controller.compiler.paths``), so a cut can change routes only within two
hops of the cut link, and of switches that are farther from the destination than before. A tree changes only
when one of its own links is cut. The result equals that of ``controller.compiler.compile.compile_topology``
(but for ``same_tags``), and shares with the whole lab all that is equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple

from controller.compiler.broadcast import Tree
from controller.compiler.compile import tables_of
from controller.compiler.forwarding import Forwarding, sorted_groups
from controller.compiler.paths import UNREACHED, Graph, Route
from controller.compiler.view import LabView
from controller.flow.tables import Flow, Group, SwitchTables
from topologies.model.topology import Topology


class _Lead(NamedTuple):
    """What leads from one switch to another one: flows and groups there; and at the switch ``via`` flows and
    groups for frames that are turned back there (-1: at none)."""

    direct: tuple[Flow, ...]
    groups: tuple[Group, ...]
    via: int = -1
    turned: tuple[Flow, ...] = ()
    turned_groups: tuple[Group, ...] = ()


class Recompiler:
    """Compiles one lab with any of its links cut. ``tables``: of the whole lab.

    ``same_tags``: a tree of broadcasts that changes keeps its tag on links. A network's tags are those of no
    other one, so all frames go as with the tag that the tree gets, and switches where the tree stays have the
    same tables. For tables that are looked at, and not for switches that change one after the other.
    """

    def __init__(self, topology: Topology, same_tags: bool = False) -> None:
        self._topology = topology
        self._same_tags = same_tags
        lab = LabView.of(topology)
        self.tables = {
            switch.name: tables_of(lab, index, switch) for index, switch in enumerate(topology.switches)
        }
        self._graph = Graph(topology)
        whole = lab.forwarding
        self._nodes = whole.nodes
        self._broadcasts, self._trees = lab.broadcasts, lab.trees
        self._scratch = Forwarding(self._graph, whole.nodes, whole.isolate, whole.chained)
        self._leads: dict[tuple[int, int, Route | None], _Lead] = {}
        self._ends = [number for number, node in enumerate(whole.nodes) if node.stations or node.tags]
        self._distances = {end: self._graph.distances(end) for end in self._ends}
        self._near = [self._graph.within_two_hops(number) for number in range(len(whole.nodes))]
        self._routes = {end: self._graph.routes(end) for end in self._ends}
        # per switch: destination -> what leads there; (destination, from where) -> what is turned back
        self._direct: list[dict[int, _Lead]] = [{} for _ in whole.nodes]
        self._turned: list[dict[tuple[int, int], _Lead]] = [{} for _ in whole.nodes]
        for end in self._ends:
            for switch, route in enumerate(self._routes[end]):
                lead = self._direct[switch][end] = self._lead(switch, end, route)
                if lead.via >= 0:
                    self._turned[lead.via][end, switch] = lead
        # per switch: its flows before and after those that depend on links, and its other groups
        self._frames = [
            self._frame(number, self.tables[switch.name], whole)
            for number, switch in enumerate(topology.switches)
        ]

        self.tables = {
            switch.name: self.tables[switch.name] if switch.role == "vtep" else self._tables(number, {}, {})
            for number, switch in enumerate(topology.switches)
        }

    def __call__(self, down_links: frozenset[str]) -> dict[str, SwitchTables]:
        """The tables with these links down. Switches for which nothing changes have the same objects as in
        the whole lab."""
        graph = Graph(self._topology, down_links)
        ends = [
            (index, switch)
            for link in self._topology.links
            if link.name in down_links
            for index, switch in ((self._number(link.a.switch), self._number(link.b.switch)),)
        ]
        direct: dict[int, dict[int, _Lead]] = {}
        turned: dict[int, dict[tuple[int, int], _Lead | None]] = {}
        beside = frozenset(chain.from_iterable(self._near[number] for pair in ends for number in pair))
        for end in self._ends:
            before = self._distances[end]
            distance, moved = self._farther(graph, end, before, ends)
            near = beside.union(*[self._near[number] for number in moved]) if moved else beside
            routes = self._routes[end]
            for switch, route in graph.routes_of(near, end, distance):
                old = routes[switch]
                if route == old:
                    continue
                lead = self._lead(switch, end, route)
                direct.setdefault(switch, {})[end] = lead
                was = self._direct[switch][end]
                if was.via >= 0:
                    turned.setdefault(was.via, {})[end, switch] = None
                if lead.via >= 0:
                    turned.setdefault(lead.via, {})[end, switch] = lead
        trees = self._trees_without(down_links, graph)
        felled = frozenset[int]() if trees is self._trees else self._moved(trees)
        tables = dict(self.tables)
        for number in direct.keys() | turned.keys() | felled:
            name = graph.names[number]
            if self._topology.switches[number].role != "vtep":
                copying = self._broadcasts.flows(number, trees) if number in felled else None
                tables[name] = self._tables(number, direct.get(number, {}), turned.get(number, {}), copying)
        return tables

    def _trees_without(self, down_links: frozenset[str], graph: Graph) -> Mapping[int, Tree]:
        """The trees of broadcasts: the same object where none of the links is in a tree."""
        ends = {
            (self._number(link.a.switch), link.a.number)
            for link in self._topology.links
            if link.name in down_links
        }
        if any(port in tree.ports.get(at, ()) for tree in self._trees.values() for at, port in ends):
            trees = self._broadcasts.trees(graph)
            if not self._same_tags:
                return trees
            return {number: tree._replace(tag=self._trees[number].tag) for number, tree in trees.items()}
        return self._trees

    def _moved(self, trees: Mapping[int, Tree]) -> frozenset[int]:
        """The switches whose part of a tree has changed: its links there, or its tag."""
        return frozenset(
            switch
            for number, tree in trees.items()
            for before in (self._trees[number],)
            if tree != before
            for switch in (*tree.ports, *before.ports)
            if tree.tag != before.tag or tree.ports.get(switch) != before.ports.get(switch)
        )

    def _number(self, switch: str) -> int:
        return self._graph.names.index(switch)

    @staticmethod
    def _farther(
        graph: Graph, end: int, before: list[int], cut: list[tuple[int, int]]
    ) -> tuple[list[int], list[int]]:
        """The distances to a switch, and the switches for which they are not as before. They are as before
        where each cut link's farther end has another next switch of the same distance."""
        for pair in cut:
            near, far = sorted(pair, key=before.__getitem__)
            if before[near] == before[far] or far in graph.adjacent[near] or before[far] == UNREACHED:
                continue
            if not any(before[other] < before[far] for other in graph.adjacent[far]):
                distance = graph.distances(end)
                return distance, [n for n, (a, b) in enumerate(zip(before, distance, strict=True)) if a != b]
        return before, []

    def _lead(self, switch: int, end: int, route: Route | None) -> _Lead:
        key = (switch, end, route)
        lead = self._leads.get(key)
        if lead is None:
            if switch == end:
                # its own stations: their flows don't depend on links
                lead = _Lead((), ())
            else:
                self._scratch.lead(switch, end, route)
                via = route.uturn.via if route is not None and route.uturn is not None else -1
                direct, turned, groups, others = self._scratch.taken(switch, via if via >= 0 else switch)
                if via < 0:
                    lead = _Lead(tuple(direct), tuple(groups))
                else:
                    lead = _Lead(tuple(direct), tuple(groups), via, tuple(turned), tuple(others))
            self._leads[key] = lead
        return lead

    def _frame(self, number: int, tables: SwitchTables, whole: Forwarding) -> _Frame:
        if self._topology.switches[number].role == "vtep":
            return _Frame(tables.flows, (), (), tables.groups, (), ())
        along, copying = self._broadcasts.flows(number, self._trees)
        inside = len(whole.turned[number]) + len(whole.direct[number])
        local = [flow for end in self._ends if end == number for flow in self._local(end, whole)]
        last = whole.last()
        if inside:
            first = (whole.turned[number] or whole.direct[number])[0]
            begin = next(at for at, flow in enumerate(tables.flows) if flow is first)
        else:
            begin = next(at for at, flow in enumerate(tables.flows) if flow is last[0])
        ours = {group.id for group in (*whole.groups[number], *copying)}
        return _Frame(
            tables.flows[: begin - len(along)],
            tables.flows[begin + inside :],
            tuple(local),
            tuple(group for group in tables.groups if group.id not in ours),
            tables.flows[begin - len(along) : begin],
            tuple(group for group in tables.groups if group.id in {copy.id for copy in copying}),
        )

    def _local(self, end: int, whole: Forwarding) -> list[Flow]:
        """The flows to a switch's own stations, as it has them."""
        before = sum(len(self._direct[end][other].direct) for other in self._ends if other < end)
        after = sum(len(self._direct[end][other].direct) for other in self._ends if other > end)
        return whole.direct[end][before : len(whole.direct[end]) - after]

    def _tables(
        self,
        number: int,
        direct: dict[int, _Lead],
        turned: dict[tuple[int, int], _Lead | None],
        copying: tuple[list[Flow], list[Group]] | None = None,
    ) -> SwitchTables:
        frame, known = self._frames[number], self._direct[number]
        along, members = (frame.along, frame.members) if copying is None else copying
        flows: list[Flow] = [*frame.before, *along]
        groups: list[Group] = [*frame.groups, *members]
        turning: dict[tuple[int, int], _Lead | None] = {**self._turned[number], **turned}
        for key in sorted(turning):
            lead = turning[key]
            if lead is not None:
                flows += lead.turned
                groups += lead.turned_groups
        for end in self._ends:
            lead = direct.get(end) or known[end]
            flows += frame.local if end == number else lead.direct
            groups += lead.groups
        flows += frame.after
        held = self.tables[self._graph.names[number]]
        now = SwitchTables(held.switch, held.dpid, tuple(flows), sorted_groups(groups), held.meters)
        return held if (direct or turned or copying) and now == held else now


class _Frame(NamedTuple):
    """A switch's flows ``before`` and ``after`` those that depend on links, and ``local`` ones among these;
    its other groups. ``along``: flows of the trees of broadcasts; ``members``: their groups."""

    before: tuple[Flow, ...]
    after: tuple[Flow, ...]
    local: tuple[Flow, ...]
    groups: tuple[Group, ...]
    along: tuple[Flow, ...]
    members: tuple[Group, ...]
