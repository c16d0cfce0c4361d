"""States without their destination, and what a switch does with frames of one for a destination. Pure.

A state whose frames all go to one address is a shape and a destination. What a switch does with it depends on
the shape, on the flows that the switch has for all destinations, and on those for this one. Where these are
the same but for the address, so is what the switch does: it is computed for one of these destinations, with
the flows for it alone, and holds for all. So no other flow may ask for the address of another destination,
read it, or write it: ``Shapes.behaviour`` says of such cases that nothing is known of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from controller.flow.tables import (
    CONTROLLER,
    Action,
    Clone,
    Flow,
    Group,
    Move,
    Output,
    SetField,
    SwitchTables,
    ToGroup,
)
from controller.simulate.fragments import PIPELINE
from controller.verify.destinations import TABLES, Destinations
from controller.verify.lookup import SwitchIndex
from controller.verify.names import Key
from controller.verify.one_table import can_both_match
from controller.verify.packets import Packets, Patched, Store
from controller.verify.states import Branch, Send, Space, State
from controller.verify.switch import VANISHING, Switch, Way
from wire.mac import GROUP_BIT

_ADDRESS = "eth_dst"
_SOURCE = "eth_src"


class Behaviour(NamedTuple):
    """What becomes of the frames of a shape to a destination: each choice is one of these. ``onward``: shapes
    at the other end of a wire. ``leaves``: ports of this switch by which they leave the fabric as they came,
    without the mark of a detour. ``silent``: they may end here, as flows say. ``unknown``: anything else; who
    knows what."""

    onward: tuple[int, ...] = ()
    leaves: tuple[int, ...] = ()
    silent: bool = False
    unknown: object = None


class Shape(NamedTuple):
    """``example``: a state of it."""

    switch: str
    example: State


class Shapes:
    """All shapes of a lab, by number."""

    def __init__(self, space: Space, to: Destinations) -> None:
        self.space, self.to = space, to
        self.all: list[Shape] = []
        self.at: dict[str, list[int]] = {}
        self._numbers: dict[object, int] = {}
        self._of: dict[State, tuple[int, int] | None] = {}
        self._behaviours: dict[object, Behaviour] = {}
        self._same: dict[Behaviour, Behaviour] = {}
        self._named: dict[object, frozenset[int]] = {}
        self._indexes: dict[Key, tuple[int, SwitchIndex | None]] = {}
        self.matched: dict[tuple[int, Key], tuple[int, frozenset[int]]] = {}
        """Shape and key -> the destination for which it was computed, and the cookies of the flows that its
        frames match."""

    def of(self, state: State) -> tuple[int, int] | None:
        """The shape and the destination of a state; None: it has none."""
        try:
            return self._of[state]
        except KeyError:
            known = self._of[state] = self._new(state)
            return known

    def _new(self, state: State) -> tuple[int, int] | None:
        frame = state.packets.frame
        address = frame.get(_ADDRESS)
        if state.whole or not isinstance(address, int) or state.table not in TABLES:
            return None
        number = self.to.bit.get(address)
        if number is None or _ADDRESS in state.packets.known:
            return None
        fields = []
        for name, value in sorted(frame.items(), key=_first):
            if isinstance(value, tuple) and not isinstance(value, Patched):
                return None
            if name != _ADDRESS:
                fields.append((name, value))
        known = tuple(sorted(state.packets.known.items(), key=_first))
        key = state.at.switch, state.at.number, state.table, tuple(fields), known
        shape = self._numbers.get(key)
        if shape is None:
            shape = self._numbers[key] = len(self.all)
            self.all.append(Shape(state.at.switch, state))
            self.at.setdefault(state.at.switch, []).append(shape)
        return shape, number

    def state(self, shape: int, number: int) -> State:
        """The state of a shape's frames to a destination."""
        example = self.all[shape].example
        frame = {**example.packets.frame, _ADDRESS: self.to.macs[number]}
        return self.space.state(example.at, Packets(frame, example.packets.known), example.table)

    def behaviour(
        self,
        shape: int,
        key: Key,
        number: int,
        common: Iterable[Flow],
        flows: Iterable[Flow],
        groups: Mapping[int, Group],
        dead: frozenset[int],
    ) -> Behaviour:
        """What becomes of frames of a shape to the destinations of a key; ``number``: one of these,
        ``flows``: those for it, ``common``: those for all."""
        if dead:
            # a port that no action names, and no bucket watches, may as well be alive
            dead &= self._ports(key, common, flows, groups) | {self.all[shape].example.at.number}
        name = (shape, key, dead)
        known = self._behaviours.get(name)
        if known is None:
            if key not in self._indexes:
                self._indexes[key] = number, _index(key, common, flows, groups)
            number, index = self._indexes[key]
            if index is None:
                known = Behaviour(unknown=name)
            else:
                state = self.state(shape, number)
                branches = self.space.branches(state, Switch(index, dead))
                known = self._told(state, number, branches, name)
                if not dead:
                    self.matched[shape, key] = (
                        number,
                        frozenset(flow.cookie for branch in branches for flow in branch.way.flows),
                    )
            known = self._behaviours[name] = self._same.setdefault(known, known)
        return known

    def _ports(
        self, key: Key, common: Iterable[Flow], flows: Iterable[Flow], groups: Mapping[int, Group]
    ) -> frozenset[int]:
        """The ports that the flows of a key name."""
        if key.common not in self._named:
            self._named[key.common] = _named(common, groups)
        if key not in self._named:
            self._named[key] = _named(flows, groups)
        return self._named[key.common] | self._named[key]

    def _told(self, state: State, number: int, branches: Iterable[Branch], name: object) -> Behaviour:
        onward: set[int] = set()
        leaves: set[int] = set()
        silent = False
        for branch in branches:
            if not _is_plain(branch.way):
                return Behaviour(unknown=name)
            if not branch.sends:
                if any(
                    lost.why.startswith(VANISHING) for lost in branch.way.lost if not _by_cut(lost.why, name)
                ):
                    return Behaviour(unknown=name)
                silent = True
                continue
            if len(branch.sends) > 1 or branch.way.lost:
                return Behaviour(unknown=name)
            send = branch.sends[0]
            if not self._is_unchanged(state, send, branch.known, number):
                return Behaviour(unknown=name)
            if send.state is None:
                leaves.add(send.port.number)
                continue
            beyond = self.of(send.state)
            if beyond is None or beyond[1] != number:
                return Behaviour(unknown=name)
            onward.add(beyond[0])
        if not onward and not leaves and not silent:
            return Behaviour(unknown=name)
        return Behaviour(tuple(sorted(onward)), tuple(sorted(leaves)), silent)

    def _is_unchanged(self, state: State, send: Send, known: Store, number: int) -> bool:
        """Whether a frame goes out of the fabric, or along a plain wire, with nothing written but the mark of
        a detour; and without that mark where it leaves the fabric."""
        wiring = self.space.wiring
        if send.port.number == CONTROLLER or send.through or send.tunnel or send.port in wiring.tunnels:
            return False
        if send.frame.get(_ADDRESS) != self.to.macs[number]:
            return False
        before = state.packets.frame
        for field, value in send.frame.items():
            if field.startswith(PIPELINE) or before.get(field) == value:
                continue
            if field != _SOURCE or not _only_mark(before.get(field), value):
                return False
        if any(not field.startswith(PIPELINE) and field not in send.frame for field in before):
            return False
        if send.state is not None:
            return send.port in wiring.far and send.port not in wiring.instance
        leaving = Packets(send.frame, known)
        return leaving.decide(_SOURCE, 0, GROUP_BIT) is True and leaving.bits("vlan_vid", 0x1000) == 0


