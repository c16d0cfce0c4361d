"""What compiled tables do to a frame in a whole lab.

Tests compare the compiler's output with it, and compare it with Open vSwitch's ``ofproto/trace``.  Frames are
those of ``controller.simulate.switch``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import product
from typing import NamedTuple

from controller.flow.tables import CONTROLLER, Flow, SwitchTables
from controller.simulate.notes import Note
from controller.simulate.switch import (
    Chooser,
    Frame,
    Lookup,
    Picker,
    Sent,
    at_switch,
    noted_at_switch,
    symmetric,
    wire,
)
from controller.simulate.tracking import Connections
from controller.simulate.wiring import Wiring
from topologies.model.overlay import Tunnel
from topologies.model.topology import Port, Topology
from wire.mac import mac_text

__all__ = [
    "Arrival",
    "Chooser",
    "Fabric",
    "Frame",
    "Lookup",
    "Outcome",
    "Sent",
    "Step",
    "at_switch",
    "symmetric",
    "wire",
]


class Arrival(NamedTuple):
    """A frame that left the fabric: at a host port, or to the controller from ``at.switch``."""

    at: Port
    fields: tuple[tuple[str, int], ...]


class Step(NamedTuple):
    """What one switch did: the flows that matched, in order, and where the frame went."""

    switch: str
    in_port: int
    flows: tuple[Flow, ...]
    ports: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What happens to one frame, for one choice of buckets by the select groups.

    ``delivered`` and ``punted`` (to the controller) are sorted, with repeats. ``visited``: the ports of
    functions that it went into, in order. ``steps`` is one example of the way there, and is not compared.
    """

    delivered: tuple[Arrival, ...] = ()
    punted: tuple[Arrival, ...] = ()
    loop: bool = False
    visited: tuple[Port, ...] = ()
    steps: tuple[Step, ...] = field(default=(), compare=False)


_Fields = tuple[tuple[str, int], ...]
_State = tuple[str, int, _Fields]
"""Where a frame enters a switch (its name, the port's number), and what it is then."""
_Known = dict[_State, frozenset["Outcome"] | None]
"""State -> the outcomes of a frame that was in it; None: the frame is on its way from there."""


