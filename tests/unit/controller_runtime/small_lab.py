"""A small lab, and switches that exist only as what they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from controller.compiler import compile_topology
from controller.runtime.commands import Command, Compile, Disconnect, Dump, Emit, Held, Program, Usage
from controller.runtime.core import Core
from controller.runtime.learning import Send
from controller.tables import Group
from topologies.model import Domain, Host, Link, Network, Port, Switch, Topology


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


@dataclass
class Pretend:
    """Carries out a core's commands on switches made of sets. ``now`` is the only clock."""

    topology: Topology
    now: float = 0.0
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
        self.core = Core(self.topology)
        self.take(self.core.start(self.now))

    def take(self, commands: list[Command]) -> None:
        self.todo += commands

    def connect(self, name: str, down: frozenset[int] = frozenset()) -> None:
        self.conns += 1
        dpid = next(s.dpid for s in self.topology.switches if s.name == name)
        ports = {number: number not in down for number in (1, 2, 3)}
        self.take(self.core.connected(dpid, self.conns, ports, self.now))

    def disconnect(self, name: str) -> None:
        member = self.core.members[name]
        if member.conn is not None:
            self.take(self.core.disconnected(member.dpid, member.conn, self.now))

    def run(self, seconds: float = 0.0) -> None:
        """Carry out everything that follows, up to ``seconds`` from now."""
        end = self.now + seconds
        for _ in range(10_000):
            self.take(self.core.tick(self.now))
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

    def _one(self, command: Command) -> None:
        core = self.core
        if isinstance(command, Compile):
            tables = compile_topology(*command[1:])
            self.take(core.compiled(command.generation, tables, 0.001, self.now))
        elif isinstance(command, Dump):
            name = command.switch
            held = Held(frozenset(self.cookies.get(name, ())), tuple(self.groups.get(name, {}).values()))
            self.take(core.dumped(name, command.conn, held, self.now))
        elif isinstance(command, Program):
            self._program(command)
        elif isinstance(command, Emit):
            self.events.append(command)
        elif isinstance(command, Send):
            self.sent.append(command)
        elif isinstance(command, Usage):
            self.take(core.used(command.station, False, self.now))
        else:
            assert isinstance(command, Disconnect)

    def _program(self, command: Program) -> None:
        self.programs.append(command)
        name, change = command.switch, command.difference
        if self.refuse:
            self.refuse -= 1
            self.take(self.core.refused(name, command.conn, "no", self.now))
            return
        cookies, groups = self.cookies.setdefault(name, set()), self.groups.setdefault(name, {})
        assert bool(command.fresh) == (not cookies and not groups)
        cookies.difference_update(change.delete)
        cookies.update(flow.cookie for flow in change.add)
        for group in change.groups_add + change.groups_modify:
            groups[group.id] = group
        for number in change.groups_delete:
            del groups[number]
        self.take(self.core.committed(name, command.conn, self.now))

    def named(self, event: str) -> list[dict[str, object]]:
        return [entry.fields for entry in self.events if entry.event == event]

    def check(self) -> None:
        """Every connected switch holds exactly what the compiler says for the state of things."""
        core = self.core
        wanted = compile_topology(
            core.topology, core.down_links(), core.avoid(self.now), core.learning.learned()
        )
        for name, member in core.members.items():
            if member.conn is not None:
                assert self.cookies[name] == {flow.cookie for flow in wanted[name].flows}, name
                assert self.groups.get(name, {}) == {group.id: group for group in wanted[name].groups}, name
