"""What can become of the packets of a state, all the way through the lab. Pure.

The outcomes of a state follow from those of the states that it leads to. Equal outcomes are one, by whichever
path they came about: so equal paths cost nothing, and a state's outcomes are computed once for all that lead
to it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import NamedTuple

from controller.flow.tables import CONTROLLER
from controller.simulate.fragments import PIPELINE
from controller.verify.arrivals import NOWHERE, Arrivals, Written
from controller.verify.lookup import SwitchIndex
from controller.verify.packets import Expression, Frame, Patched, Store
from controller.verify.states import Branch, Send, Space, State
from controller.verify.switch import Switch, Way
from controller.verify.values import Known, both, width
from topologies.model.topology import Port


class End(NamedTuple):
    """Where a frame, or a copy of one, ended without being delivered: at a switch, in this way."""

    switch: str
    way: Way


class Outcome(NamedTuple):
    """What becomes of some of a state's packets. ``known``: of which, beyond what is known of all.

    ``visited``: the ports by which they went into functions, in order. ``ends``: of frames that were sent
    nowhere. ``example``: the states on one of the ways.
    """

    known: Store
    delivered: Arrivals = NOWHERE
    punted: tuple[str, ...] = ()
    visited: tuple[Port, ...] = ()
    ends: tuple[End, ...] = ()
    loop: bool = False

    def key(self) -> object:
        """Equal for outcomes that are one."""
        return (
            frozenset(self.known.items()), self.delivered, self.punted, self.visited,
            tuple([(end.switch, end.way.flows[-1:], end.way.lost) for end in self.ends]), self.loop,
        )  # fmt: skip


class Fabric:
    """A lab in one condition: its tables, and which ports are dead.

    ``base``: the lab as it should be, when this one differs from it; ``changed``: the states of which
    switches send something else now; ``stale``: those, and all that lead to them. Everything else is as in
    ``base``. ``certain``: says the outcomes of states of which they are certain (see
    ``controller.verify.certain``).
    """

    def __init__(
        self,
        space: Space,
        tables: Mapping[str, SwitchIndex],
        dead: Mapping[str, frozenset[int]] | None = None,
        failed: frozenset[str] = frozenset(),
        base: Fabric | None = None,
        changed: Container[State] = frozenset(),
        stale: Container[State] = frozenset(),
        certain: Callable[[State], tuple[Outcome, ...] | None] | None = None,
    ) -> None:
        self.space, self.failed = space, failed
        self.tables, self._dead = tables, dead or {}
        self._switches: dict[str, Switch] = {}
        self._certain = certain
        self._sure: dict[State, tuple[Outcome, ...]] = {}
        self.known: dict[State, tuple[Outcome, ...]] = {}
        self.asked: list[State] = []
        self.base, self.changed, self.stale = base, changed, stale
        self._branches: dict[State, tuple[Branch, ...]] = {}

    def switch(self, name: str) -> Switch:
        """One of its switches."""
        switch = self._switches.get(name)
        if switch is None:
            switch = self._switches[name] = Switch(self.tables[name], self._dead.get(name, frozenset()))
        return switch

    def branches(self, state: State) -> tuple[Branch, ...]:
        """What the state's switch sends of its packets."""
        base = self.base
        if base is None or (state in base.known and state not in self.changed):
            if state.branches is None:
                state.branches = self.space.branches(state, self.switch(state.at.switch))
            return state.branches
        branches = self._branches.get(state)
        if branches is None:
            branches = self.space.branches(state, self.switch(state.at.switch))
            self._branches[state] = branches
        return branches

    def _settled(self, state: State) -> bool:
        if state in self.known or state in self._sure:
            return True
        if self._certain is not None:
            sure = self._certain(state)
            if sure is not None:
                self._sure[state] = sure
                return True
        return self.base is not None and state not in self.stale and state in self.base.known

    def outcomes(self, start: State) -> tuple[Outcome, ...]:
        """What can become of the packets of a state."""
        self.asked.append(start)
        known = self.known
        if self._settled(start):
            return self._of(start)
        stack = [start]
        active: set[State] = set()
        while stack:
            state = stack[-1]
            if state in known:
                stack.pop()
                continue
            branches = self.branches(state)
            if state not in active:
                active.add(state)
                missing = [
                    send.state
                    for branch in branches
                    for send in branch.sends
                    if send.state is not None and send.state not in active and not self._settled(send.state)
                ]
                if missing:
                    stack += missing
                    continue
            known[state] = self._together(state, branches)
            active.discard(state)
            stack.pop()
        return known[start]

    def _of(self, state: State) -> tuple[Outcome, ...]:
        outcomes = self.known.get(state)
        if outcomes is None:
            outcomes = self._sure.get(state)
        if outcomes is None and self.base is not None and state not in self.stale:
            outcomes = self.base.known.get(state)
        # a state that is not finished yet is on the way here: a loop
        return (Outcome({}, loop=True),) if outcomes is None else outcomes

    def _together(self, state: State, branches: Iterable[Branch]) -> tuple[Outcome, ...]:
        outcomes: dict[object, Outcome] = {}
        for branch in branches:
            for outcome in self.of_branch(state, branch):
                outcomes.setdefault(outcome.key(), outcome)
        return tuple(outcomes.values())

    def of_branch(self, state: State, branch: Branch) -> list[Outcome]:
        """What can become of the packets that take one branch; those of its states are known already."""
        before = state.packets.known
        added = {name: known for name, known in branch.known.items() if before.get(name) is not known}
        ends = (End(state.at.switch, branch.way),) if not branch.sends else ()
        outcomes = [Outcome(added, ends=ends)]
        for send in branch.sends:
            outcomes = [after for outcome in outcomes for after in self._sent(state, send, outcome)]
        return outcomes

    def _sent(self, state: State, send: Send, before: Outcome) -> list[Outcome]:
        """The outcomes after one more frame was sent."""
        if send.port.number == CONTROLLER:
            return [before._replace(punted=(*before.punted, send.port.switch))]
        if send.through:
            before = before._replace(visited=(*before.visited, send.port))
            if self.space.wiring.instance[send.port] in self.failed:
                return [before]
        if send.state is None:
            arrived = self.space.outlets.one(send.port, _written(state.packets.frame, send.frame))
            return [before._replace(delivered=before.delivered + arrived)]

        def after(written: Written) -> Written:
            return _after(state.packets.frame, send, written)

        outcomes = []
        for beyond in self._of(send.state):
            known = before.known
            if beyond.known:
                more = _renamed(beyond.known, send.names)
                merged = _merged({**state.packets.known, **known}, more)
                if merged is None:
                    continue
                known = {**known, **merged}
            delivered = before.delivered + beyond.delivered.rewritten(after)
            outcomes.append(
                Outcome(
                    known,
                    delivered,
                    before.punted + beyond.punted,
                    before.visited + beyond.visited,
                    before.ends + beyond.ends,
                    before.loop or beyond.loop,
                )
            )
        return outcomes


