"""What one switch's compiled tables do to a frame: the pipeline evaluated without a switch.

A frame is a mapping of field names (those of ``controller.flow.tables``) to integers; registers that it
does not mention are 0.  ``controller.simulate.network`` joins switches to a fabric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import product
from typing import NamedTuple

from controller.flow.tables import (
    IN_PORT,
    Action,
    Bucket,
    Clone,
    Ct,
    CtClear,
    DecapNsh,
    DecTtl,
    EncapNsh,
    Flow,
    Group,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    Spread,
    SwitchTables,
    Table,
    ToGroup,
    ToMeter,
)
from controller.simulate.fragments import (
    PIPELINE,
    RECIRCULATION,
    batch_of,
    change_each,
    split_batch,
    travelling_fields,
)
from controller.simulate.notes import Chosen, Missed, Note, NotSent, Shared, Tracked
from controller.simulate.shares import told_apart
from controller.simulate.tracking import Connections, choose, cleared
from wire.ethertype import NSH

Frame = Mapping[str, int]
Chooser = Callable[[Frame, int], int]
"""Given a frame and a number of ways: the way that the switch's symmetric hash chooses."""
Picker = Callable[[Group, list[Bucket], Frame], tuple[Bucket, int]]
"""Given a select group, its live buckets (at least one) and a frame: the bucket that it goes to, and of how
many that the switch may take this is one."""
_ZERO = ("reg", "ct_", "ip_frag")
"""How the names of fields begin that are 0 where a frame does not have them."""
_ADDRESSES = ("ip_src", "ip_dst", "ipv6_src", "ipv6_dst")
INSIDE = "inside:"
"""Prefix of the fields of the frame inside NSH: they travel with it, and no flow matches them."""
_NSH = ("eth_src", "eth_dst", "eth_type", "nsh_spi", "nsh_si")


def symmetric(frame: Frame, ways: int) -> int:
    """A hash like Open vSwitch's symmetric_l3l4+udp: equal in both directions of a connection. Its values are
    not Open vSwitch's."""
    hashed = [frame.get("ip_proto", 0)]
    for prefix in ("ip", "ipv6", "tcp", "udp", "sctp"):
        hashed.append(frame.get(f"{prefix}_src", 0) ^ frame.get(f"{prefix}_dst", 0))
    return int.from_bytes(blake2b(repr(hashed).encode(), digest_size=4).digest(), "big") % ways


def wire(frame: Frame) -> tuple[tuple[str, int], ...]:
    """The fields that travel with a frame: no pipeline fields, sorted."""
    return tuple(sorted(travelling_fields(frame).items()))


class Sent(NamedTuple):
    """A frame that left a switch: out of a port, or to the controller (``CONTROLLER``)."""

    port: int
    frame: dict[str, int]


_Asked = tuple[str, int | None, int | None]
"""A field that flows match: its name, their mask, and its value in frames that do not have it."""


class _Shape:
    """The flows of a table that match the same fields with the same masks."""

    def __init__(self, asked: tuple[_Asked, ...]) -> None:
        self.asked = asked
        self.flows: dict[tuple[int, ...], Flow] = {}
        self.highest = -1

    def add(self, values: tuple[int, ...], flow: Flow) -> None:
        if values not in self.flows or self.flows[values].priority < flow.priority:
            self.flows[values] = flow
            self.highest = max(self.highest, flow.priority)


