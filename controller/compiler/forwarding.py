"""Table FORWARD: the path to every station, repaired without the controller when a link dies.

A remote station's flow sends out of the one port that leads there, or to a group when there is
a choice: ``select`` over equal paths, or ``ff`` (fast failover) over the path and an alternate.
The group's number is that of the destination switch, so when a path changes, one group changes
and the flows stay.

Frames on their way to a hop have select groups of their own, whose bucket a hash of ``BY_ADDRESSES`` chooses.
Among them are copies, which a flow makes with Open vSwitch's action clone.  Where a group in a clone has no
fields, the datapath hashes; Open vSwitch 3.1 then drops what follows the clone: the frame itself.

Ethernet frames have no hop limit, so a detour must never meet another detour: a frame on
its way round a dead link carries a mark, the I/G bit of its source address (always 0 in a valid
frame; cleared again before the frame leaves for a host).  CLASSIFY copies the mark to
DETOURED, and no alternate takes a marked frame.  So each hop brings a marked frame closer to its destination,
and it cannot loop, however many links die at once.

An alternate's bucket drops marked frames by a rule of OpenFlow (1.5.1, 5.10: a frame never leaves by its
ingress port, unless by IN_PORT).  The bucket writes ``in_port`` so that it equals the output port exactly
when the mark is set.  This also lets an unmarked frame turn back to where it came from.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from controller.compiler.paths import Graph, Route
from controller.compiler.sff.encapsulation import VLAN_PRESENT, Tag
from controller.compiler.stations import Station
from controller.flow.builders import DETOURED, NETWORK, OUT_PORT, Priority, flow, miss
from controller.flow.tables import Action, Bucket, Field, Flow, Group, Move, Output, SetField, Table, ToGroup
from controller.origin import Origin
from topologies.model.places import Entity
from wire.mac import GROUP_BIT

TRAVELLING_TURNED = 600
TRAVELLING = 500
"""Priorities for frames on their way to a hop of a chain: their tag leads them, not their addresses."""
TURNED = 300
DIRECT = 200

_MISS = miss(Table.FORWARD, None, "no such station: dropped")
_LOST = flow(
    Table.FORWARD,
    TRAVELLING - 1,
    (Field(NETWORK, 0), Field("vlan_vid", VLAN_PRESENT, VLAN_PRESENT)),
    why="on its way to no hop that there is: dropped",
)
_UNMARK = SetField("eth_src", 0, GROUP_BIT)
_VARIANT = 1 << 16
_TRAVELLING_GROUP = 1 << 29
"""Added to the number of a group for frames on their way to a hop."""
BY_ADDRESSES = ("eth_src", "eth_dst")


def group_id(destination: int, turned_from: int | None = None) -> int:
    """Number of the group towards a switch. Frames that the switch ``turned_from`` turned back have another
    group."""
    return destination + 1 if turned_from is None else (turned_from + 1) * _VARIANT + destination + 1


def primary(port: int) -> Bucket:
    """A bucket that is used while its port is up."""
    return Bucket((Output(port),), port)


def detour(port: int) -> Bucket:
    """A bucket that marks the frame, and drops frames that have the mark already (see the module's text)."""
    bit = (port & -port).bit_length() - 1
    actions: tuple[Action, ...] = (
        SetField("in_port", port),
        Move(DETOURED, "in_port", 1, 0, bit),
        SetField("eth_src", GROUP_BIT, GROUP_BIT),
        Output(port),
    )
    return Bucket(actions, port)


def _action(number: int) -> Action:
    """A port's number, or a group's negated, as the action."""
    return Output(number) if number > 0 else ToGroup(-number)


class Node(NamedTuple):
    """What table FORWARD needs of one switch. ``island``: see ``topologies.model.overlay``."""

    island: int
    networks: frozenset[int]
    """The networks that frames of its hosts may be in, before and after routing."""
    stations: Sequence[Station] = ()
    """What is at its ports."""
    tags: Sequence[Tag] = ()
    """Of its hops that frames come to from other switches."""
    uplinks: Mapping[int, int] = {}
    """Network -> port of the uplink to the overlay."""
    transports: Mapping[int, int] = {}
    """Hop on another island -> port of the uplink that leads to it."""
    firewalled: Container[int] = ()
    """Host ports that a frame leaves by only through table ADMIT."""


class Forwarding:
    """Collects the FORWARD flows and groups of all switches; switches share equal ones."""

    def __init__(self, graph: Graph, nodes: Sequence[Node], isolate: bool, chained: bool) -> None:
        self.graph = graph
        self.nodes = nodes
        self.isolate = isolate
        self.chained = chained
        count = len(graph.names)
        self.direct: list[list[Flow]] = [[] for _ in range(count)]
        self.turned: list[list[Flow]] = [[] for _ in range(count)]
        self.groups: list[list[Group]] = [[] for _ in range(count)]
        self._flows: dict[tuple[int, ...], Flow] = {}
        self._buckets: dict[tuple[int, ...], tuple[Bucket, ...]] = {}

    def add(self, destination: int) -> None:
        """Everything on every switch for the stations of one switch, and for the hops there."""
        node = self.nodes[destination]
        for station in node.stations:
            for gate in self._gates(destination, station.network):
                self.direct[destination].append(self._local(destination, station, gate))
        for switch, route in enumerate(self.graph.routes(destination)):
            self.lead(switch, destination, route)

    def lead(self, switch: int, destination: int, route: Route | None) -> None:
        """Everything that leads from one switch to another one's stations and hops; None: no path does."""
        if route is not None:
            self._remote(switch, destination, route)
        elif switch != destination:
            node, sender = self.nodes[destination], self.nodes[switch]
            if sender.uplinks:
                self._beyond_links(switch, destination)
            for tag in node.tags if sender.island != node.island else ():
                if tag.hop in sender.transports:
                    out = Output(sender.transports[tag.hop])
                    self.direct[switch].append(self._travelling(tag, destination, 0, out))

    def taken(self, switch: int, via: int) -> tuple[list[Flow], list[Flow], list[Group], list[Group]]:
        """What was collected at two switches, which they don't have any more: the first one's direct flows,
        the second one's flows of frames that were turned back, and the groups of each."""
        taken = self.direct[switch], self.turned[via], self.groups[switch], self.groups[via]
        self.direct[switch], self.turned[via], self.groups[switch], self.groups[via] = [], [], [], []
        return taken

    def flows(self, switch: int) -> list[Flow]:
        """Its FORWARD table."""
        return [*self.turned[switch], *self.direct[switch], *self.last()]

    def last(self) -> tuple[Flow, ...]:
        """What every FORWARD table ends with."""
        return (_LOST, _MISS) if self.chained else (_MISS,)

    def _gates(self, switch: int, network: int) -> tuple[int, ...]:
        """The values of NETWORK with which a frame may go to a station of ``network``; -1: any.

        A frame in transit (0) was checked where it entered. Of the frames from this switch's own hosts only
        those of the same network may pass. In a lab with chains, a function may let a frame out into any
        network: both values are always there, so that these flows stay the same when a chain changes.
        """
        if self.chained and self.isolate:
            return (0, network)
        here = self.nodes[switch].networks
        if not self.isolate or here <= {network}:
            return (-1,)
        return (0, network) if network in here else (0,)

    def _local(self, switch: int, station: Station, gate: int) -> Flow:
        if station.port in self.nodes[switch].firewalled:
            match: tuple[Field, ...] = (Field("eth_dst", station.mac),)
            if gate >= 0:
                match = (Field(NETWORK, gate), *match)
            actions = (_UNMARK, SetField(OUT_PORT, station.port))
            why = f"to {station.name} on {station.switch}, if its firewall admits it"
            entity = station.entity
            return flow(Table.FORWARD, DIRECT, match, actions, Table.ADMIT, why=why, entity=entity)
        return self._flow(station, gate, 0, station.port, (_UNMARK, Output(station.port)))

    def _remote(self, switch: int, destination: int, route: Route) -> None:
        stations, tags = self.nodes[destination].stations, self.nodes[destination].tags
        number = -group_id(destination)
        travelling: Action | None = None
        if len(route.ports) > 1:
            if stations:
                self._select(switch, -number, route.ports, destination, "equal paths")
            travelling = self._select_travelling(switch, -number, route.ports, destination, tags)
        elif route.alternate:
            self._failover(switch, destination, route.ports[0], route.alternate)
        else:
            number = route.ports[0]
        action = _action(number)
        direct = self.direct[switch]
        for station in stations:
            for gate in self._gates(switch, station.network):
                direct.append(self._flow(station, gate, 0, number, (action,)))
        direct += [self._travelling(tag, destination, 0, travelling or action) for tag in tags]
        if route.uturn is None:
            return
        via, entry, ports = route.uturn
        number = ports[0]
        travelling = None
        if len(ports) > 1:
            number = -group_id(destination, switch)
            if stations:
                self._select(via, -number, ports, destination, f"not by {self.graph.names[switch]}")
            travelling = self._select_travelling(via, -number, ports, destination, tags)
        turn = _action(number)
        for station in stations:
            self.turned[via].append(self._flow(station, -1, entry, number, (turn,)))
        self.turned[via] += [self._travelling(tag, destination, entry, travelling or turn) for tag in tags]

    def _beyond_links(self, switch: int, destination: int) -> None:
        """Flows to a switch that no link leads to. A switch of another island is reached by the uplink; a
        switch of the same island is cut off, and its frames are dropped."""
        sender, node = self.nodes[switch], self.nodes[destination]
        same = sender.island == node.island
        for station in node.stations:
            uplink = sender.uplinks.get(station.network)
            if uplink is None:
                continue
            match = (Field(NETWORK, station.network), Field("eth_dst", station.mac))
            why = f"to {station.name} on {station.switch}"
            actions = () if same else (Output(uplink),)
            why += ": all links to it are down" if same else ", over the overlay"
            self.direct[switch].append(
                flow(Table.FORWARD, Priority.KNOWN, match, actions, why=why, entity=station.entity)
            )

    def _travelling(self, tag: Tag, destination: int, entry: int, action: Action) -> Flow:
        """The flow for frames on their way to a hop. It matches NETWORK 0, which no host's own frame has."""
        came = (Field("in_port", entry),) if entry else ()
        match = (*came, Field(NETWORK, 0), *tag.match())
        why = f"to hop {tag.hop} at {self.graph.names[destination]}"
        if entry:
            why += ", turned back here by a neighbour whose link is dead"
        priority = TRAVELLING_TURNED if entry else TRAVELLING
        return flow(Table.FORWARD, priority, match, (action,), why=why, entity=tag.entity)

    def _flow(
        self, station: Station, gate: int, entry: int, number: int, actions: tuple[Action, ...]
    ) -> Flow:
        """``number`` stands for the actions: the port, or the group's number negated."""
        key = (station.mac, gate, entry, number, len(actions))
        shared = self._flows.get(key)
        if shared is None:
            match: tuple[Field, ...] = (Field("eth_dst", station.mac),)
            if gate >= 0:
                match = (Field(NETWORK, gate), *match)
            if entry:
                match = (Field("in_port", entry), *match)
            why = f"to {station.name} on {station.switch}"
            if entry:
                why += ", turned back here by a neighbour whose link is dead"
            elif gate > 0:
                why += ", from its own network"
            priority = TURNED if entry else DIRECT
            shared = flow(Table.FORWARD, priority, match, actions, why=why, entity=station.entity)
            self._flows[key] = shared
        return shared

    def _select(self, switch: int, number: int, ports: tuple[int, ...], destination: int, note: str) -> None:
        buckets = self._buckets.get(ports)
        if buckets is None:
            buckets = self._buckets[ports] = tuple(map(primary, ports))
        why = self._towards(destination, note)
        self.groups[switch].append(Group(number, "select", buckets, why))

    def _select_travelling(
        self, switch: int, number: int, ports: tuple[int, ...], destination: int, tags: Sequence[Tag]
    ) -> Action | None:
        """The action for frames on their way to a hop there, and its group; None where there is no hop."""
        if not tags:
            return None
        number |= _TRAVELLING_GROUP
        buckets = tuple(primary(port)._replace(id=port) for port in ports)
        why = self._towards(destination, "equal paths to its hops")
        self.groups[switch].append(Group(number, "select", buckets, why, BY_ADDRESSES))
        return ToGroup(number)

    def _failover(self, switch: int, destination: int, port: int, alternate: int) -> None:
        # the negative first element keeps these apart from the keys of select groups
        key = (-port, alternate)
        buckets = self._buckets.get(key)
        if buckets is None:
            buckets = self._buckets[key] = (primary(port), detour(alternate))
        why = self._towards(destination, "the shortest path, or round its dead link")
        self.groups[switch].append(Group(group_id(destination), "ff", buckets, why))

    def _towards(self, destination: int, note: str) -> Origin:
        """Of a group towards a switch."""
        name = self.graph.names[destination]
        return Origin(f"to {name}: {note}", entity=Entity("switch", name))


def forward(graph: Graph, nodes: Sequence[Node], isolate: bool, chained: bool) -> Forwarding:
    """FORWARD tables and groups of all switches.

    ``nodes``: the switches, in the graph's order. ``isolate``: the lab has several networks. ``chained``: it
    has service chains.
    """
    forwarding = Forwarding(graph, nodes, isolate, chained)
    for number, node in enumerate(nodes):
        if node.stations or node.tags:
            forwarding.add(number)
    return forwarding


def sorted_groups(groups: Iterable[Group]) -> tuple[Group, ...]:
    return tuple(sorted(groups, key=lambda group: group.id))
