"""What compiled tables do to a frame: the pipeline's meaning, without any switch.

This is the oracle that the compiler's output is tested against, and itself compared with Open
vSwitch's ``ofproto/trace``.  A frame is a mapping of field names (those of
``controller.tables``) to integers; registers that it does not mention are 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import product
from typing import NamedTuple

from controller.tables import (
    CONTROLLER,
    IN_PORT,
    Action,
    DecTtl,
    Flow,
    Move,
    Output,
    SetField,
    SwitchTables,
    Table,
    ToGroup,
)
from topologies.model import Port, Topology
from topologies.overlay import Tunnel, overlay

Frame = Mapping[str, int]
_PIPELINE = ("in_port", "metadata", "reg", "tun_")


def wire(frame: Frame) -> tuple[tuple[str, int], ...]:
    """The fields that travel with a frame: no pipeline fields, sorted."""
    return tuple(sorted(each for each in frame.items() if not each[0].startswith(_PIPELINE)))


class Sent(NamedTuple):
    """A frame that left a switch: out of a port, or to the controller (``CONTROLLER``)."""

    port: int
    frame: dict[str, int]


class Arrival(NamedTuple):
    """A frame that left the fabric: at a host port, or to the controller from ``at.switch``."""

    at: Port
    fields: tuple[tuple[str, int], ...]


class Step(NamedTuple):
    """What one switch did: the flows that matched, in order, and where the frame went."""

    switch: str
    in_port: int
    flows: tuple[Flow, ...]
    ports: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """Everything that comes of one frame for one way that select groups can choose.

    ``delivered`` and ``punted`` (to the controller) are sorted, with repeats. ``steps`` is one
    example of how it came about and not compared.
    """

    delivered: tuple[Arrival, ...] = ()
    punted: tuple[Arrival, ...] = ()
    loop: bool = False
    steps: tuple[Step, ...] = field(default=(), compare=False)


class Lookup:
    """One switch's tables, ready for lookups: per table and per set of masks, a dictionary."""

    def __init__(self, tables: SwitchTables) -> None:
        self.groups = {group.id: group for group in tables.groups}
        self._shapes: dict[Table, dict[tuple[tuple[str, int | None], ...], dict[tuple[int, ...], Flow]]] = {}
        for flow in tables.flows:
            shape = tuple((each.name, each.mask) for each in flow.match)
            values = tuple(each.value for each in flow.match)
            known = self._shapes.setdefault(flow.table, {}).setdefault(shape, {})
            if values not in known or known[values].priority < flow.priority:
                known[values] = flow

    def find(self, table: Table, frame: Frame) -> Flow | None:
        """The flow of highest priority that matches."""
        best: Flow | None = None
        for shape, known in self._shapes.get(table, {}).items():
            values = []
            for name, mask in shape:
                value = frame.get(name, 0 if name.startswith("reg") else None)
                if value is None:
                    break
                values.append(value if mask is None else value & mask)
            else:
                found = known.get(tuple(values))
                if found is not None and (best is None or found.priority > best.priority):
                    best = found
        return best


def at_switch(
    tables: Lookup, frame: Frame, in_port: int, dead: frozenset[int] = frozenset()
) -> Iterator[tuple[list[Sent], list[Flow]]]:
    """What one switch does with a frame from ``in_port``: one (frames sent, flows hit) per way
    to choose. ``dead`` are ports whose link is down."""
    start = dict(frame)
    start["in_port"] = in_port
    yield from _tables(tables, start, Table.CLASSIFY, dead)


def _tables(
    tables: Lookup, frame: dict[str, int], table: Table, dead: frozenset[int]
) -> Iterator[tuple[list[Sent], list[Flow]]]:
    flow = tables.find(table, frame)
    if flow is None:
        yield [], []
        return
    for sent, after in _apply(tables, flow.actions, frame, dead):
        if flow.goto is None:
            yield sent, [flow]
            continue
        for more, flows in _tables(tables, after, flow.goto, dead):
            yield sent + more, [flow, *flows]


def _apply(
    tables: Lookup, actions: tuple[Action, ...], frame: dict[str, int], dead: frozenset[int]
) -> Iterator[tuple[list[Sent], dict[str, int]]]:
    """The action list's effects and the frame as it goes on, per way to choose."""
    now = dict(frame)
    ways: list[list[Sent]] = [[]]
    for action in actions:
        if isinstance(action, SetField):
            keep = 0 if action.mask is None else now.get(action.field, 0) & ~action.mask
            now[action.field] = keep | action.value
        elif isinstance(action, Move):
            bits = (1 << action.bits) - 1
            value = now.get(action.src, 0) >> action.src_bit & bits
            kept = now.get(action.dst, 0) & ~(bits << action.dst_bit)
            now[action.dst] = kept | value << action.dst_bit
        elif isinstance(action, DecTtl):
            if now.get("nw_ttl", 64) <= 1:
                raise ValueError("a TTL runs out in an action: a flow should have matched it before")
            now["nw_ttl"] = now.get("nw_ttl", 64) - 1
        elif isinstance(action, Output):
            ways = [way + _output(action.port, now, dead) for way in ways]
        elif isinstance(action, ToGroup):
            ways = [way + more for way in ways for more in _group(tables, action, now, dead)]
        else:
            raise TypeError(f"no meaning of {action!r}")
    for way in ways:
        yield way, now