def _index(
    key: Key, common: Iterable[Flow], flows: Iterable[Flow], groups: Mapping[int, Group]
) -> SwitchIndex | None:
    """The switch with the flows that matter for a destination; None: some flows of equal priority can match
    one packet, and which of them does depends on more."""
    mine, others = list(flows), list(common)
    if any(_overlap(one, other) for at, one in enumerate(mine) for other in (*mine[at + 1 :], *others)):
        return None
    return SwitchIndex(SwitchTables(key.switch, 0, (*others, *mine), tuple(groups.values())))


def _named(flows: Iterable[Flow], groups: Mapping[int, Group]) -> frozenset[int]:
    """The ports that flows send by, and those that buckets of their groups send by or watch."""
    ports: set[int] = set()
    waiting = [action for flow in flows for action in flow.actions]
    met: set[int] = set()
    while waiting:
        action = waiting.pop()
        if isinstance(action, Output):
            ports.add(action.port)
        elif isinstance(action, SetField) and action.field == "in_port":
            ports.add(action.value)
        elif isinstance(action, Clone):
            waiting += action.actions
        elif isinstance(action, ToGroup) and action.group not in met and action.group in groups:
            met.add(action.group)
            for bucket in groups[action.group].buckets:
                waiting += bucket.actions
                if bucket.watch_port is not None:
                    ports.add(bucket.watch_port)
    return frozenset(ports)


def _by_cut(why: str, name: object) -> bool:
    """Whether a frame ends since a port is dead: nothing else can make it so where all buckets watch one."""
    return why.startswith("no bucket") and isinstance(name, tuple) and bool(name[2])


def _only_mark(before: object, after: object) -> bool:
    """Whether a source address differs in the mark of a detour alone."""
    if isinstance(after, Patched):
        variable = before.variable if isinstance(before, Patched) else _SOURCE if before is None else before
        if isinstance(before, Patched) and before.mask & ~GROUP_BIT:
            return False
        return after.variable == variable and after.mask == GROUP_BIT
    return isinstance(after, int) and isinstance(before, int) and not (after ^ before) & ~GROUP_BIT


def _is_plain(way: Way) -> bool:
    """Whether only plain flows of plain tables matched, which neither read nor write the address."""
    if any(lost.table is not None and lost.table not in TABLES for lost in way.lost):
        return False
    for flow in way.flows:
        if flow.table not in TABLES or not _are_plain(flow.actions):
            return False
    return all(_are_plain(bucket.actions) for group in way.groups for bucket in group.buckets)


def _are_plain(actions: Iterable[Action]) -> bool:
    for action in actions:
        if isinstance(action, SetField):
            if action.field == _ADDRESS:
                return False
        elif isinstance(action, Move):
            if _ADDRESS in (action.src, action.dst):
                return False
        elif not isinstance(action, Output | ToGroup):
            return False
    return True


def _overlap(one: Flow, other: Flow) -> bool:
    """Whether a packet can match both of two flows of equal priority."""
    if one.table is not other.table or one.priority != other.priority:
        return False
    return can_both_match(one, other)


def _first(item: tuple[str, object]) -> str:
    return item[0]
