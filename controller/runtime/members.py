"""The switches: which are connected, since when, and the state of their ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from controller.flow.tables import SwitchTables
from controller.messages import Connected, ControllerError
from controller.runtime.commands import Command, Disconnect, Emit, Held, Patience
from topologies.model.choices import SDNLAB
from topologies.model.topology import Port, Topology


class Flight(NamedTuple):
    """A bundle that was sent: what the switch will hold, the numbers of changes, and the time."""

    wanted: SwitchTables
    added: int
    deleted: int
    sent: float


@dataclass(slots=True)
class Member:
    """A switch of the lab. ``held`` None: not known, so ask it; ``ports`` None: it has never connected."""

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

    @property
    def asked(self) -> float | None:
        """When it was sent the message that it has not answered yet; None: it has answered all."""
        return self.flight.sent if self.flight else self.dumping

    @property
    def ready(self) -> bool:
        """Whether it has been greeted, and has answered all messages."""
        return self.greeted and self.asked is None

    def forget(self) -> None:
        """Forget what it holds, and which answers it owes."""
        self.held = self.dumping = self.flight = None


class Roster:
    """The members by name, and strangers: switches that are connected, but are not in the intent (yet)."""

    def __init__(self, topology: Topology, patience: Patience) -> None:
        self.members: dict[str, Member] = {}
        self._patience = patience
        self._names: dict[int, str] = {}
        self._links: dict[str, dict[int, str]] = {}
        self._strangers: dict[int, tuple[int, dict[int, bool]]] = {}
        self._arrival: float | None = None
        self.enrol(topology)

    def enrol(self, topology: Topology) -> None:
        """Another intent: switches that stay in it keep their connection."""
        self._topology = topology
        old = self.members
        self.members = {}
        for switch in topology.switches:
            if switch.controller != SDNLAB:  # another controller's: it does not connect here
                continue
            kept = old.get(switch.name)
            same = kept is not None and kept.dpid == switch.dpid
            self.members[switch.name] = kept if kept and same else Member(switch.name, switch.dpid)
        self._names = {member.dpid: member.name for member in self.members.values()}
        self._links = {}
        for link in topology.links:
            for end in (link.a, link.b):
                self._links.setdefault(end.switch, {})[end.number] = link.name
        for name, member in old.items():  # a switch that left the intent may come back into it
            if self.members.get(name) is not member and member.conn is not None:
                self._strangers[member.dpid] = (member.conn, member.ports or {})

    def admitted(self) -> list[tuple[int, int, dict[int, bool]]]:
        """Take out the strangers that the intent has now, as (dpid, connection, ports)."""
        return [(dpid, *self._strangers.pop(dpid)) for dpid in list(self._strangers) if dpid in self._names]

    def by_dpid(self, dpid: int | None) -> Member | None:
        return self.members.get(self._names.get(dpid or 0, ""))

    def present(self, name: str, conn: int) -> Member | None:
        """The member if it has this connection; None: it has another one, or none."""
        member = self.members.get(name)
        return member if member is not None and member.conn == conn else None

    def connected(
        self, dpid: int, conn: int, ports: Mapping[int, bool], now: float
    ) -> tuple[Member | None, list[Command]]:
        """A switch has finished its handshake; None: it is a stranger."""
        member = self.by_dpid(dpid)
        if member is None:
            self._strangers[dpid] = (conn, dict(ports))
            message = f"switch {dpid:#018x} connected, but the topology has none with that datapath id"
            return None, [Emit(ControllerError(message))]
        out: list[Command] = []
        if member.conn is not None and member.conn != conn:
            message = f"{member.name}: a second connection with the same datapath id replaces the first"
            out += [Disconnect(member.conn), Emit(ControllerError(message, member.name))]
        member.conn, member.since, member.gone = conn, now, None
        member.forget()
        member.greeted = False
        member.not_before = 0.0
        member.ports = dict(ports)
        self._arrival = now
        return member, [*out, Emit(Connected(member.name))]

    def disconnected(self, dpid: int, conn: int, now: float) -> Member | None:
        """A connection has ended; None: it was not a member's present connection."""
        if self._strangers.get(dpid, (0, {}))[0] == conn:
            del self._strangers[dpid]
        member = self.by_dpid(dpid)
        if member is None or member.conn != conn:
            return None
        member.conn, member.gone = None, now
        member.forget()
        return member

    def port(self, dpid: int, number: int, up: bool) -> Member | None:
        """A port has changed; None: it is no member's, or was in that state already. One that is missing is
        down."""
        if dpid in self._strangers:
            self._strangers[dpid][1][number] = up
        member = self.by_dpid(dpid)
        if member is None or member.ports is None:
            return None
        if member.ports.get(number, False) == up:
            return None
        member.ports[number] = up
        return member

    def has_reported(self, dpid: int, number: int) -> bool:
        """Whether the switch has told of this port before, on its present connection."""
        member = self.by_dpid(dpid)
        return member is not None and number in (member.ports or {})

    def leads_on(self, port: Port) -> bool:
        """Whether a link of the intent ends at this port."""
        return port.number in self._links.get(port.switch, {})

    def links_at(self, member: Member) -> Iterator[tuple[str, bool]]:
        """The links that end at a member, each with whether its port there is up."""
        ports = member.ports or {}
        for number, name in self._links.get(member.name, {}).items():
            yield name, ports.get(number, False)

    def is_up(self, port: Port) -> bool | None:
        """Whether a port carries traffic; None: its switch is not there, or has no tables yet."""
        member = self.members.get(port.switch)
        if member is None or member.conn is None or not member.greeted or member.ports is None:
            return None
        return member.ports.get(port.number, False)

    def avoid(self, now: float) -> frozenset[str]:
        """Switches to route around: gone for longer than the grace."""
        return frozenset(
            member.name
            for member in self.members.values()
            if (at := self.absent_at(member)) is not None and at <= now
        )

    def down_links(self) -> frozenset[str]:
        """Links with a port that is down or missing, by what the switches have reported."""
        return frozenset(
            link.name for link in self._topology.links if self._down(link.a) or self._down(link.b)
        )

    def absent_at(self, member: Member) -> float | None:
        """The time from which a member that is not connected is routed around; None: it is connected, or no
        switch has ever connected."""
        if member.conn is not None:
            return None
        if member.gone is not None:
            return member.gone + self._patience.grace
        return self._arrival + self._patience.absent if self._arrival is not None else None

    def may_return(self, member: Member, now: float) -> bool:
        """Whether a member's connection has ended so recently that the others wait for it."""
        return member.conn is None and member.gone is not None and now < member.gone + self._patience.grace

    def _down(self, port: Port) -> bool:
        member = self.members.get(port.switch)
        ports = member.ports if member is not None else None
        return ports is not None and not ports.get(port.number, False)