class Fabric:
    """A whole lab's tables joined by its links, some of which may be dead.

    ``tables``: of each switch, by its name; who builds several fabrics of the same makes a ``Lookup`` once.
    An inline function's instance is a wire between its two ports; an instance of ``failed`` passes nothing.
    ``connections``: of all switches together (their zones differ); frames change them.
    """

    def __init__(
        self,
        topology: Topology,
        tables: Mapping[str, SwitchTables | Lookup],
        dead_links: frozenset[str] = frozenset(),
        failed: frozenset[str] = frozenset(),
        chooser: Chooser | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._chooser, self._connections = chooser, connections
        self._lookup = {
            name: held if isinstance(held, Lookup) else Lookup(held) for name, held in tables.items()
        }
        wiring = Wiring(topology)
        self._wiring, self._far, self._tunnels = wiring, wiring.far, wiring.tunnels
        dead: dict[str, set[int]] = {}
        for port, link in wiring.link.items():
            if link in dead_links:
                dead.setdefault(port.switch, set()).add(port.number)
        self._dead = {name: frozenset(ports) for name, ports in dead.items()}
        # into an inline function -> whether it works
        self._inside = {port: instance not in failed for port, instance in wiring.instance.items()}
        # one object for each port: they are compared for every frame, and what is identical is equal at once
        self._ports = {(port.switch, port.number): port for port in (*self._far, *self._tunnels)}

    def outcomes(self, frame: Frame, at: Port) -> frozenset[Outcome]:
        """All outcomes that ``frame`` can have when it enters at ``at``."""
        return self._follow(wire(frame), at, {})

    def _follow(self, fields: _Fields, at: Port, memo: _Known) -> frozenset[Outcome]:
        state = (at.switch, at.number, fields)
        if state in memo:
            known = memo[state]
            return frozenset((Outcome(loop=True),)) if known is None else known
        outcomes: set[Outcome] = set()
        dead = self._dead.get(at.switch, frozenset[int]())
        lookup = self._lookup[at.switch]
        ways = at_switch(lookup, dict(fields), at.number, dead, self._chooser, self._connections)
        memo[state] = None
        for arrivals, sent, flows in self._distinct(at.switch, ways):
            step = Step(at.switch, at.number, tuple(flows), tuple([copy.port for copy in sent]))
            parts = [self._beyond(here, copy, memo) for here, copy in zip(arrivals, sent, strict=True)]
            outcomes.update(_together(way, step) for way in product(*parts))
        memo[state] = complete = frozenset(outcomes)
        return complete

    def _distinct(
        self, switch: str, ways: Iterable[tuple[list[Sent], list[Flow]]]
    ) -> Iterator[tuple[tuple[Arrival, ...], list[Sent], list[Flow]]]:
        """One of the ways that send the same frames by the same ports, with those frames."""
        seen = set()
        for sent, flows in ways:
            leaving = tuple([(copy.port, wire(copy.frame)) for copy in sent])
            if leaving not in seen:
                seen.add(leaving)
                arrivals = [Arrival(self._port(switch, port), fields) for port, fields in leaving]
                yield tuple(arrivals), sent, flows

    def _port(self, switch: str, number: int) -> Port:
        port = self._ports.get((switch, number))
        if port is None:
            port = self._ports[switch, number] = Port(switch=switch, number=number)
        return port

    def _beyond(self, here: Arrival, sent: Sent, memo: _Known) -> frozenset[Outcome]:
        if sent.port == CONTROLLER:
            return frozenset((Outcome(punted=(here,)),))
        onward = self.onward(here.at, sent)
        if onward is None:
            return frozenset((Outcome(delivered=(here,)),))
        parts = [self._follow((*here.fields, *tag), at, memo) for at, tag in onward]
        into = (here.at,) if here.at in self._inside else ()
        return frozenset(_together(way, into=into) for way in product(*parts))

    def onward(self, here: Port, sent: Sent) -> tuple[tuple[Port, _Fields], ...] | None:
        """Where a frame that a switch sends out of ``here`` comes in next, with which fields beyond its own.

        None: it leaves the fabric. An empty tuple: it goes into a function's instance that fails.
        """
        if here in self._inside and not self._inside[here]:
            return ()
        far = self._far.get(here)
        if far is not None:
            return ((far, ()),)
        tunnels = self._tunnels.get(here)
        return None if tunnels is None else tuple(self._through(tunnels, sent, here))

    def noted(self, frame: Frame, at: Port, picker: Picker) -> tuple[list[Sent], list[Note]]:
        """What the switch of ``at`` does with a frame that comes in there, in the one way that ``picker`` and
        the fabric's chooser say."""
        dead = self._dead.get(at.switch, frozenset[int]())
        lookup = self._lookup[at.switch]
        ways = noted_at_switch(lookup, frame, at.number, dead, self._chooser, self._connections, picker)
        return next(ways)

    def _through(
        self, tunnels: list[Tunnel], sent: Sent, port: Port
    ) -> Iterator[tuple[Port, tuple[tuple[str, int], ...]]]:
        """Where a frame that goes into a tunnel port comes out, and with which tunnel fields."""
        vteps = self._wiring.vteps
        if self._wiring.tunnels_by_flow:
            address = IPv4Address(sent.frame["tun_dst"])
            far = Port(switch=vteps[address], number=port.number)
            yield far, (("tun_id", sent.frame["tun_id"]),)
            return
        # a vxlan device: to the VTEP in its forwarding database, else to the default destinations
        mac = mac_text(sent.frame["eth_dst"])
        known = tunnels[0].unicast.get(mac)
        for vtep in (known,) if known is not None else tunnels[0].flood:
            yield Port(switch=vteps[vtep], number=port.number), ()


def _together(way: tuple[Outcome, ...], *steps: Step, into: tuple[Port, ...] = ()) -> Outcome:
    """The outcome of several copies of a frame together, after ``steps``, and after the function ``into``."""
    if len(way) == 1:
        (only,) = way
        visited = (*into, *only.visited)
        return Outcome(only.delivered, only.punted, only.loop, visited, (*steps, *only.steps))
    return Outcome(
        tuple(sorted((arrival for outcome in way for arrival in outcome.delivered), key=repr)),
        tuple(sorted((arrival for outcome in way for arrival in outcome.punted), key=repr)),
        any(outcome.loop for outcome in way),
        (*into, *(port for outcome in way for port in outcome.visited)),
        (*steps, *(step for outcome in way for step in outcome.steps)),
    )
