"""The state of a lab with cut links and failed switches: pure functions from a plan to a state.

A change is the difference of two states.  So cut, repair, failure and return need no code of their own, and
may come in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

from dataplane.plan.lab import Plan, PortPlan
from dataplane.plan.trunks import loose_ends
from topologies.model.host_wires import wire_of
from topologies.model.topology import Topology


@dataclass(frozen=True, slots=True)
class Wiring:
    """``ports``: the ports of each switch that is up; ``down``: (netns, device) of ends that are set down."""

    ports: dict[str, frozenset[PortPlan]]
    down: frozenset[tuple[str, str]]


def wire_name(host: str, switch: str) -> str:
    """The name of a host's wire among the links: ``h1-s1``."""
    return f"{host}-{switch}"


def wire_names(topology: Topology) -> dict[str, str]:
    """Interface of a host -> the name of its wire."""
    names = {host.name: wire_name(host.name, host.at.switch) for host in topology.attached}
    return names | {name: wire.name for name, wire in wire_of(topology).items()}


def with_near_ends(plan: Plan, far: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """These ends, with the near ends of hosts' and functions' wires of which they are the far ends: those
    lose and get their carrier with them."""
    wires = [host.wire for host in plan.hosts] + [trunk.wire for trunk in plan.trunks]
    wires += [w for instance in plan.instances for w in instance.wires]
    near = {(w.near.netns, w.near.device) for w in wires if (w.far.netns, w.far.device) in far}
    return far | near


def wiring(plan: Plan, links_down: frozenset[str], switches_down: frozenset[str]) -> Wiring:
    """The state of a lab in which these links (and hosts' wires) are cut and these switches have failed.

    A cut link that is a device has both ends down; at a failed switch, only its own end is down, and the
    other end loses its carrier.  A host's wire goes down at the switch only, as if unplugged: if the host's
    own interface were set down, it would lose its IPv6 addresses.  The ends of a wire
    between hosts are set down; they get what they lose when they are set up.  A patch port is removed if its
    wire is cut or its peer's switch has failed: nothing else makes a fast-failover bucket dead that watches
    it.
    """
    down: set[tuple[str, str]] = set()
    gone: set[tuple[str, int]] = set()
    for link in plan.links:
        cut = link.name in links_down
        if link.kind == "patch":
            if cut or {link.a.switch, link.b.switch} & switches_down:
                gone |= {(link.a.switch, link.a.number), (link.b.switch, link.b.number)}
            continue
        for port, end in ((link.a, link.end_a), (link.b, link.end_b)):
            if cut or port.switch in switches_down:
                down.add((end.netns, end.device))
    for wire in plan.underlay.links:
        if wire.name in links_down:
            down |= {(end.netns, end.device) for end in (wire.a, wire.b)}
    for between in plan.host_wires:
        if between.name in links_down:
            down |= {(end.netns, end.device) for end, _ in between.wire.ends}
    for host in plan.hosts:
        cut = bool(host.switch) and wire_name(host.name, host.switch) in links_down
        if cut or host.switch in switches_down:
            down.add((host.far.netns, host.far.device))
    if plan.trunks:
        loose = {
            host.name
            for host in plan.hosts
            if wire_name(host.name, host.switch) in links_down or host.switch in switches_down
        }
        down |= loose_ends(plan.trunks, frozenset(loose))
    for instance in plan.instances:
        if instance.switch in switches_down:
            down |= {(wire.far.netns, wire.far.device) for wire in instance.wires}
    ports = {
        bridge.switch: frozenset(port for port in bridge.ports if (bridge.switch, port.number) not in gone)
        for domain in plan.domains
        for bridge in domain.bridges
        if bridge.switch not in switches_down
    }
    return Wiring(ports, frozenset(down))


def link_states(plan: Plan, links_down: frozenset[str], switches_down: frozenset[str]) -> dict[str, bool]:
    """Every link's and host wire's name, and whether it is up: neither cut nor at a failed switch."""
    states = {
        link.name: link.name not in links_down and not {link.a.switch, link.b.switch} & switches_down
        for link in plan.links
    }
    states |= {wire.name: wire.name not in links_down for wire in plan.underlay.links}
    states |= {between.name: between.name not in links_down for between in plan.host_wires}
    for host in plan.hosts:
        if not host.switch:
            continue
        name = wire_name(host.name, host.switch)
        states[name] = name not in links_down and host.switch not in switches_down
    return states
