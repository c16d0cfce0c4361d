"""Which states depend on what: on a port, a flow, a group, and on other states. Pure.

So a lab that differs from another one in a few flows or dead ports is verified by the states that they touch,
and by those that lead to these.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from controller.flow.tables import Action, Clone, Flow, Output, SwitchTables, Table, ToGroup
from controller.verify.destinations import Change
from controller.verify.lookup import SwitchIndex, tests_of
from controller.verify.outcomes import Fabric
from controller.verify.states import State


class Dependence:
    """Of the states of one fabric that were looked at one by one.

    ``apart``: what somebody else looks after, of that which states lead to.
    """

    def __init__(self, fabric: Fabric, apart: Mapping[State, Container[State]] | None = None) -> None:
        self._parents: dict[State, list[State]] = {}
        self._by_port: dict[tuple[str, int], set[State]] = {}
        self._by_flow: dict[tuple[str, Table], dict[int, tuple[Flow, list[State]]]] = {}
        self._by_group: dict[str, dict[int, list[State]]] = {}
        self._counted: set[State] = set()
        self._fabric = fabric
        apart = apart or {}
        for state in fabric.known:
            self.add(state, apart.get(state, ()))

    def add(self, state: State, apart: Container[State] = frozenset()) -> None:
        """Count a state. ``apart``: states that it leads to, and that somebody else looks after."""
        if state in self._counted:
            return
        self._counted.add(state)
        switch = state.at.switch
        flows: dict[int, Flow] = {}
        groups = {}
        ports: set[int] = set()
        leads: set[State] = set()
        for branch in self._fabric.branches(state):
            for flow in branch.way.flows:
                flows[flow.cookie] = flow
            for lost in branch.way.lost:
                if lost.table is not None:
                    flows[-1 - lost.table] = Flow(lost.table, -1, ())
            for group in branch.way.groups:
                groups[group.id] = group
            leads |= {send.state for send in branch.sends if send.state is not None}
        for flow in flows.values():
            ports.update(_ports(flow.actions))
        for group in groups.values():
            for bucket in group.buckets:
                ports.update(_ports(bucket.actions))
                if bucket.watch_port is not None:
                    ports.add(bucket.watch_port)
        for port in ports:
            self._by_port.setdefault((switch, port), set()).add(state)
        for cookie, flow in flows.items():
            by_flow = self._by_flow.setdefault((switch, flow.table), {})
            by_flow.setdefault(cookie, (flow, []))[1].append(state)
        for number in {*groups, *_missing(flows.values(), groups)}:
            self._by_group.setdefault(switch, {}).setdefault(number, []).append(state)
        for lead in leads:
            if lead not in apart:
                self._parents.setdefault(lead, []).append(state)

    def watch(self, state: State, flows: Iterable[Flow]) -> None:
        """A state depends on these flows, too."""
        for flow in flows:
            by_flow = self._by_flow.setdefault((state.at.switch, flow.table), {})
            by_flow.setdefault(flow.cookie, (flow, []))[1].append(state)

    def at_ports(self, dead: Mapping[str, Iterable[int]]) -> set[State]:
        """The states whose switch would send by one of these ports, or looks whether it is alive."""
        states: set[State] = set()
        for switch, ports in dead.items():
            for port in ports:
                states |= self._by_port.get((switch, port), set())
        return states

    def of_change(self, switch: str, before: SwitchTables, now: SwitchTables, change: Change) -> set[State]:
        """The states for which other tables of a switch can make a difference."""
        states: set[State] = set()
        for flow in change.gone:
            by_flow = self._by_flow.get((switch, flow.table), {})
            states.update(by_flow[flow.cookie][1] if flow.cookie in by_flow else ())
        replaced = {(flow.table, flow.priority, flow.match) for flow in change.gone}
        for flow in change.added:
            if (flow.table, flow.priority, flow.match) in replaced:
                continue
            for other, those in self._by_flow.get((switch, flow.table), {}).values():
                if _comes_before(flow, other):
                    states.update(state for state in those if _may_match(state, flow))
        by_group = self._by_group.get(switch, {})
        if by_group and before.groups != now.groups:
            old = {group.id: group for group in before.groups}
            new = {group.id: group for group in now.groups}
            for number, those in by_group.items():
                if old.get(number) != new.get(number):
                    states.update(those)
        return states

    def parents(self, state: State) -> list[State]:
        """The states that lead to one."""
        return self._parents.get(state, [])

    def entries(self) -> list[State]:
        """The states that others lead to."""
        return list(self._parents)

    def leading_to(self, states: Iterable[State]) -> set[State]:
        """These states, and all from which packets get there."""
        reached = set(states)
        waiting = list(reached)
        while waiting:
            for parent in self._parents.get(waiting.pop(), ()):
                if parent not in reached:
                    reached.add(parent)
                    waiting.append(parent)
        return reached


def _missing(flows: Iterable[Flow], known: Container[int]) -> Iterator[int]:
    """Numbers of groups that flows name, and that are not there."""
    for flow in flows:
        for action in flow.actions:
            if isinstance(action, ToGroup) and action.group not in known:
                yield action.group


def _may_match(state: State, flow: Flow) -> bool:
    """Whether a flow can match packets of a state. Only where they are looked up as they came is it known; of
    all frames of a port, that they came in by it."""
    if state.table is not flow.table:
        return True
    if state.whole:
        at = state.at.number
        return all(field.name != "in_port" or field.value == at for field in flow.match)
    decide = state.packets.decide
    return all(decide(name, value, mask) is not False for name, value, mask in tests_of(flow))


def _comes_before(flow: Flow, other: Flow) -> bool:
    """Whether a new flow can take packets that matched another one."""
    if flow.table is not other.table or flow.priority < other.priority:
        return False
    mine = {(name, mask): value for name, value, mask in tests_of(flow)}
    return all(mine.get((name, mask), value) == value for name, value, mask in tests_of(other))


def _ports(actions: Iterable[Action]) -> Iterator[int]:
    for action in actions:
        if isinstance(action, Output):
            yield action.port
        elif isinstance(action, Clone):
            yield from _ports(action.actions)


def matched(fabric: Fabric) -> dict[str, set[int]]:
    """Switch -> cookies of the flows that some packet of some state matches."""
    cookies: dict[str, set[int]] = {}
    for state in fabric.known:
        of_switch = cookies.setdefault(state.at.switch, set())
        for branch in fabric.branches(state):
            of_switch.update(flow.cookie for flow in branch.way.flows)
    return cookies


class Same(dict[str, SwitchIndex]):
    """The indexes of tables, made when they are asked for; of those that are the same objects as before, the
    ones that there are."""

    def __init__(self, tables: Mapping[str, SwitchTables], before: Mapping[str, SwitchIndex]) -> None:
        super().__init__()
        self._tables, self._before = tables, before

    def __missing__(self, name: str) -> SwitchIndex:
        old = self._before.get(name)
        table = self._tables[name]
        index = self[name] = old if old is not None and old.tables is table else SwitchIndex(table, old)
        return index
