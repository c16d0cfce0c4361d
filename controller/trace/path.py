"""The way of a frame through the tables of a lab, step by step.

``explain`` evaluates nothing itself: ``controller.simulate`` does, and notes what it sees. So an explained
way and an evaluated one can't differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from controller.flow.tables import CONTROLLER, Bucket, Ct, Flow, Group, SwitchTables, Table
from controller.simulate.hashes import symmetric
from controller.simulate.network import Fabric, Frame, Lookup
from controller.simulate.notes import Chosen, Missed, Note, NotSent, Tracked
from controller.simulate.switch import Sent, wire
from controller.simulate.tracking import Connections
from controller.trace.places import Passage, Ways
from topologies.model.places import Entity
from topologies.model.topology import Port, Topology

Taken = Mapping[tuple[str, int], int]
"""A switch and a group -> the number of the bucket, from 0, that is known to have been chosen."""
NOTHING_TAKEN: Taken = {}
MOST_HOPS = 400
"""Hops of one trace, in all copies: a flood in a large lab ends here."""


@dataclass(frozen=True)
class Copy:
    """A frame that left a switch: as it is on the wire, where it went, and what came of it there.

    ``hop``: the switch that gets it next; None where ``passage`` is its end.
    """

    port: Port
    frame: Frame
    passage: Passage
    hop: Hop | None = None


@dataclass(frozen=True)
class Hop:
    """What one switch did with a frame that came in ``at`` a port, by ``came``: the notes in order, and what
    it sent. ``fault``: why this was not evaluated (a loop, an impossible frame); else empty."""

    at: Port
    came: Passage
    frame: Frame
    notes: tuple[Note, ...] = ()
    copies: tuple[Copy, ...] = ()
    fault: str = ""

    @property
    def tracked(self) -> tuple[int, ...]:
        """The state (ct_state) that each pass of connection tracking told, in order."""
        return tuple(note.state for note in self.notes if isinstance(note, Tracked) and note.state)

    @property
    def lookups(self) -> tuple[tuple[Table, Flow | None], ...]:
        """The tables that it was looked up in, each with the flow that matched; None: no flow did."""
        looked_up: list[tuple[Table, Flow | None]] = []
        for note in self.notes:
            if isinstance(note, Flow):
                looked_up.append((note.table, note))
            elif isinstance(note, Missed):
                looked_up.append((note.table, None))
        return tuple(looked_up)


class Stop(NamedTuple):
    """Why a frame went no further: the switch, the reason in words, and the flow that caused it, if any."""

    switch: str
    why: str
    flow: Flow | None = None

    @property
    def entity(self) -> Entity | None:
        """What in the topology file is the nearest reason for it."""
        return None if self.flow is None else self.flow.origin.entity


@dataclass(frozen=True)
class Trace:
    """A frame's whole way, from the port where it came in."""

    frame: Frame
    hop: Hop

    def hops(self) -> Iterator[Hop]:
        """All hops, each before those that follow from it."""
        ahead = [self.hop]
        while ahead:
            hop = ahead.pop()
            yield hop
            ahead += [copy.hop for copy in reversed(hop.copies) if copy.hop is not None]

    def ends(self) -> Iterator[Copy]:
        """The copies that left the switches: to hosts, taps, the controller, or into what fails."""
        for hop in self.hops():
            yield from (copy for copy in hop.copies if copy.hop is None)

    def delivered(self) -> tuple[Copy, ...]:
        """The copies that got to hosts and other end systems."""
        return tuple(copy for copy in self.ends() if copy.passage.kind == "host")

    def stops(self) -> tuple[Stop, ...]:
        """Why copies that got nowhere did so."""
        return tuple(stop for hop in self.hops() if (stop := stopped(hop)) is not None)


def stopped(hop: Hop) -> Stop | None:
    """Why a frame went no further than this switch; None if it did."""
    switch = hop.at.switch
    if hop.fault:
        return Stop(switch, hop.fault)
    dead = next((copy for copy in hop.copies if copy.passage.kind == "broken"), None)
    if dead is not None:
        return Stop(switch, f"{dead.passage.name} does not work")
    if any(copy.passage.kind not in ("controller", "tap") for copy in hop.copies):
        return None
    flow = next((note for note in reversed(hop.notes) if isinstance(note, Flow)), None)
    for note in reversed(hop.notes):
        if isinstance(note, Missed):
            return Stop(switch, f"no flow of table {note.table.name} matches")
        if isinstance(note, NotSent):
            return Stop(switch, note.why, flow)
        if isinstance(note, Tracked) and not note.state:
            return Stop(switch, "it waits for the other fragments of its datagram", flow)
        if isinstance(note, Flow):
            break
    if any(copy.passage.kind == "controller" for copy in hop.copies):
        return Stop(switch, "the controller gets it" + (f": {flow.why}" if flow else ""), flow)
    return Stop(switch, flow.why or f"a flow of table {flow.table.name} drops it", flow) if flow else None