class Lookup:
    """One switch's tables, ready for lookups: per table and per set of masks, a dictionary."""

    def __init__(self, tables: SwitchTables) -> None:
        self.groups = {group.id: group for group in tables.groups}
        self._flows = tables.flows
        self._shares: dict[Spread, tuple[int, ...]] = {}
        shapes: dict[Table, dict[tuple[_Asked, ...], _Shape]] = {}
        for flow in tables.flows:
            asked = tuple((field.name, field.mask, _absent(field.name)) for field in flow.match)
            known = shapes.setdefault(flow.table, {})
            if asked not in known:
                known[asked] = _Shape(asked)
            known[asked].add(tuple([field.value for field in flow.match]), flow)
        self._shapes = {
            table: sorted(known.values(), key=lambda shape: -shape.highest) for table, known in shapes.items()
        }

    def by_cookie(self) -> dict[int, Flow]:
        """The flows by their cookies; equal flows have equal ones."""
        return {flow.cookie: flow for flow in self._flows}

    def find(self, table: Table, frame: Frame) -> Flow | None:
        """The flow of highest priority that matches."""
        best: Flow | None = None
        for shape in self._shapes.get(table, ()):
            if best is not None and best.priority >= shape.highest:
                break
            values = []
            for name, mask, absent in shape.asked:
                value = frame.get(name, absent)
                if value is None:
                    break
                values.append(value if mask is None else value & mask)
            else:
                flow = shape.flows.get(tuple(values))
                if flow is not None and (best is None or flow.priority > best.priority):
                    best = flow
        return best

    def shares(self, action: Spread) -> tuple[int, ...]:
        """Of what ``action`` may write one value of each sort that these tables tell apart."""
        if action not in self._shares:
            self._shares[action] = told_apart(self._flows, self.groups.values(), action.field, action.ways)
        return self._shares[action]


@cache
def _absent(name: str) -> int | None:
    return 0 if name.startswith(_ZERO) else None


class _Way(NamedTuple):
    """One way that a frame can take through a switch: frames sent, the frame as it goes on, and what was
    noted. The frame is empty when tracking keeps it: nothing more happens to it."""

    sent: tuple[Sent, ...]
    frame: dict[str, int]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class _Switch:
    """What stays the same for one frame: tables, dead ports, how connections are spread."""

    tables: Lookup
    dead: frozenset[int]
    chooser: Chooser | None
    connections: Connections | None = None
    picker: Picker | None = None


def at_switch(
    tables: Lookup,
    frame: Frame,
    in_port: int,
    dead: frozenset[int] = frozenset(),
    chooser: Chooser | None = None,
    connections: Connections | None = None,
) -> Iterator[tuple[list[Sent], list[Flow]]]:
    """What one switch does with a frame from ``in_port``: (frames sent, flows that matched) for each way that
    it can take. ``dead``: ports whose link is down. ``chooser`` says how connections are spread over shares;
    without it one share of each sort that the tables tell apart is a way. ``connections``: those that the
    switch knows, which change; with them a select group has one way."""
    for sent, notes in noted_at_switch(tables, frame, in_port, dead, chooser, connections):
        yield sent, [note for note in notes if type(note) is Flow]


def noted_at_switch(
    tables: Lookup,
    frame: Frame,
    in_port: int,
    dead: frozenset[int] = frozenset(),
    chooser: Chooser | None = None,
    connections: Connections | None = None,
    picker: Picker | None = None,
) -> Iterator[tuple[list[Sent], list[Note]]]:
    """The same, with everything that is known about each way. ``picker`` says which bucket of a select group
    is taken."""
    start = dict(frame)
    start["in_port"] = in_port
    for way in _tables(_Switch(tables, dead, chooser, connections, picker), start, Table.CLASSIFY):
        yield list(way.sent), list(way.notes)


def _tables(switch: _Switch, frame: dict[str, int], table: Table) -> Iterator[_Way]:
    sent: tuple[Sent, ...] = ()
    notes: tuple[Note, ...] = ()
    while True:  # while there is one way only, as nearly always
        flow = switch.tables.find(table, frame)
        if flow is None:
            yield _Way(sent, frame, (*notes, Missed(table)))
            return
        notes = (*notes, flow)
        ways = _apply(switch, flow.actions, frame)
        if len(ways) != 1:
            break
        more_sent, frame, more_notes = ways[0]
        sent, notes = sent + more_sent, notes + more_notes
        if flow.goto is None or not frame:
            yield _Way(sent, frame, notes)
            return
        table = flow.goto
    for way in ways:
        if flow.goto is None or not way.frame:
            yield _Way(sent + way.sent, way.frame, notes + way.notes)
            continue
        for more in _tables(switch, way.frame, flow.goto):
            yield _Way(sent + way.sent + more.sent, more.frame, notes + way.notes + more.notes)


