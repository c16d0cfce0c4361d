"""Which states depend on what: on a port, a flow, a group, and on other states. Pure.

So a lab that differs from another one in a few flows or dead ports is verified by the states that they touch,
and by those that lead to these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from controller.flow.tables import Action, Clone, Flow, Output, SwitchTables, Table
from controller.verify.lookup import SwitchIndex, tests_of
from controller.verify.outcomes import Fabric
from controller.verify.states import State


class Dependence:
    """Of the states of one fabric, which is complete."""

    def __init__(self, fabric: Fabric) -> None:
        self._parents: dict[State, list[State]] = {}
        self._by_port: dict[tuple[str, int], set[State]] = {}
        self._by_flow: dict[tuple[str, int], list[State]] = {}
        self._by_group: dict[tuple[str, int], list[State]] = {}
        self._tables: dict[str, SwitchTables] = {
            name: switch.index.tables for name, switch in fabric.switches.items()
        }
        self._counted: set[State] = set()
        self._fabric = fabric
        self.extend()

    def extend(self) -> None:
        """Take in states that were added since."""
        for state in [state for state in self._fabric.known if state not in self._counted]:
            self._add(state)

    def _add(self, state: State) -> None:
        self._counted.add(state)
        switch = state.at.switch
        flows: dict[int, Flow] = {}
        groups = {}
        ports: set[int] = set()
        leads: set[State] = set()
        for branch in self._fabric.branches(state):
            for flow in branch.way.flows:
                flows[flow.cookie] = flow
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
        for cookie in flows:
            self._by_flow.setdefault((switch, cookie), []).append(state)
        for number in groups:
            self._by_group.setdefault((switch, number), []).append(state)
        for lead in leads:
            self._parents.setdefault(lead, []).append(state)

    def at_ports(self, dead: Mapping[str, Iterable[int]]) -> set[State]:
        """The states whose switch would send by one of these ports, or looks whether it is alive."""
        states: set[State] = set()
        for switch, ports in dead.items():
            for port in ports:
                states |= self._by_port.get((switch, port), set())
        return states

    def of_tables(self, switch: str, now: SwitchTables) -> set[State]:
        """The states for which other tables of a switch can make a difference."""
        before = self._tables[switch]
        if before is now:
            return set()
        states: set[State] = set()
        old = {flow.cookie: flow for flow in before.flows}
        new = {flow.cookie: flow for flow in now.flows}
        gone = [flow for cookie, flow in old.items() if cookie not in new]
        for flow in gone:
            states.update(self._by_flow.get((switch, flow.cookie), ()))
        replaced = {(flow.table, flow.priority, flow.match) for flow in gone}
        added = [flow for cookie, flow in new.items() if cookie not in old]
        for flow in added:
            if (flow.table, flow.priority, flow.match) not in replaced:
                for other in before.flows:
                    if _comes_before(flow, other):
                        states.update(self._by_flow.get((switch, other.cookie), ()))
        if before.groups != now.groups:
            groups = {group.id: group for group in now.groups}
            for group in before.groups:
                if groups.get(group.id) != group:
                    states.update(self._by_group.get((switch, group.id), ()))
            missing = {group.id for group in now.groups} - {group.id for group in before.groups}
            for number in missing:
                states.update(self._by_group.get((switch, number), ()))
        return states

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


def matched(fabric: Fabric) -> dict[str, dict[Table, frozenset[int]]]:
    """Switch -> table -> cookies of the flows that some packet of some state matches."""
    cookies: dict[str, dict[Table, set[int]]] = {}
    for state in fabric.known:
        of_switch = cookies.setdefault(state.at.switch, {})
        for branch in fabric.branches(state):
            for flow in branch.way.flows:
                of_switch.setdefault(flow.table, set()).add(flow.cookie)
    return {
        switch: {table: frozenset(seen) for table, seen in tables.items()}
        for switch, tables in cookies.items()
    }


def other_switches(
    tables: Mapping[str, SwitchTables], indexes: Mapping[str, SwitchIndex]
) -> dict[str, SwitchIndex]:
    """The tables, with the indexes of those that are still the same."""
    return {
        name: indexes[name] if indexes[name].tables is table else SwitchIndex(table)
        for name, table in tables.items()
    }
