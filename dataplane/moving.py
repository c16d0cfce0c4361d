"""From one plan to another in which hosts are elsewhere: what to do in which order. Pure.

Make before break: what the new place needs (uplinks, tunnels) is made first, then the hosts' wires are
moved, and what nothing needs any more goes last.
"""

from __future__ import annotations

from dataclasses import dataclass

from dataplane.plan import HostPlan, Plan, PortPlan
from dataplane.wiring import Wiring, wire_name
from topologies.model import Topology

Pair = tuple[HostPlan, HostPlan]
"""A host whose wire moves: before, after."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The ports of all switches when all is made (``made``), and when the wires have moved (``moved``)."""

    made: Wiring
    moved: Wiring


def only_hosts_moved(old: Topology, new: Topology) -> bool:
    """Whether the two differ in where hosts are, and in nothing else."""
    if len(old.hosts) != len(new.hosts):
        return False
    back = tuple(b.model_copy(update={"port": a.port}) for a, b in zip(old.hosts, new.hosts, strict=True))
    return new.model_copy(update={"hosts": back}) == old


def moved_hosts(old: Plan, new: Plan) -> list[Pair]:
    """The hosts whose wires are elsewhere."""
    return [
        (a, b) for a, b in zip(old.hosts, new.hosts, strict=True) if (a.switch, a.far) != (b.switch, b.far)
    ]


def steps(pairs: list[Pair], before: Wiring, after: Wiring) -> Steps:
    """``before``, ``after``: the wiring of the two plans, with the same failures."""
    leaving = {(a.switch, a.far.device) for a, _ in pairs}
    coming = {(b.switch, b.far.device) for _, b in pairs}

    def without(switch: str, ports: frozenset[PortPlan], some: set[tuple[str, str]]) -> frozenset[PortPlan]:
        return frozenset(port for port in ports if (switch, port.device) not in some)

    made = {
        switch: ports | without(switch, after.ports.get(switch, frozenset()), coming)
        for switch, ports in before.ports.items()
    }
    moved = {
        switch: ports | without(switch, before.ports.get(switch, frozenset()), leaving)
        for switch, ports in after.ports.items()
    }
    return Steps(Wiring(made, before.down), Wiring(moved, after.down))


def renamed(links_down: frozenset[str], pairs: list[Pair]) -> frozenset[str]:
    """Cut links by name: a host's wire that was cut stays so where it goes."""
    names = {wire_name(a.name, a.switch): wire_name(b.name, b.switch) for a, b in pairs}
    return frozenset(names.get(name, name) for name in links_down)
