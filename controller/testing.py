"""A controller without switches, for tests: its core's commands are carried out in memory.

This project's own tests use ``PretendedSwitches``; tests of what builds on the controller may use it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from controller.compiler.compile import compile_topology
from controller.flow.tables import CONTROLLER as TO_CONTROLLER
from controller.flow.tables import Flow, Group, Meter, SwitchTables, Table
from controller.messages import Stage, encode
from controller.runtime.commands import (
    Command,
    Compile,
    Disconnect,
    Dump,
    Emit,
    Held,
    Inject,
    Program,
    Send,
    Usage,
)
from controller.runtime.core import Core
from controller.runtime.liveness import is_probe
from topologies.model.kinds import AnyFunction
from topologies.model.topology import Port, Topology

Steps = list[dict[str, SwitchTables]]


@lru_cache(maxsize=512)
def compiled(topology: Topology, *state: Any) -> dict[str, SwitchTables]:
    """Like ``compile_topology``; keeps the results."""
    return compile_topology(topology, *state)


def _opposite_ports(functions: tuple[AnyFunction, ...]) -> dict[Port, tuple[str, Port]]:
    """A port of an inline instance -> the instance's name and its other port."""
    pairs = [
        (instance.name, instance.ports)
        for function in functions
        for instance in function.instances
        if len(instance.ports) == 2
    ]
    return {port: (name, other) for name, (a, b) in pairs for port, other in ((a, b), (b, a))}


def in_three_stages(
    old: Mapping[str, SwitchTables], new: Mapping[str, SwitchTables], _joining: object = None
) -> Steps:
    """A stand-in for the compiler's own stages: first add, then change, then remove."""

    def both(name: str, first: Mapping[str, SwitchTables], then: Mapping[str, SwitchTables]) -> SwitchTables:
        if name not in first or name not in then:
            return new[name]
        one, other = first[name], then[name]
        keys = set(map(_key, one.flows))
        flows = (*one.flows, *(flow for flow in other.flows if _key(flow) not in keys))
        ids = {group.id for group in one.groups}
        groups = (*one.groups, *(group for group in other.groups if group.id not in ids))
        meters = tuple({meter.id: meter for meter in (*one.meters, *other.meters)}.values())
        return replace(new[name], flows=flows, groups=groups, meters=meters)

    add = {name: both(name, old, new) for name in new}
    turn = {name: both(name, new, old) for name in new}
    return [add, turn, dict(new)] if new != old else [dict(new)]


def _key(flow: Flow) -> tuple[object, ...]:
    return flow.table, flow.priority, flow.match


