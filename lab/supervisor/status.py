"""The parts of a lab's status, in the API's form."""

from __future__ import annotations

from dataplane.hosts.driver import Place
from dataplane.hosts.drivers import driver
from lab.messages.lab import CommandState, HostState, LinkState, SwitchState
from lab.supervisor.controller import Programming
from topologies.model.host_wires import HostWire
from topologies.model.topology import Host, Link, Switch


def switch_state(switch: Switch, told: Programming, up: bool) -> SwitchState:
    """A switch. ``told``: the state of its controller's switches; ``up``: it has not failed."""
    return {
        "name": switch.name,
        "domain": switch.domain,
        "dpid": f"{switch.dpid:016x}",
        "role": switch.role,
        "controller": switch.controller,
        "up": up,
        "connected": switch.name in told.connected,
        "programmed": switch.name in told.programmed,
    }


def host_state(
    host: Host, wire: str, links: dict[str, bool], place: Place | None, commands: list[CommandState]
) -> HostState:
    """A host. ``wire``: the name of its wire; ``links``: wire or link -> whether it is up. ``place``: None
    while it comes or goes."""
    return {
        "name": host.name,
        "of": host.of,
        "kind": host.kind,
        "detail": driver(host.kind).state(place) if place is not None else {},
        "network": host.network,
        "switch": host.port.switch if host.port is not None else "",
        "port": host.port.number if host.port is not None else 0,
        "peer": host.peer,
        "interface": host.interface,
        "trunk": host.trunk,
        "vlan": host.vlan,
        "mac": host.mac,
        "ipv4": str(host.ipv4) if host.ipv4 else None,
        "ipv6": str(host.ipv6) if host.ipv6 else None,
        "routes": [f"{route.to} via {route.via}" for route in host.routes],
        "up": links.get(wire, True),
        "commands": commands,
    }


def link_state(link: Link, links: dict[str, bool]) -> LinkState:
    """A link between switches. ``links``: link -> whether it is up."""
    return {"name": link.name, "a": str(link.a), "b": str(link.b), "up": links.get(link.name, True)}


def host_wire_state(wire: HostWire, links: dict[str, bool]) -> LinkState:
    """A wire between hosts."""
    a, b = (f"{end.node}:{end.interface}" for end in (wire.a, wire.b))
    return {"name": wire.name, "a": a, "b": b, "up": links.get(wire.name, True)}


def missing(who: str, runs: bool, state: Programming, here: set[str]) -> list[str]:
    """Texts about the switches (of those ``here``) that a controller (``who``) has not programmed."""
    if not runs:
        return [f"{who} is not running (it is being restarted); the switches keep forwarding"]
    absent, bare = (state.switches & here) - state.connected, (state.connected & here) - state.programmed
    lacks = [f"not connected to {who}: {', '.join(sorted(absent))}"] if absent else []
    return lacks + ([f"without their flow tables yet: {', '.join(sorted(bare))}"] if bare else [])