def _apply(switch: _Switch, actions: tuple[Action, ...], frame: dict[str, int]) -> list[_Way]:
    """What the actions send, and the frame as it goes on, for each way that it can take."""
    sent: tuple[Sent, ...] = ()
    notes: tuple[Note, ...] = ()
    for number, action in enumerate(actions, 1):
        if not frame:
            break
        if isinstance(action, Output):
            left, more = _output(action.port, frame, switch.dead)
            sent, notes = sent + left, notes + more
            continue
        ways = [*_one(switch, action, frame)]
        if len(ways) != 1:
            together = [_Way(sent + way.sent, way.frame, notes + way.notes) for way in ways]
            return _apply_to_each(switch, actions[number:], together)
        more_sent, frame, more_notes = ways[0]
        sent, notes = sent + more_sent, notes + more_notes
    return [_Way(sent, frame, notes)]


def _apply_to_each(switch: _Switch, actions: tuple[Action, ...], ways: list[_Way]) -> list[_Way]:
    """The same where there are several ways. Each action is applied to all of them before the next, since
    connections are the same for all."""
    for action in actions:
        ways = [
            _Way(way.sent + more.sent, more.frame, way.notes + more.notes)
            for way in ways
            for more in (_one(switch, action, way.frame) if way.frame else (_Way((), {}, ()),))
        ]
    return ways


def _one(switch: _Switch, action: Action, frame: dict[str, int]) -> Iterable[_Way]:
    """What one action does."""
    if isinstance(action, SetField):
        return (_Way((), change_each(frame, lambda member: _changed(action, member)), ()),)
    if isinstance(action, Output):
        left, more = _output(action.port, frame, switch.dead)
        return (_Way(left, frame, more),)
    if isinstance(action, ToGroup):
        return _group(switch, action, frame)
    if isinstance(action, Resubmit):
        return _tables(switch, frame, action.table)
    if isinstance(action, Clone):
        return [way._replace(frame=frame) for way in _apply(switch, action.actions, frame)]
    if isinstance(action, Spread):
        return _spread(switch, action, frame)
    if isinstance(action, Ct):
        return _tracked(switch, action, frame)
    return (_Way((), change_each(frame, lambda member: _changed(action, member)), ()),)


def _tracked(switch: _Switch, action: Ct, frame: dict[str, int]) -> Iterable[_Way]:
    """Connection tracking. With a table, tracked frames are looked up there, and this one goes on
    unchanged."""
    connections = Connections() if switch.connections is None else switch.connections
    tracked = [out for member in split_batch(frame) for out in connections.through(action, member)]
    if action.table is None:
        known = {name: value for name, value in frame.items() if name.startswith("ct_")}
        return (_Way((), batch_of([cleared(out) | known for out in tracked]), ()),)
    registers = tuple(sorted(field for field in frame.items() if field[0].startswith(("reg", "in_port"))))
    number = connections.reassembly.recirculation(switch.tables, action.table, registers)
    ways = [_Way((), frame if tracked else {}, () if tracked else (Tracked(action.zone, 0),))]
    for out in tracked:
        seen = Tracked(action.zone, out["ct_state"])
        ways = [way._replace(notes=(*way.notes, seen)) for way in ways]
        looked_up = [*_tables(switch, {**out, RECIRCULATION: number}, action.table)]
        ways = [
            way._replace(sent=way.sent + more.sent, notes=way.notes + more.notes)
            for way in ways
            for more in looked_up
        ]
    return ways


def _spread(switch: _Switch, action: Spread, frame: dict[str, int]) -> Iterator[_Way]:
    if switch.chooser is not None:
        seen = frame if action.ports else {name: frame[name] for name in _ADDRESSES if name in frame}
        shares: Iterable[int] = (switch.chooser(seen, action.ways),)
    else:
        shares = switch.tables.shares(action)
    for share in shares:
        shared = Shared(share, action.ways, switch.chooser is not None)
        yield _Way((), {**frame, action.field: share}, (shared,))