def _written(before: Frame, after: Frame) -> Written:
    """The fields of a frame that are not what they were."""
    fields = sorted(
        (
            item
            for item in after.items()
            if before.get(item[0]) != item[1] and not item[0].startswith(PIPELINE)
        ),
        key=_name,
    )
    return tuple(fields)  # type: ignore[arg-type]


def _name(item: tuple[str, object]) -> str:
    return item[0]


def _after(start: Frame, send: Send, written: Written) -> Written:
    """What was written of the frame at its start, when it was sent and further on."""
    names = send.names
    frame = send.frame
    if written:
        frame = dict(frame)
        for name, expression in written:
            frame[name] = expression if names is None else _expressed(expression, names)
    return _written(start, frame)


def _expressed(expression: Expression, names: Mapping[str, object]) -> Expression:
    """An expression of a state in the variables of the state before it."""
    if isinstance(expression, str):
        return names.get(expression, expression)  # type: ignore[return-value]
    if isinstance(expression, Patched):
        inner = names.get(expression.variable, expression.variable)
        if isinstance(inner, int):
            return inner & ~expression.mask | expression.value
        if isinstance(inner, Patched):
            value = inner.value & ~expression.mask | expression.value
            return Patched(inner.variable, value, inner.mask | expression.mask)
        return expression._replace(variable=str(inner))
    return expression


def _renamed(store: Store, names: Mapping[str, object] | None) -> Store:
    """What is known of variables, of those of the state before."""
    if names is None:
        return store
    renamed = {}
    for name, known in store.items():
        expression = names.get(name, name)
        if isinstance(expression, Patched):
            patch = expression.mask
            not_in = []
            for mask, values in known.not_in:
                fixed = expression.value & mask
                rest = frozenset(value & ~patch for value in values if value & patch == fixed & patch)
                if rest:
                    not_in.append((mask & ~patch, rest))
            renamed[expression.variable] = Known(known.value & ~patch, known.mask & ~patch, tuple(not_in))
        elif isinstance(expression, str):
            renamed[expression] = known
    return renamed


def _merged(store: Store, more: Store) -> Store | None:
    """What both say of the variables in ``more``; None when they exclude each other."""
    merged = {}
    for name, known in more.items():
        mine = store.get(name)
        common = known if mine is None else both(mine, known, width(name))
        if common is None:
            return None
        merged[name] = common
    return merged