_OF_CONNECTIONS = ("ct_nw", "ct_ipv6", "ct_tp", "ct_mark")


def as_openvswitch_traces(hop: Hop) -> tuple[tuple[Flow | Missed, ...], bool]:
    """The lookups of a hop that ``ofproto/trace`` tells, too; and whether these are all.

    Its trace does not know which bucket the datapath will choose, translates no addresses, and gives a
    tracked packet neither the tuple of its connection nor a mark: it goes on differently from there.
    """
    lookups: list[Flow | Missed] = []
    for note in hop.notes:
        if isinstance(note, Chosen) and (note.ways > 1 or note.group.fields):
            return tuple(lookups), False
        if isinstance(note, Missed):
            lookups.append(note)
        elif isinstance(note, Flow):
            if any(field.name.startswith(_OF_CONNECTIONS) for field in note.match):
                return tuple(lookups), False
            lookups.append(note)
            tracked = [action for action in note.actions if isinstance(action, Ct)]
            if any(action.nat is not None or action.mark is not None for action in tracked):
                return tuple(lookups), False
    return tuple(lookups), True


def explain(
    topology: Topology,
    tables: Mapping[str, SwitchTables | Lookup],
    frame: Frame,
    at: Port,
    dead_links: frozenset[str] = frozenset(),
    failed: frozenset[str] = frozenset(),
    connections: Connections | None = None,
    turn: int = 0,
    taken: Taken = NOTHING_TAKEN,
) -> Trace:
    """The way of a frame that comes in at a port of a switch.

    ``tables``: of each switch. ``dead_links``, ``failed``: links and functions' instances that don't work.
    ``connections``: those that the switches know, which change; explain an answer with those of its question.
    The share of a connection is that of Open vSwitch's hash. Of a select group's buckets that work the one of
    number ``turn`` is taken (from 0; beyond the last, the first comes again), and its note says that it is
    one of several. ``taken``: the buckets of groups of which it is known.
    """
    known = Connections() if connections is None else connections
    fabric = Fabric(topology, tables, dead_links, failed, symmetric, known)
    walk = _Walk(fabric, Ways(topology, failed), turn, taken)
    return Trace(frame, walk.hop(frame, at, walk.ways.into(at), frozenset()))


class _Walk:
    def __init__(self, fabric: Fabric, ways: Ways, turn: int, taken: Taken) -> None:
        self.fabric, self.ways, self.turn, self.taken = fabric, ways, turn, taken
        self.switch = ""
        self.left = MOST_HOPS

    def hop(self, frame: Frame, at: Port, came: Passage, before: frozenset[object]) -> Hop:
        state = (at, wire(frame))
        if state in before:
            return Hop(at, came, frame, fault="it has been here already: it goes round in a loop")
        self.left -= 1
        if self.left < 0:
            return Hop(
                at, came, frame, fault=f"it has more than {MOST_HOPS} hops: they are not followed further"
            )
        self.switch = at.switch
        try:
            sent, notes = self.fabric.noted(frame, at, self.pick)
        except ValueError as error:
            return Hop(at, came, frame, fault=str(error))
        notes = [self.known(at.switch, note) for note in notes]
        copies = tuple(copy for out in sent for copy in self.copies(at.switch, out, before | {state}))
        return Hop(at, came, frame, tuple(notes), copies)

    def pick(self, group: Group, live: list[Bucket], frame: Frame) -> tuple[Bucket, int]:
        number = self.taken.get((self.switch, group.id))
        if number is not None and number < len(group.buckets) and group.buckets[number] in live:
            return group.buckets[number], len(live)
        return live[self.turn % len(live)], len(live)

    def known(self, switch: str, note: Note) -> Note:
        """The note, which says of a bucket whether it is known."""
        if isinstance(note, Chosen) and self.taken.get((switch, note.group.id)) == note.bucket:
            return note._replace(taken=True)
        return note

    def copies(self, switch: str, sent: Sent, before: frozenset[object]) -> Iterator[Copy]:
        fields = wire(sent.frame)
        port = Port(switch=switch, number=sent.port)
        if sent.port == CONTROLLER:
            yield Copy(port, dict(fields), Passage("controller", "the controller"))
            return
        onward = self.fabric.onward(port, sent)
        if onward is None:
            yield Copy(port, dict(fields), self.ways.out_of(port))
        elif not onward:
            yield Copy(port, dict(fields), Passage("broken", self.ways.out_of(port).name))
        for far, tag in onward or ():
            passage = self.ways.between(port, far, dict(tag))
            next_frame = {**dict(fields), **dict(tag)}
            yield Copy(port, dict(fields), passage, self.hop(next_frame, far, passage, before))
