"""Packets that rules of firewalls made of flows send to the controller: to log them, or to refuse them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from controller.compiler.functions.firewall_verdicts import Notice, notices
from controller.flow.builders import NETWORK, OUT_PORT
from controller.messages import RuleMet, RulesMet
from controller.runtime.bucket import Bucket
from controller.runtime.commands import Command, Emit, Inject, Send
from controller.runtime.endpoints import endpoints
from controller.runtime.refusals import refusal
from topologies.model.overlay import network_numbers
from topologies.model.topology import Port, Topology

EVENTS = 100.0
"""Events a second, of all firewalls together."""
REFUSALS = 200.0
"""Refusals a second to what comes in at one port (RFC 1812, 4.3.2.8: limit the rate of ICMP errors)."""
_SUMMARY = 1.0


class Punt(NamedTuple):
    """A packet that a flow sent: its ingress port, the flow's cookie, and registers that are not 0."""

    port: Port
    cookie: int
    frame: bytes
    registers: Mapping[str, int]


def registers(fields: Mapping[str, int | tuple[int, int]]) -> dict[str, int]:
    """The registers among a packet-in's fields, which come as pairs of 64 bit (OpenFlow 1.5.1, 7.2.3.10,
    packet registers): ``xreg0`` is reg0, its upper half, and reg1.  A value may come with a mask.
    """
    by_name: dict[str, int] = {}
    for name, value in fields.items():
        if name.startswith("xreg"):
            first = 2 * int(name[4:])
            both = value[0] if isinstance(value, tuple) else value
            by_name |= {f"reg{first}": both >> 32, f"reg{first + 1}": both & 0xFFFFFFFF}
    return by_name


class Verdicts:
    """Knows the rule of each cookie, and limits events and answers."""

    def __init__(self, topology: Topology) -> None:
        self._known: dict[int, Notice] = {}
        self._newest: dict[int, Notice] = {}
        self._events = Bucket(EVENTS, EVENTS, EVENTS, 0.0)
        self._refusals: dict[Port, Bucket] = {}
        self._omitted = 0
        self._summary: float | None = None
        self.replace(topology)

    def replace(self, topology: Topology) -> None:
        """Another intent. Packets from the earlier intent's flows may still be on their way."""
        new = notices(topology)
        self._known, self._newest = self._newest | new, new
        numbers = network_numbers(topology)
        self._networks = {host.at: numbers[host.network] for host in topology.attached}
        self._refusals.clear()

    def packet(self, punt: Punt, now: float) -> list[Command] | None:
        """The commands for a packet-in; None when it is not from a firewall's rule."""
        notice = self._known.get(punt.cookie)
        if notice is None:
            return None
        out: list[Command] = []
        if notice.logged:
            out += self._event(notice, punt, now)
        if notice.action == "reject":
            out += self._refuse(punt, now)
        return out

    def tick(self, now: float) -> list[Command]:
        """The event for packets that were not logged one by one, at most once a second."""
        if self._summary is None or now < self._summary:
            return []
        omitted, self._omitted, self._summary = self._omitted, 0, None
        message = (
            f"{omitted} more packets met rules that log; above {EVENTS:g} a second they are only counted"
        )
        return [Emit(RulesMet(omitted, message))]

    def next_due(self) -> float | None:
        """When `tick` has an event; None: never."""
        return self._summary

    def _event(self, notice: Notice, punt: Punt, now: float) -> list[Command]:
        if not self._events.take(now):
            self._omitted += 1
            self._summary = now + _SUMMARY if self._summary is None else self._summary
            return []
        rule, seen = notice.rule or "default", endpoints(punt.frame)
        return [Emit(RuleMet(notice.function, rule, notice.action, punt.port.switch, **seen))]

    def _refuse(self, punt: Punt, now: float) -> list[Command]:
        bucket = self._refusals.setdefault(punt.port, Bucket(REFUSALS, REFUSALS, REFUSALS, now))
        answer = refusal(punt.frame) if bucket.take(now) else None
        if answer is None:
            return []
        if punt.port in self._networks:
            return [Send(punt.port, answer)]
        # It came from another switch or out of a function: the tables forward the answer like a host's frame.
        target = Port(switch=punt.port.switch, number=punt.registers.get(OUT_PORT, 0))
        network = punt.registers.get(NETWORK, 0) or self._networks.get(target, 0)
        return [Inject(punt.port.switch, network, answer)] if network else []
