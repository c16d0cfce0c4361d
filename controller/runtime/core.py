"""What the controller does next: events go in, commands come out; nothing here does input or output.

One `Core` holds the wanted tables (the compiled intent), and what each switch is known to hold.  First start,
reconnect, controller restart, a changed intent and a dead link are handled in one way: when a connected, idle
switch does not hold the wanted tables, the difference is sent to it as one bundle.  A switch is asked what it
holds only when this is not known (a new connection, or after a refusal).  When service chains change, the
wanted tables change in stages (`controller.runtime.rollout`), and all switches hold a stage before the next
begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.compiler.stations import function_ports
from controller.flow.tables import CONTROLLER as TO_CONTROLLER
from controller.flow.tables import SwitchTables, Table
from controller.messages import Compiled, ControllerError, Disconnected, Event, PortChanged, Recompiled
from controller.runtime.address_plan import address_plan
from controller.runtime.agenda import Agenda
from controller.runtime.changed_addresses import announced
from controller.runtime.commands import Command, Compile, Emit, Held, Patience, Resume, Send, Usage
from controller.runtime.echoes import Echoes
from controller.runtime.exhausted import Exhausted
from controller.runtime.health import Health
from controller.runtime.learning import Learning, Limits, Outcome
from controller.runtime.liveness import Liveness, Rhythm, is_probe
from controller.runtime.members import Member, Roster
from controller.runtime.programming import Programming
from controller.runtime.rollout import Stages
from controller.runtime.stations import Station
from controller.runtime.stranded import Stranded
from controller.runtime.verdicts import Punt, Verdicts
from controller.simulate.icmp_errors import onward, without_errors
from controller.simulate.switch import Lookup
from controller.update.difference import stages
from controller.update.joining import NOBODY, joining, lesson
from topologies.model.topology import Port, Topology


@dataclass(slots=True)
class Core:
    """The controller's state machine.

    The methods of the first half take events, and return the commands that follow at once.  After one event
    or a burst of them, ``tick`` returns all commands that are due.  ``token``: 8 random octets that mark the
    controller's own probes, so that nobody can forge them.
    """

    topology: Topology
    patience: Patience = field(default_factory=Patience)
    limits: Limits = field(default_factory=Limits)
    rhythm: Rhythm = field(default_factory=Rhythm)
    token: bytes = bytes(8)
    stages: Stages = stages
    learning: Learning = field(init=False)
    health: Health = field(init=False)
    verdicts: Verdicts = field(init=False)
    stranded: Stranded = field(init=False)
    echoes: Echoes = field(init=False)
    exhausted: Exhausted = field(init=False)
    roster: Roster = field(init=False)
    programming: Programming = field(init=False)
    generation: int = field(init=False, default=0)
    _functions: frozenset[Port] = field(init=False)
    _lookups: dict[tuple[str, Table], tuple[SwitchTables, Lookup]] = field(init=False, default_factory=dict)
    _agenda: Agenda = field(init=False, default_factory=Agenda)
    _learned_at: float = field(init=False, default=0.0)
    _before: Topology | None = field(init=False, default=None)
    _to_announce: list[Send] = field(init=False, default_factory=list)
    _usage: dict[tuple[str, int], float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.learning = Learning(self.topology, self.limits)
        self._functions = function_ports(self.topology)
        self.health = Health(self.topology, Liveness(self.token, self.rhythm))
        self.verdicts = Verdicts(self.topology)
        self.stranded = Stranded(self.topology)
        self.echoes = Echoes(self.topology)
        self.exhausted = Exhausted(self.topology)
        self.roster = Roster(self.topology, self.patience)
        self.programming = Programming(self.roster, self.patience, self.stages)

    @property
    def members(self) -> dict[str, Member]:
        """The intent's switches by name."""
        return self.roster.members

    @property
    def wanted(self) -> dict[str, SwitchTables]:
        """What every switch should hold now; during a rollout these are the tables of its present stage."""
        return self.programming.rollout.wanted

    @property
    def converged(self) -> bool:
        """Whether every switch that is there holds the tables of the newest intent."""
        return self.programming.converged

    def settled(self, without: frozenset[str] = frozenset()) -> bool:
        """Whether all switches hold their tables, and no event is left that may change these.  ``without``:
        switches that were taken away on purpose, for which nobody needs to wait."""
        compiled = self._agenda.compiled
        if compiled is None or not self._agenda.idle:
            return False
        return self.converged or self.programming.holds(compiled.avoid | without)

    # -- what happens ------------------------------------------------------------------

    def start(self, now: float) -> list[Command]:
        """Begin: compile the first intent."""
        return self._begin("start", now)

    def intent(self, topology: Topology, now: float) -> list[Command]:
        """Another intent: the lab becomes this topology."""
        self._to_announce += announced(address_plan(self.topology), address_plan(topology))
        self.topology = topology
        self.learning.replace(topology)
        self._functions = function_ports(topology)
        self.health.replace(topology, now)
        self.verdicts.replace(topology)
        self.stranded.replace(topology)
        self.echoes.replace(topology)
        self.exhausted.replace(topology)
        self.roster.enrol(topology)
        out = self._begin("intent", now)
        for dpid, conn, ports in self.roster.admitted():
            out += self.connected(dpid, conn, ports, now)
        return out

    def _begin(self, why: str, now: float) -> list[Command]:
        self.programming.unsettle(now)
        self._agenda.insist(why, now)
        return []

    def connected(self, dpid: int, conn: int, ports: Mapping[int, bool], now: float) -> list[Command]:
        """A switch has finished its handshake; ``ports``: number -> up."""
        member, out = self.roster.connected(dpid, conn, ports, now)
        if member is not None:
            self.programming.unsettle(now)
            if self._links_differ(member):
                self._reconsider(f"{member.name} connected", now)
        return out

    def disconnected(self, dpid: int, conn: int, now: float) -> list[Command]:
        """A connection ended."""
        member = self.roster.disconnected(dpid, conn, now)
        if member is None:
            return []
        self.programming.unsettle(now)
        return [Emit(Disconnected(member.name))]

    def port(self, dpid: int, number: int, up: bool | None, now: float) -> list[Command]:
        """A port changed: ``up`` None when it was deleted. A host's port that appears is no news: a switch
        may connect before it has its ports."""
        there = self.roster.has_reported(dpid, number)
        member = self.roster.port(dpid, number, bool(up))
        if member is None:
            return []
        port = Port(switch=member.name, number=number)
        leads_on = self.roster.leads_on(port)
        out: list[Command] = []
        if there or leads_on:
            out.append(Emit(PortChanged(member.name, number, bool(up))))
        if leads_on:
            self._reconsider(f"port {port} {'up' if up else 'down'}", now)
        elif not up:
            out += self._follow_health(self.health.down(port, now), now)
        return out

    def packet(
        self,
        dpid: int,
        number: int,
        table: int,
        frame: bytes,
        now: float,
        cookie: int = 0,
        registers: Mapping[str, int] | None = None,
    ) -> list[Command]:
        """A packet-in, from a flow of ``table`` with this ``cookie``; ``registers``: those that are not 0."""
        member = self.roster.by_dpid(dpid)
        if member is None:
            return []
        port = Port(switch=member.name, number=number)
        from_tables = table == Table.CLASSIFY or number == TO_CONTROLLER
        if from_tables and is_probe(frame) and self.health.liveness.watches(port):
            self.health.liveness.seen(port, frame, now)
            return []
        if table == Table.CHAIN or (table == Table.CLASSIFY and port in self._functions):
            return self._error(port, Table(table), frame, registers or {})
        punt = Punt(port, cookie, frame, registers or {})
        for known in (self.verdicts, self.stranded, self.echoes, self.exhausted):
            commands = known.packet(punt, now)
            if commands is not None:
                return commands
        return self._outcomes(self.learning.packet(port, table, frame, now), now)

    def _error(self, port: Port, table: Table, frame: bytes, registers: Mapping[str, int]) -> list[Command]:
        """An ICMP error: flows can't tell which chain it belongs to."""
        tables = self.wanted.get(port.switch)
        if tables is None:
            return []
        known = self._lookups.get((port.switch, table))
        if known is None or known[0] is not tables:
            known = self._lookups[port.switch, table] = tables, without_errors(tables, table)
        actions = onward(known[1], table, port.number, registers, frame)
        return [Resume(port.switch, port.number, actions, frame)] if actions else []

    def reported(self, failed: Mapping[str, str], now: float) -> list[Command]:
        """The lab reports all instances and backends that have failed (name -> why)."""
        return self._follow_health(self.health.reported(failed, now), now)

    def report(self, name: str, up: bool, reason: str, now: float) -> list[Command]:
        """The lab reports whether one instance or backend works."""
        return self._follow_health(self.health.report(name, up, reason, now), now)

    def used(self, station: Station, packets: bool, now: float) -> list[Command]:
        """Whether a station's flows have counted packets since it was last heard (``packets``)."""
        self._usage.pop((station.network, station.mac), None)
        if packets:
            self.learning.heard(station.network, station.mac, now)
            return []
        return self._outcomes(self.learning.age(station.network, station.mac), now)

    def _outcomes(self, outcomes: Iterable[Outcome], now: float) -> list[Command]:
        out: list[Command] = []
        for outcome in outcomes:
            out.append(Emit(outcome) if isinstance(outcome, Event) else outcome)
        if self.learning.changed:
            self.learning.changed = False
            # A host that keeps inventing addresses must not keep the compiler busy for others.
            self._reconsider("learning", max(now, self._learned_at + 4 * self._agenda.cost))
        return out

    def _follow_health(self, events: list[Emit], now: float) -> list[Command]:
        latest = self._agenda.latest
        if latest is not None and self.health.failed != latest.failed:
            self._reconsider(self.health.why, now)
        return list(events)

    def compiled(
        self, generation: int, tables: Mapping[str, SwitchTables], seconds: float, now: float
    ) -> list[Command]:
        """The compiler's answer to `Compile`."""
        done = self._agenda.done(generation, seconds)
        if done is None:
            return []
        self.generation = generation
        if done.why == "learning":
            self._learned_at = now
        rollout = self.programming.rollout
        if not rollout.later and done.before is not None:
            self._before = done.before.topology
        # during a rollout, functions that were to be taught for it are still taught for a newer aim
        topology = done.command.topology
        joins = NOBODY if self._before is None else joining(self._before, topology)
        rollout.aim(tables, done.staged, joins, lesson(topology))
        flows = sum(len(table.flows) for table in tables.values())
        groups = sum(len(table.groups) for table in tables.values())
        stages = rollout.of if rollout.of > 1 else None
        if done.why in ("start", "intent"):
            return [Emit(Compiled(seconds, flows, groups, stages))]
        return [Emit(Recompiled(seconds, flows, groups, done.why, stages))]

    def uncompiled(self, generation: int, message: str, now: float) -> list[Command]:
        """The compiler has failed: the wanted tables stay as they were."""
        self._agenda.done(generation, None)
        return [Emit(ControllerError(f"cannot compile: {message}"))]

    def dumped(self, name: str, conn: int, held: Held, now: float) -> list[Command]:
        """A switch's answer: what it holds."""
        self.programming.dumped(name, conn, held)
        return []

    def committed(self, name: str, conn: int, now: float) -> list[Command]:
        """A bundle was committed: the switch now holds what was wanted when it was sent."""
        return self.programming.committed(name, conn, now)

    def refused(self, name: str, conn: int, message: str, now: float) -> list[Command]:
        """The switch has reported an error: after a while, ask it again what it holds."""
        return self.programming.refused(name, conn, message, now)

    # -- what follows ------------------------------------------------------------------

    def tick(self, now: float) -> list[Command]:
        """All commands that are due. To be called after every event, and at `next_due`."""
        probes, events = self.health.tick(now, self.roster.is_up)
        out: list[Command] = [*probes, *self._follow_health(events, now), *self.verdicts.tick(now)]
        self._check_absent(now)
        out += self._check_compile(now)
        out += self.programming.tick(now)
        out += self._check_idle(now)
        if self._agenda.idle and self._agenda.compiled is not None:
            settled = self.programming.settled(self._agenda.compiled.avoid, now)
            out += settled
            if settled:  # before that, the switches would answer a host's next question as before
                out += self._to_announce
                self._to_announce = []
        return out

    def next_due(self, now: float) -> float | None:
        """When `tick` should be called again if no event comes before; None: never."""
        due = self.learning.next_due()
        if due is not None and self._usage:
            due = max(due, now + self.patience.grace)
        due_times = (due, self._agenda.next_due(), self.health.liveness.next_due(), self.verdicts.next_due())
        times = [time for time in due_times if time is not None]
        avoid = self._agenda.compiled.avoid if self._agenda.compiled else frozenset()
        for member in self.members.values():
            limit = self.roster.absent_at(member)
            if limit is not None and member.name not in avoid and limit > now:
                times.append(limit)
        return min([*times, *self.programming.times(now)], default=None)

    def name(self, dpid: int | None, conn: int) -> str | None:
        """The switch whose present connection is ``conn``; None for an old or unknown connection."""
        member = self.roster.by_dpid(dpid)
        return member.name if member is not None and member.conn == conn else None

    def conn(self, switch: str) -> int | None:
        """The connection of a switch, if it has one."""
        member = self.members.get(switch)
        return member.conn if member is not None else None

    def avoid(self, now: float) -> frozenset[str]:
        """Switches to route around: gone for longer than the grace."""
        return self.roster.avoid(now)

    def down_links(self) -> frozenset[str]:
        """Links with a port that is down or missing, by what the switches have reported."""
        return self.roster.down_links()

    def _links_differ(self, member: Member) -> bool:
        """Whether the links of a switch that has connected are not as they were compiled."""
        latest = self._agenda.latest
        down = latest.down_links if latest else frozenset()
        return (latest is not None and member.name in latest.avoid) or any(
            (name in down) is up for name, up in self.roster.links_at(member)
        )

    def _reconsider(self, why: str, when: float) -> None:
        """The compiler's input may have changed: compare it a little later, when the burst is over."""
        patience = self.patience
        self._agenda.reconsider(
            why, when + (patience.coalesce if self.programming.converged_once else patience.gather)
        )

    def _check_absent(self, now: float) -> None:
        compiled, agenda = self._agenda.compiled, self._agenda
        if compiled is not None and agenda.pending is None:
            avoid = self.avoid(now)
            if avoid != compiled.avoid and (agenda.compiling is None or avoid != agenda.compiling[0].avoid):
                gone = [f"{name} is gone" for name in sorted(avoid - compiled.avoid)]
                back = [f"{name} is back" for name in sorted(compiled.avoid - avoid)]
                agenda.reconsider("; ".join(gone + back), now)

    def _check_compile(self, now: float) -> list[Command]:
        def given(generation: int) -> Compile:
            return Compile(
                generation,
                self.topology,
                self.down_links(),
                self.avoid(now),
                self.learning.learned(),
                self.health.failed,
            )

        command = self._agenda.take(now, given)
        if command is None:
            return []
        self.programming.unsettle(now)
        return [command]

    def _check_idle(self, now: float) -> list[Command]:
        out: list[Command] = []
        for station in self.learning.due(now):
            key = (station.network, station.mac)
            member = self.members.get(station.port.switch)
            asked = self._usage.get(key)
            if asked is not None and now - asked < self.patience.reply:
                continue
            self._usage[key] = now
            if member is not None and member.conn is not None:
                out.append(Usage(member.name, member.conn, station))
        return out