@dataclass
class PretendedSwitches:
    """Carries out the commands of a controller's core on switches that are only sets of flows and groups.

    ``core`` is the controller. Tell it of connections with ``connect`` and ``disconnect``, of anything else
    by ``take(core.…)``, and let time pass with ``run``: ``now`` is the only clock. ``check`` says whether
    every connected switch holds what the compiler wants.

    ``ports``: the port numbers that each switch has. ``dead``: instances that pass no frames. ``slow``:
    bundles wait in ``waiting`` for ``commit``. ``refuse``: so many bundles from now on are refused.
    ``stubborn``: switches that refuse every bundle. What the core sent is in ``seen`` (all commands),
    ``events``, ``sent`` (packet-outs), ``programs`` (bundles) and ``injected``.
    """

    topology: Topology
    now: float = 0.0
    stages: Callable[..., Steps] | None = None
    dead: set[str] = field(default_factory=set)
    slow: bool = False
    waiting: list[Program] = field(default_factory=list)
    steps: Steps = field(default_factory=list)
    meters: dict[str, dict[int, Meter]] = field(default_factory=dict)
    injected: list[Inject] = field(default_factory=list)
    core: Core = field(init=False)
    cookies: dict[str, set[int]] = field(default_factory=dict)
    groups: dict[str, dict[int, Group]] = field(default_factory=dict)
    todo: list[Command] = field(default_factory=list)
    seen: list[Command] = field(default_factory=list)
    events: list[Emit] = field(default_factory=list)
    sent: list[Send] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    refuse: int = 0
    stubborn: set[str] = field(default_factory=set)
    ports: Sequence[int] = (1, 2, 3, *range(40001, 40010))
    conns: int = 0
    _opposite: tuple[object, dict[Port, tuple[str, Port]]] = field(default=(None, {}), init=False)

    def __post_init__(self) -> None:
        stages = self.stages or (lambda old, new, _: [dict(new)])

        def noted(old: Mapping[str, SwitchTables], new: Mapping[str, SwitchTables], joining: object) -> Steps:
            self.steps = stages(old, new, joining)
            return self.steps

        self.core = Core(self.topology, stages=noted, token=b"secretly")
        self.take(self.core.start(self.now))

    def take(self, commands: list[Command]) -> None:
        self.todo += commands

    def connect(self, name: str, down: frozenset[int] = frozenset()) -> None:
        self.conns += 1
        self.waiting = [program for program in self.waiting if program.switch != name]
        dpid = next(s.dpid for s in self.topology.switches if s.name == name)
        ports = {number: number not in down for number in self.ports}
        self.take(self.core.connected(dpid, self.conns, ports, self.now))

    def disconnect(self, name: str) -> None:
        member = self.core.members[name]
        if member.conn is not None:
            self.waiting = [program for program in self.waiting if program.switch != name]
            self.take(self.core.disconnected(member.dpid, member.conn, self.now))

    def run(self, seconds: float = 0.0) -> None:
        """Carry out everything that follows, up to ``seconds`` from now."""
        end = self.now + seconds
        for _ in range(10_000 + int(1000 * seconds)):
            self._tick()
            if self.todo:
                self.carry_out(self.todo.pop(0))
                continue
            due = self.core.next_due(self.now)
            if due is None or due > end:
                self.now = end
                return
            assert due > self.now or self.core.tick(self.now) == [] or self.todo, "nothing moves"
            self.now = max(due, self.now + 1e-6)
        raise AssertionError("the core never comes to rest")

    def _tick(self) -> None:
        out = self.core.tick(self.now)
        for command in out:
            if isinstance(command, Emit) and isinstance(command.event, Stage):
                self._passed(self.steps[command.event.stage - 2])
        self.take(out)

    def _passed(self, stage: dict[str, SwitchTables]) -> None:
        """All switches that are there hold this stage, except for those that keep refusing."""
        for name, member in self.core.members.items():
            if member.conn is not None and member.failures < self.core.patience.refusals:
                assert self.cookies[name] == {flow.cookie for flow in stage[name].flows}, name

    def commit(self, number: int = 0) -> None:
        """A switch carries out a bundle that waits."""
        if self.waiting:
            self._commit(self.waiting.pop(number % len(self.waiting)))

    def deliver(self, send: Send) -> None:
        """A probe goes through its instance, unless that is dead; a reference comes straight back."""
        if send.port.number == TO_CONTROLLER:
            dpid = self.core.members[send.port.switch].dpid
            self.take(self.core.packet(dpid, TO_CONTROLLER, Table.CLASSIFY, send.frame, self.now))
            return
        functions = self.core.topology.functions
        if self._opposite[0] is not functions:
            self._opposite = functions, _opposite_ports(functions)
        name, out = self._opposite[1].get(send.port, ("", None))
        if out is not None and name not in self.dead:
            dpid = self.core.members[out.switch].dpid
            self.take(self.core.packet(dpid, out.number, Table.CLASSIFY, send.frame, self.now))

    def carry_out(self, command: Command) -> None:
        """Carry out a command, and tell the core the result."""
        core = self.core
        self.seen.append(command)
        if isinstance(command, Compile):
            tables = compiled(*command[1:])
            self.take(core.compiled(command.generation, tables, 0.001, self.now))
        elif isinstance(command, Dump):
            name = command.switch
            held = Held(
                frozenset(self.cookies.get(name, ())),
                tuple(self.groups.get(name, {}).values()),
                tuple(self.meters.get(name, {}).values()),
            )
            self.take(core.dumped(name, command.conn, held, self.now))
        elif isinstance(command, Program):
            self._program(command)
        elif isinstance(command, Emit):
            self.events.append(command)
        elif isinstance(command, Send) and is_probe(command.frame):
            self.deliver(command)
        elif isinstance(command, Send):
            self.sent.append(command)
        elif isinstance(command, Inject):
            self.injected.append(command)
        elif isinstance(command, Usage):
            self.take(core.used(command.station, False, self.now))
        else:
            assert isinstance(command, Disconnect)

    def _program(self, command: Program) -> None:
        self.programs.append(command)
        if self.slow:
            self.waiting.append(command)
        else:
            self._commit(command)

    def _commit(self, command: Program) -> None:
        name, change = command.switch, command.difference
        if self.refuse or name in self.stubborn:
            self.refuse = max(0, self.refuse - 1)
            self.take(self.core.refused(name, command.conn, "no", self.now))
            return
        cookies, groups = self.cookies.setdefault(name, set()), self.groups.setdefault(name, {})
        meters = self.meters.setdefault(name, {})
        assert bool(command.fresh) == (not cookies and not groups and not meters)
        for meter in change.meters_add + change.meters_modify:
            assert (meter.id in meters) == (meter in change.meters_modify)
            meters[meter.id] = meter
        cookies.difference_update(change.delete)
        cookies.update(flow.cookie for flow in change.add)
        for group in change.groups_add + change.groups_modify:
            groups[group.id] = group
        for number in change.groups_delete:
            del groups[number]
        for number in change.meters_delete:
            del meters[number]
        self.take(self.core.committed(name, command.conn, self.now))

    def named(self, event: str) -> list[dict[str, object]]:
        messages = [encode(entry.event) for entry in self.events if event == entry.event.NAME]
        return [{key: value for key, value in message.items() if key != "event"} for message in messages]

    def check(self) -> None:
        """Every connected switch holds exactly the tables that the compiler makes of the present state."""
        core = self.core
        wanted = compiled(
            core.topology,
            core.down_links(),
            core.avoid(self.now),
            core.learning.learned(),
            core.health.failed,
        )
        for name, member in core.members.items():
            if member.conn is not None:
                assert self.cookies[name] == {flow.cookie for flow in wanted[name].flows}, name
                assert self.groups.get(name, {}) == {group.id: group for group in wanted[name].groups}, name
                assert self.meters.get(name, {}) == {meter.id: meter for meter in wanted[name].meters}, name
