"""What a lab's status says of networks and the underlay, and moving a host: the supervisor's part."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.failure import Exit, Failure
from lab.messages import LinkState, Moved, NetworkState, UnderlayState
from topologies.change import Impossible, move, switch_in
from topologies.model import Topology
from topologies.overlay import membership, overlay

if TYPE_CHECKING:
    from lab.supervisor_lab import Lab

_WHY = {
    "kernel": "the kernel's vxlan devices: on the userspace datapath they carry several times as much as "
    "Open vSwitch's own tunnels",
}
MOVE_PATIENCE = 30.0
"""Seconds until every switch must have confirmed a move."""


def networks(topology: Topology) -> list[NetworkState]:
    """Every network with its members."""
    domain_of = {switch.name: switch.domain for switch in topology.switches}
    router_of = {name: router.name for router in topology.routers for name in router.networks}
    crosses = {uplink.network for uplink in overlay(topology).uplinks}
    members = membership(topology)
    return [
        {
            "name": network.name,
            "vni": network.vni,
            "subnet4": _text(network.subnet4),
            "subnet6": _text(network.subnet6),
            "gateway4": _text(network.gateway4 and network.gateway4.ip),
            "gateway6": _text(network.gateway6 and network.gateway6.ip),
            "router": router_of.get(network.name),
            "hosts": [host.name for host in topology.hosts if host.network == network.name],
            "domains": sorted({domain_of[switch] for switch in members[network.name]}),
            "crosses": network.name in crosses,
        }
        for network in topology.networks
    ]


def underlay(topology: Topology, links: dict[str, bool]) -> UnderlayState | None:
    """The underlay with the state of its links; None for a lab without."""
    under = topology.underlay
    if under is None:
        return None
    states: list[LinkState] = [
        {"name": link.name, "a": link.a.node, "b": link.b.node, "up": links.get(link.name, True)}
        for link in under.links
    ]
    of_domain = {
        vtep.domain: [state for state in states if vtep.domain in (state["a"], state["b"])]
        for vtep in under.vteps
    }
    return {
        "subnet": str(under.subnet),
        "mtu": under.mtu,
        "tunnels": under.tunnels,
        "why": _WHY.get(under.tunnels, ""),
        "routers": list(under.routers),
        "vteps": [
            {
                "domain": vtep.domain,
                "address": str(vtep.address),
                "switch": vtep.switch,
                "links_up": sum(state["up"] for state in of_domain[vtep.domain]),
                "links": len(of_domain[vtep.domain]),
            }
            for vtep in under.vteps
        ],
        "links": states,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def move_host(lab: Lab, host: str, domain: str, switch: str | None, remember: Callable[[Any], None]) -> Moved:
    """Take a host to another domain's switch while the lab runs; returns when every switch knows it.

    The data plane and the controller change at the same time. Raises Failure with what can't be done;
    the lab is then as it was.
    """
    from lab.supervisor_lab import NotThere

    began = time.monotonic()
    old = lab.topology
    try:
        target = switch or switch_in(old, domain)
        home = next((each.domain for each in old.switches if each.name == target), None)
        if home is not None and home != domain:
            raise Impossible(f"switch {target} is in domain {home}, not {domain}")
        new = move(old, host, target)
    except Impossible as error:
        raise NotThere(error.what, error.remedy) from None
    before = next(each.port.switch for each in old.hosts if each.name == host)
    moved: Moved = {
        "host": host,
        "source": before,
        "target": target,
        "domain": domain,
        "seconds": 0.0,
        "changed": new != old,
    }
    if not moved["changed"]:
        return moved
    since = intend(lab, new)
    try:
        lab.net.replace(new)
    except Exception:
        with contextlib.suppress(Failure):  # what went wrong first is what matters
            intend(lab, old)
        raise
    lab.topology = new
    remember(lab.net.plan)
    lab.controller.wait_settled(since, MOVE_PATIENCE)
    moved["seconds"] = time.monotonic() - began
    lab.events.add("move", f"host {host} moved from {before} to {target} (domain {domain})", dict(moved))
    return moved


def intend(lab: Lab, topology: Topology) -> int:
    """Tell the controller what the lab is to be, now and when it is started again; the number of its last
    event before."""
    answer = lab.ask_controller("/topology", method="PUT", body=topology.model_dump(mode="json"))
    if "since" not in answer:
        raise Failure("the controller did not take the change", "see: sdnlab logs controller", Exit.LOST)
    lab.controller.replace(topology)
    return int(answer["since"])