def _changed(action: Action, frame: Frame) -> dict[str, int]:
    """The frame after an action that sends nothing."""
    now = dict(frame)
    if isinstance(action, SetField):
        keep = 0 if action.mask is None else now.get(action.field, 0) & ~action.mask
        now[action.field] = keep | action.value
    elif isinstance(action, CtClear):
        return cleared(frame)
    elif isinstance(action, ToMeter):
        return now
    elif isinstance(action, Move):
        bits = (1 << action.bits) - 1
        value = now.get(action.src, 0) >> action.src_bit & bits
        kept = now.get(action.dst, 0) & ~(bits << action.dst_bit)
        now[action.dst] = kept | value << action.dst_bit
    elif isinstance(action, DecTtl):
        if now.get("nw_ttl", 64) <= 1:
            raise ValueError("a TTL runs out in an action: a flow should have matched it before")
        now["nw_ttl"] = now.get("nw_ttl", 64) - 1
    elif isinstance(action, PushVlan):
        if "vlan_vid" in now:
            raise ValueError("a second VLAN tag: the frame should have been dropped before")
        now["vlan_vid"] = 0x1000 | action.vid
    elif isinstance(action, PopVlan):
        now.pop("vlan_vid", None)  # as in Open vSwitch, there may be none
        now.pop("vlan_pcp", None)
    elif isinstance(action, EncapNsh):
        pipeline = {name: value for name, value in now.items() if name.startswith(PIPELINE)}
        inside = {INSIDE + name: value for name, value in now.items() if name not in pipeline}
        outside = zip(_NSH, (action.eth_src, action.eth_dst, NSH, action.spi, action.si), strict=True)
        now = {**pipeline, **inside, **dict(outside)}
    elif isinstance(action, DecapNsh):
        pipeline = {name: value for name, value in now.items() if name.startswith(PIPELINE)}
        now = pipeline | {
            name.removeprefix(INSIDE): value for name, value in now.items() if name.startswith(INSIDE)
        }
    else:
        raise TypeError(f"no meaning of {action!r}")
    return now


def _output(
    port: int, frame: dict[str, int], dead: frozenset[int]
) -> tuple[tuple[Sent, ...], tuple[Note, ...]]:
    # OpenFlow 1.5.1, 4.5: out of the ingress port only by the reserved port
    if port == frame["in_port"]:
        return (), (NotSent(port, "a switch sends nothing back out of the port that it came in by"),)
    port = frame["in_port"] if port == IN_PORT else port
    if port in dead:
        return (), (NotSent(port, "the link is down"),)
    return tuple(Sent(port, member) for member in split_batch(frame)), ()


def _group(switch: _Switch, action: ToGroup, frame: dict[str, int]) -> Iterator[_Way]:
    """What a group sends, for each way that it can take (OpenFlow 1.5.1, 5.10.1); the frame stays
    unchanged."""
    group = switch.tables.groups.get(action.group)
    if group is None:
        yield _Way((), frame, (NotSent(None, f"there is no group {action.group}"),))
        return
    live = [bucket for bucket in group.buckets if bucket.watch_port not in switch.dead]
    if group.kind == "all":
        for ways in product(*(_apply(switch, bucket.actions, frame) for bucket in live)):
            sent = tuple(copy for way in ways for copy in way.sent)
            yield _Way(sent, frame, tuple(note for way in ways for note in way.notes))
        return
    chosen, of = (live if group.kind == "select" else live[:1]), 1
    if group.kind == "select" and live:
        of = len(live)
        if switch.picker is not None:
            bucket, of = switch.picker(group, live, frame)
            chosen = [bucket]
        elif switch.connections is not None:
            chosen = choose(group, live, frame)
    if not chosen:
        yield _Way((), frame, (NotSent(None, f"group {group.id} has no bucket that works"),))
    for bucket in chosen:
        note = Chosen(group, group.buckets.index(bucket), of)
        for way in _apply(switch, bucket.actions, frame):
            yield way._replace(frame=frame, notes=(note, *way.notes))
