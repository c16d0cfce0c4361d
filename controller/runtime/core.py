"""What the controller does next: events go in, commands come out, nothing is touched.

One `Core` holds what is wanted (the intent, compiled) and what each switch is known to
hold.  First start, reconnect, controller restart, a changed intent and a dead link are one
path: whenever a switch is connected, idle and holds something else than is wanted, the
difference goes out as one bundle.  What a switch holds is asked from it only when it is
not known (a new connection, or after a refusal).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from controller.difference import Difference, difference
from controller.runtime.commands import (
    Command,
    Compile,
    Disconnect,
    Dump,
    Emit,
    Held,
    Patience,
    Program,
    Usage,
)
from controller.runtime.learning import Learning, Limits, Outcome, Station, Told
from controller.tables import SwitchTables
from topologies.model import Port, Topology


class Flight(NamedTuple):
    wanted: SwitchTables
    added: int
    deleted: int
    sent: float


@dataclass(slots=True)
class Member:
    """A switch of the lab. ``held`` None: unknown, to be asked; ``ports`` None: never seen."""

    name: str
    dpid: int
    conn: int | None = None
    gone: float | None = None
    since: float = 0.0
    held: Held | SwitchTables | None = None
    dumping: float | None = None
    flight: Flight | None = None
    failures: int = 0
    not_before: float = 0.0
    greeted: bool = False
    ports: dict[int, bool] | None = None


@dataclass(slots=True)
class _Pending:
    why: str
    at: float


@dataclass(slots=True)
class Core:
    """The controller's state machine.

    What happens is told to the first half's methods, which return what follows at once;
    then (after one event or a burst of them) ``tick`` returns all that is due.
    """

    topology: Topology
    patience: Patience = field(default_factory=Patience)
    limits: Limits = field(default_factory=Limits)
    members: dict[str, Member] = field(init=False, default_factory=dict)
    wanted: dict[str, SwitchTables] = field(init=False, default_factory=dict)
    learning: Learning = field(init=False)
    converged: bool = field(init=False, default=False)
    generation: int = field(init=False, default=0)
    _begun: float = field(init=False, default=0.0)
    _names: dict[int, str] = field(init=False, default_factory=dict)
    _links: dict[str, dict[int, str]] = field(init=False, default_factory=dict)
    _strangers: dict[int, tuple[int, dict[int, bool]]] = field(init=False, default_factory=dict)
    _pending: _Pending | None = field(init=False, default=None)
    _compiling: tuple[Compile, str] | None = field(init=False, default=None)
    _compiled: Compile | None = field(init=False, default=None)
    _ever: bool = field(init=False, default=False)
    _arrival: float | None = field(init=False, default=None)
    _cost: float = field(init=False, default=0.0)
    _learned_at: float = field(init=False, default=0.0)
    _usage: dict[tuple[str, int], float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.learning = Learning(self.topology, self.limits)
        self._enrol()

    def _enrol(self) -> None:
        old = self.members
        self.members = {}
        for switch in self.topology.switches:
            kept = old.get(switch.name)
            same = kept is not None and kept.dpid == switch.dpid
            self.members[switch.name] = kept if kept and same else Member(switch.name, switch.dpid)
        self._names = {member.dpid: member.name for member in self.members.values()}
        self._links = {}
        for link in self.topology.links:
            for end in (link.a, link.b):
                self._links.setdefault(end.switch, {})[end.number] = link.name
        for name, member in old.items():  # a switch that left the intent may come back into it
            if self.members.get(name) is not member and member.conn is not None:
                self._strangers[member.dpid] = (member.conn, member.ports or {})

    # -- what happens ------------------------------------------------------------------

    def start(self, now: float) -> list[Command]:
        """Begin: compile the first intent."""
        return self._intend("start", now)

    def intent(self, topology: Topology, now: float) -> list[Command]:
        """The lab is to be another one."""
        self.topology = topology
        self.learning.replace(topology)
        self._enrol()
        out = self._intend("intent", now)
        for dpid, (conn, ports) in list(self._strangers.items()):
            if dpid in self._names:
                del self._strangers[dpid]
                out += self.connected(dpid, conn, ports, now)
        return out

    def _intend(self, why: str, now: float) -> list[Command]:
        self._unsettle(now)
        self._pending = _Pending(why, now)
        return []

    def connected(self, dpid: int, conn: int, ports: Mapping[int, bool], now: float) -> list[Command]:
        """A switch finished its handshake; ``ports``: number -> up."""
        out: list[Command] = []
        name = self._names.get(dpid)
        if name is None:
            self._strangers[dpid] = (conn, dict(ports))
            message = f"switch {dpid:#018x} connected, but the topology has none with that datapath id"
            return [Emit("error", {"message": message})]
        member = self.members[name]
        if member.conn is not None and member.conn != conn:
            message = f"{name}: a second connection with the same datapath id replaces the first"
            out += [Disconnect(member.conn), Emit("error", {"switch": name, "message": message})]
        member.conn, member.since, member.gone = conn, now, None
        member.held = member.dumping = member.flight = None
        member.greeted = False
        member.not_before = 0.0
        member.ports = dict(ports)
        self._arrival = now
        self._unsettle(now)
        out.append(Emit("connected", {"switch": name}))
        if self._news(member):
            self._reconsider(f"{name} connected", now)
        return out

    def disconnected(self, dpid: int, conn: int, now: float) -> list[Command]:
        """A connection ended."""
        if self._strangers.get(dpid, (0, {}))[0] == conn:
            del self._strangers[dpid]
        member = self.members.get(self._names.get(dpid, ""))
        if member is None or member.conn != conn:
            return []
        member.conn, member.gone = None, now
        member.held = member.dumping = member.flight = None
        self._unsettle(now)
        return [Emit("disconnected", {"switch": member.name})]

    def port(self, dpid: int, number: int, up: bool | None, now: float) -> list[Command]:
        """A port changed: ``up`` None when it was deleted."""
        if dpid in self._strangers:
            self._strangers[dpid][1][number] = bool(up)
        member = self.members.get(self._names.get(dpid, ""))
        if member is None or member.ports is None or member.ports.get(number) == bool(up):
            return []
        member.ports[number] = bool(up)
        if number in self._links.get(member.name, {}):
            self._reconsider(f"port {member.name}:{number} {'up' if up else 'down'}", now)
        return [Emit("port", {"switch": member.name, "port": number, "up": bool(up)})]

    def packet(self, dpid: int, number: int, table: int, frame: bytes, now: float) -> list[Command]:
        """A packet-in, from a flow of ``table``."""
        name = self._names.get(dpid)
        if name is None:
            return []
        port = Port(switch=name, number=number)
        return self._outcomes(self.learning.packet(port, table, frame, now), now)

    def used(self, station: Station, packets: bool, now: float) -> list[Command]:
        """A station's flows were looked at: did they count packets since it was last heard?"""
        self._usage.pop((station.network, station.mac), None)
        if packets:
            self.learning.heard(station.network, station.mac, now)
            return []
        return self._outcomes(self.learning.age(station.network, station.mac), now)

    def _outcomes(self, outcomes: Iterable[Outcome], now: float) -> list[Command]:
        out: list[Command] = []
        for outcome in outcomes:
            out.append(Emit(outcome.event, outcome.fields) if isinstance(outcome, Told) else outcome)
        if self.learning.changed:
            self.learning.changed = False
            # A host that keeps inventing addresses must not keep the compiler busy for others.
            self._reconsider("learning", max(now, self._learned_at + 4 * self._cost))
        return out

    def compiled(
        self, generation: int, tables: Mapping[str, SwitchTables], seconds: float, now: float
    ) -> list[Command]:
        """Tables for what `Compile` asked."""
        if self._compiling is None or self._compiling[0].generation != generation:
            return []
        command, why = self._compiling
        self._compiling, self._compiled = None, command
        self.generation, self._cost = generation, seconds
        if why == "learning":
            self._learned_at = now
        self.wanted = dict(tables)
        flows = sum(len(table.flows) for table in tables.values())
        groups = sum(len(table.groups) for table in tables.values())
        fields: dict[str, Any] = {"seconds": seconds, "flows": flows, "groups": groups}
        if why in ("start", "intent"):
            return [Emit("compiled", fields)]
        return [Emit("recompiled", {**fields, "why": why})]

    def uncompiled(self, generation: int, message: str, now: float) -> list[Command]:
        """The compiler failed: what was wanted before stays."""
        if self._compiling is not None and self._compiling[0].generation == generation:
            self._compiled, self._compiling = self._compiling[0], None
        return [Emit("error", {"message": f"cannot compile: {message}"})]

    def dumped(self, name: str, conn: int, held: Held, now: float) -> list[Command]:
        """What a switch holds."""
        member = self.members.get(name)
        if member is not None and member.conn == conn and member.dumping is not None:
            member.held, member.dumping = held, None
        return []

    def committed(self, name: str, conn: int, now: float) -> list[Command]:
        """A bundle was committed: the switch now holds what was wanted when it was sent."""
        member = self.members.get(name)
        if member is None or member.conn != conn or member.flight is None:
            return []
        flight = member.flight
        member.held, member.flight, member.failures = flight.wanted, None, 0
        return [self._programmed(member, flight.added, flight.deleted, flight.sent, now)]

    def refused(self, name: str, conn: int, message: str, now: float) -> list[Command]:
        """The switch reported an error: ask it anew what it holds, after a while."""
        member = self.members.get(name)
        if member is None or member.conn != conn or (member.flight is None and member.dumping is None):
            return []  # the errors after the first of a bundle say nothing new
        member.held = member.flight = member.dumping = None
        member.failures += 1
        wait = min(self.patience.retry * 2 ** min(member.failures - 1, 20), self.patience.retry_most)
        member.not_before = now + wait
        self._unsettle(now)
        fields = {"switch": name, "message": f"{name}: {message}; resynchronised in {wait:g} s"}
        return [Emit("error", fields)]

    # -- what follows ------------------------------------------------------------------

    def tick(self, now: float) -> list[Command]:
        """All that is due. Called after whatever happens, and at `next_due`."""
        self._check_absent(now)
        out = self._check_compile(now)
        for member in self.members.values():
            if member.conn is not None and member.flight is None and member.dumping is None:
                out += self._settle(member, now)
            elif member.conn is not None:
                began = member.flight.sent if member.flight else member.dumping
                if began is not None and now - began >= self.patience.reply:
                    message = f"{member.name}: no reply within {self.patience.reply:g} s: disconnected"
                    out += [Emit("error", {"switch": member.name, "message": message})]
                    out.append(Disconnect(member.conn))
                    member.flight = member.dumping = None
                    member.held, member.not_before = None, now + self.patience.reply
        out += self._check_idle(now)
        if not self.converged and self._is_converged():
            self.converged = self._ever = True
            out.append(Emit("all-programmed", {"seconds": now - self._begun}))
        return out

    def next_due(self, now: float) -> float | None:
        """When `tick` should be called again, if nothing happens before; None: never."""
        times: list[float] = []
        if self._pending is not None and self._compiling is None:
            times.append(self._pending.at)
        due = self.learning.next_due()
        if due is not None:
            times.append(due if not self._usage else max(due, now + self.patience.grace))
        avoid = self._compiled.avoid if self._compiled else frozenset()
        for member in self.members.values():
            if member.conn is None:
                limit = self._absent_at(member)
                if limit is not None and member.name not in avoid and limit > now:
                    times.append(limit)
            elif member.flight or member.dumping is not None:
                began = member.flight.sent if member.flight else member.dumping
                times.append((began or now) + self.patience.reply)
            elif member.held is None and member.not_before > now:
                times.append(member.not_before)
        return min(times) if times else None

    def name(self, dpid: int | None, conn: int) -> str | None:
        """The switch whose connection ``conn`` now is; None for an old or unknown one."""
        member = self.members.get(self._names.get(dpid or 0, ""))
        return member.name if member is not None and member.conn == conn else None

    def conn(self, switch: str) -> int | None:
        """The connection of a switch, if it has one."""
        member = self.members.get(switch)
        return member.conn if member is not None else None

    def avoid(self, now: float) -> frozenset[str]:
        """Switches to route around: gone for longer than the grace."""
        return frozenset(
            member.name
            for member in self.members.values()
            if (at := self._absent_at(member)) is not None and at <= now
        )

    def down_links(self) -> frozenset[str]:
        """Links of which an end's port is down or missing, as far as its switch ever said."""
        return frozenset(
            link.name for link in self.topology.links if self._port_down(link.a) or self._port_down(link.b)
        )

    def _absent_at(self, member: Member) -> float | None:
        if member.conn is not None:
            return None
        if member.gone is not None:
            return member.gone + self.patience.grace
        return self._arrival + self.patience.absent if self._arrival is not None else None

    def _port_down(self, port: Port) -> bool:
        ports = self.members[port.switch].ports
        return ports is not None and not ports.get(port.number, False)

    def _news(self, member: Member) -> bool:
        """Whether a switch that came says something else of its links than was compiled."""
        latest = self._compiling[0] if self._compiling else self._compiled
        down = latest.down_links if latest else frozenset()
        ports = member.ports or {}
        return (latest is not None and member.name in latest.avoid) or any(
            (name in down) is ports.get(number, False)
            for number, name in self._links.get(member.name, {}).items()
        )

    def _reconsider(self, why: str, when: float) -> None:
        """The compiler's input may have changed: look shortly after, when the burst is over."""
        at = when + self._coalesce()
        if self._pending is None or self._pending.at > at:
            self._pending = _Pending(why, at)

    def _coalesce(self) -> float:
        return self.patience.coalesce if self._ever else self.patience.gather

    def _check_absent(self, now: float) -> None:
        if self._compiled is not None and self._pending is None:
            avoid = self.avoid(now)
            if avoid != self._compiled.avoid and (
                self._compiling is None or avoid != self._compiling[0].avoid
            ):
                gone = [f"{name} is gone" for name in sorted(avoid - self._compiled.avoid)]
                back = [f"{name} is back" for name in sorted(self._compiled.avoid - avoid)]
                self._pending = _Pending("; ".join(gone + back), now)

    def _check_compile(self, now: float) -> list[Command]:
        pending = self._pending
        if pending is None or self._compiling is not None or pending.at > now:
            return []
        self._pending = None
        last = self._compiled
        command = Compile(
            (last.generation if last else 0) + 1,
            self.topology,
            self.down_links(),
            self.avoid(now),
            self.learning.learned(),
        )
        if last is not None and command[1:] == last[1:] and pending.why != "intent":
            return []
        self._unsettle(now)
        self._compiling = (command, pending.why)
        return [command]

    def _settle(self, member: Member, now: float) -> list[Command]:
        assert member.conn is not None
        wanted = self.wanted.get(member.name)
        if member.held is None:
            if member.not_before > now:
                return []
            member.dumping = now
            return [Dump(member.name, member.conn)]
        if wanted is None or (member.held is wanted and member.greeted):
            return []
        change = _compare(member.held, wanted)
        if not change:
            member.held = wanted
            if member.greeted:
                return []
            return [self._programmed(member, 0, 0, now, now)]
        self._unsettle(now)
        member.flight = Flight(wanted, change.added, change.deleted, now)
        fresh = isinstance(member.held, Held) and not member.held.cookies and not member.held.groups
        return [Program(member.name, member.conn, change, wanted, fresh)]

    def _programmed(self, member: Member, added: int, deleted: int, sent: float, now: float) -> Emit:
        member.greeted = True
        fields = {"switch": member.name, "added": added, "deleted": deleted, "seconds": now - sent}
        return Emit("programmed", fields)

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

    def _unsettle(self, now: float) -> None:
        if self.converged or self._begun == 0.0:
            self._begun = now
        self.converged = False

    def _is_converged(self) -> bool:
        if self._compiled is None or self._compiling is not None or self._pending is not None:
            return False
        avoid = self._compiled.avoid
        return all(
            member.held is self.wanted.get(name) and member.flight is None and member.greeted
            if member.conn is not None
            else name in avoid
            for name, member in self.members.items()
        )


def _compare(held: Held | SwitchTables, wanted: SwitchTables) -> Difference:
    if isinstance(held, Held):
        return difference(held.cookies, held.groups, wanted)
    return difference((flow.cookie for flow in held.flows), held.groups, wanted)
