"""Events for address translators and load balancers that have no port left."""

from __future__ import annotations

from controller.compiler.functions.direct import exhausted_balancers
from controller.compiler.functions.nat import exhausted
from controller.messages import NatExhausted
from controller.runtime.commands import Command, Emit
from controller.runtime.endpoints import endpoints
from controller.runtime.verdicts import Punt
from topologies.model.topology import Topology

EVERY = 10.0
"""Seconds between two events of one translator."""


class Exhausted:
    """Knows the function of each cookie, and when it made the last event for it."""

    def __init__(self, topology: Topology) -> None:
        self._known: dict[int, str] = {}
        self._newest: dict[int, str] = {}
        self._told: dict[str, float] = {}
        self._silent: dict[str, int] = {}
        self.replace(topology)

    def replace(self, topology: Topology) -> None:
        """Another intent. Packets from the earlier intent's flows may still be on their way."""
        new = {**exhausted(topology), **exhausted_balancers(topology)}
        self._known, self._newest = self._newest | new, new

    def packet(self, punt: Punt, now: float) -> list[Command] | None:
        """The commands for a packet-in; None when it is not from such a flow."""
        name = self._known.get(punt.cookie)
        if name is None:
            return None
        if now - self._told.get(name, -EVERY) < EVERY:
            self._silent[name] = self._silent.get(name, 0) + 1
            return []
        self._told[name] = now
        before, seen = self._silent.pop(name, 0), endpoints(punt.frame)
        what = "identifier for an echo" if seen.get("icmp_type") is not None else "port"
        message = f"{name} has no {what} free for a new connection, which is dropped"
        if before:
            message += f"; so were {before} packets since this was told last"
        return [Emit(NatExhausted(name, message, **seen))]
