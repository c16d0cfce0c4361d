"""A small lab, and switches that exist only as what they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Any

from controller.compiler.compile import compile_topology
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
    Usage,
)
from controller.runtime.core import Core
from controller.runtime.learning import Send
from controller.runtime.liveness import is_probe
from topologies.model.functions import Backend, Balancer, Chain, Function, Instance
from topologies.model.topology import Domain, Host, Link, Network, Port, Switch, Topology


def ring(switches: int = 4) -> Topology:
    """``s1``..: a ring; port 1 leads on, port 2 back, a host ``h<n>`` of network lan on port 3."""
    names = [f"s{n}" for n in range(1, switches + 1)]
    return Topology(
        name="ring",
        domains=(Domain(name="d"),),
        networks=(
            Network(name="lan", subnet4=IPv4Network("10.0.0.0/24"), subnet6=IPv6Network("2001:db8::/64")),
        ),
        switches=tuple(Switch(name=name, domain="d", dpid=n) for n, name in enumerate(names, 1)),
        links=tuple(
            Link(
                name=f"{a}-{b}",
                a=Port(switch=a, number=1),
                b=Port(switch=b, number=2),
            )
            for a, b in zip(names, names[1:] + names[:1], strict=True)
        ),
        hosts=tuple(
            Host(
                name=f"h{n}",
                network="lan",
                port=Port(switch=name, number=3),
                mac=f"02:00:00:00:00:{n:02x}",
                ipv4=IPv4Interface(f"10.0.0.{n}/24"),
                ipv6=IPv6Interface(f"2001:db8::{n}/64"),
                allow_spoofing=True,  # these are about strangers, who are learned behind such ports only
            )
            for n, name in enumerate(names, 1)
        ),
    )


def serviced(instances: int = 2, order: tuple[str, ...] = ("fw", "limit")) -> Topology:
    """The ring with functions ``fw`` at s1 and ``limit`` at s3, a load balancer ``lb``, and chain ``web``."""
    lab = ring()
    functions = (
        _inline("fw", "s1", instances),
        _inline("limit", "s3", 1),
        Function(
            name="lb",
            kind="load-balancer",
            engine="openflow",
            mode="flows",
            switch="s2",
            balancer=Balancer(
                network="lan",
                at=Port(switch="s2", number=40009),
                mac="02:00:01:00:00:01",
                ipv4=IPv4Interface("10.0.0.80/24"),
                port=80,
                backends=tuple(
                    Backend(host=host.name, mac=host.mac, ipv4=host.ipv4, port=80) for host in lab.hosts[2:]
                ),
            ),
        ),
    )
    chain = Chain(name="web", path=1, network="lan", far_network="lan", protocol="tcp", functions=order)
    return lab.model_copy(update={"functions": functions, "chains": (chain,)})


def _inline(name: str, switch: str, instances: int) -> Function:
    return Function(
        name=name,
        kind="bridge",
        engine="kernel",
        mode="inline",
        switch=switch,
        instances=tuple(
            Instance(
                name=f"{name}.{n}",
                inward=Port(switch=switch, number=40000 + 2 * n - 1),
                outward=Port(switch=switch, number=40000 + 2 * n),
            )
            for n in range(1, instances + 1)
        ),
    )


Steps = list[dict[str, SwitchTables]]


@lru_cache(maxsize=512)
def compiled(topology: Topology, *state: Any) -> dict[str, SwitchTables]:
    """Like ``compile_topology``; what is asked for again is not compiled again."""
    return compile_topology(topology, *state)


def in_three_stages(
    old: Mapping[str, SwitchTables], new: Mapping[str, SwitchTables], _joining: object = None
) -> Steps:
    """A stand-in for what the compiler's own stages are: what is new, what is changed, what goes."""

    def both(name: str, first: Mapping[str, SwitchTables], then: Mapping[str, SwitchTables]) -> SwitchTables:
        if name not in first or name not in then:
            return new[name]
        one, other = first[name], then[name]
        keys = set(map(_key, one.flows))
        flows = (*one.flows, *(flow for flow in other.flows if _key(flow) not in keys))
        ids = {group.id for group in one.groups}
        groups = (*one.groups, *(group for group in other.groups if group.id not in ids))
        meters = tuple({each.id: each for each in (*one.meters, *other.meters)}.values())
        return replace(new[name], flows=flows, groups=groups, meters=meters)

    add = {name: both(name, old, new) for name in new}
    turn = {name: both(name, new, old) for name in new}
    return [add, turn, dict(new)] if new != old else [dict(new)]


def _key(flow: Flow) -> tuple[object, ...]:
    return flow.table, flow.priority, flow.match


@dataclass
class Pretend:
    """Carries out a core's commands on switches made of sets. ``now`` is the only clock.

    ``dead``: instances that pass no frames. ``slow``: bundles wait in ``waiting`` for `commit`.
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
    events: list[Emit] = field(default_factory=list)
    sent: list[Send] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    refuse: int = 0
    conns: int = 0

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
        self.waiting = [each for each in self.waiting if each.switch != name]
        dpid = next(s.dpid for s in self.topology.switches if s.name == name)
        ports = {number: number not in down for number in (1, 2, 3, *range(40001, 40010))}
        self.take(self.core.connected(dpid, self.conns, ports, self.now))

    def disconnect(self, name: str) -> None:
        member = self.core.members[name]
        if member.conn is not None:
            self.waiting = [each for each in self.waiting if each.switch != name]
            self.take(self.core.disconnected(member.dpid, member.conn, self.now))

    def run(self, seconds: float = 0.0) -> None:
        """Carry out everything that follows, up to ``seconds`` from now."""
        end = self.now + seconds
        for _ in range(10_000 + int(1000 * seconds)):
            self._tick()
            if self.todo:
                self._one(self.todo.pop(0))
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
        """All who are there hold this stage, but those who keep refusing."""
        for name, member in self.core.members.items():
            if member.conn is not None and member.failures < self.core.patience.refusals:
                assert self.cookies[name] == {flow.cookie for flow in stage[name].flows}, name

    def commit(self, number: int = 0) -> None:
        """A switch carries out a bundle that waits."""
        if self.waiting:
            self._carry_out(self.waiting.pop(number % len(self.waiting)))

    def deliver(self, send: Send) -> None:
        """A probe goes through its instance, if that passes anything."""
        for function in self.core.topology.functions:
            for instance in function.instances:
                ends = (instance.inward, instance.outward)
                if send.port in ends and instance.name not in self.dead:
                    out = ends[1 - ends.index(send.port)]
                    assert out is not None
                    dpid = self.core.members[out.switch].dpid
                    self.take(self.core.packet(dpid, out.number, Table.CLASSIFY, send.frame, self.now))

    def _one(self, command: Command) -> None:
        core = self.core
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
            self._carry_out(command)

    def _carry_out(self, command: Program) -> None:
        name, change = command.switch, command.difference
        if self.refuse:
            self.refuse -= 1
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
        said = [encode(entry.event) for entry in self.events if event == entry.event.NAME]
        return [{key: value for key, value in each.items() if key != "event"} for each in said]

    def check(self) -> None:
        """Every connected switch holds exactly what the compiler says for the state of things."""
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