def _output(port: int, frame: dict[str, int], dead: frozenset[int]) -> list[Sent]:
    # OpenFlow 1.5.1, 4.5: out of the ingress port only by the reserved port
    if port == frame["in_port"]:
        return []
    port = frame["in_port"] if port == IN_PORT else port
    return [] if port in dead else [Sent(port, dict(frame))]


def _group(
    tables: Lookup, action: ToGroup, frame: dict[str, int], dead: frozenset[int]
) -> Iterator[list[Sent]]:
    """What a group sends, per way to choose (OpenFlow 1.5.1, 5.10.1)."""
    group = tables.groups.get(action.group)
    if group is None:
        yield []
        return
    live = [bucket for bucket in group.buckets if bucket.watch_port not in dead]
    if group.kind == "all":
        parts = [[sent for sent, _ in _apply(tables, each.actions, frame, dead)] for each in live]
        for way in product(*parts):
            yield [sent for part in way for sent in part]
        return
    chosen = live if group.kind == "select" else live[:1]
    if not chosen:
        yield []
    for bucket in chosen:
        for sent, _ in _apply(tables, bucket.actions, frame, dead):
            yield sent


class Fabric:
    """A whole lab's tables joined by its links, of which some may be dead."""

    def __init__(
        self, topology: Topology, tables: Mapping[str, SwitchTables], dead_links: frozenset[str] = frozenset()
    ) -> None:
        self._lookup = {name: Lookup(each) for name, each in tables.items()}
        self._far: dict[Port, Port] = {}
        dead: dict[str, set[int]] = {}
        for link in topology.links:
            self._far[link.a], self._far[link.b] = link.b, link.a
            if link.name in dead_links:
                dead.setdefault(link.a.switch, set()).add(link.a.number)
                dead.setdefault(link.b.switch, set()).add(link.b.number)
        self._dead = {name: frozenset(ports) for name, ports in dead.items()}
        over = overlay(topology)
        for uplink in over.uplinks:
            self._far[uplink.near], self._far[uplink.far] = uplink.far, uplink.near
        self._underlay = topology.underlay
        vni = {network.name: network.vni or 0 for network in topology.networks}
        self._vteps = {each.address: each.switch for each in (self._underlay.vteps if self._underlay else ())}
        self._tunnels = {(each.port, vni[each.network]): each for each in over.tunnels}

    def outcomes(self, frame: Frame, at: Port) -> frozenset[Outcome]:
        """All that can come of ``frame`` entering at ``at``."""
        return self._follow(wire(frame), at, (), {})

    def _follow(
        self,
        fields: tuple[tuple[str, int], ...],
        at: Port,
        path: tuple[object, ...],
        memo: dict[object, frozenset[Outcome]],
    ) -> frozenset[Outcome]:
        state = (at, fields)
        if state in path:
            return frozenset((Outcome(loop=True),))
        if state in memo:
            return memo[state]
        found: set[Outcome] = set()
        dead = self._dead.get(at.switch, frozenset[int]())
        for sent, flows in at_switch(self._lookup[at.switch], dict(fields), at.number, dead):
            step = Step(at.switch, at.number, tuple(flows), tuple(each.port for each in sent))
            parts = [self._beyond(each, at.switch, (*path, state), memo) for each in sent]
            found.update(_joined(step, way) for way in product(*parts))
        memo[state] = frozenset(found)
        return memo[state]

    def _beyond(
        self, sent: Sent, switch: str, path: tuple[object, ...], memo: dict[object, frozenset[Outcome]]
    ) -> frozenset[Outcome]:
        here = Arrival(Port(switch=switch, number=sent.port), wire(sent.frame))
        if sent.port == CONTROLLER:
            return frozenset((Outcome(punted=(here,)),))
        far = self._far.get(here.at)
        if far is not None:
            return self._follow(here.fields, far, path, memo)
        tunnels = [tunnel for (port, _), tunnel in self._tunnels.items() if port == here.at]
        if not tunnels:
            return frozenset((Outcome(delivered=(here,)),))
        parts = [
            self._follow((*here.fields, *tag), at, path, memo)
            for at, tag in self._through(tunnels, sent, here.at)
        ]
        return frozenset(_together(way) for way in product(*parts))

    def _through(
        self, tunnels: list[Tunnel], sent: Sent, port: Port
    ) -> Iterator[tuple[Port, tuple[tuple[str, int], ...]]]:
        """Where a frame that was put into a tunnel port comes out, and with which tunnel fields."""
        assert self._underlay is not None
        if self._underlay.tunnels == "ovs":
            address = IPv4Address(sent.frame["tun_dst"])
            far = Port(switch=self._vteps[address], number=port.number)
            yield far, (("tun_id", sent.frame["tun_id"]),)
            return
        # a vxlan device: to the VTEP in its forwarding database, else to the default destinations
        mac = sent.frame["eth_dst"].to_bytes(6, "big").hex(":")
        known = tunnels[0].unicast.get(mac)
        for vtep in (known,) if known is not None else tunnels[0].flood:
            yield Port(switch=self._vteps[vtep], number=port.number), ()


def _together(way: tuple[Outcome, ...]) -> Outcome:
    """All that comes of several copies of a frame."""
    return Outcome(
        tuple(sorted((each for one in way for each in one.delivered), key=repr)),
        tuple(sorted((each for one in way for each in one.punted), key=repr)),
        any(one.loop for one in way),
        tuple(each for one in way for each in one.steps),
    )


def _joined(step: Step, way: tuple[Outcome, ...]) -> Outcome:
    made = _together(way)
    return Outcome(made.delivered, made.punted, made.loop, (step, *made.steps))
