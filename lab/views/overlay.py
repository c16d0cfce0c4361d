"""Networks, the underlay and the tunnels in a lab's answers: the supervisor's part."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

from controller import answers
from lab.messages.lab import LinkState, NetworkState, OverlayState, UnderlayState
from topologies.model.overlay import membership, overlay
from topologies.model.topology import Topology

_WHY = {
    "kernel": "the kernel's vxlan devices: on the userspace datapath they carry several times as much as "
    "Open vSwitch's own tunnels",
}


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
            "vlan": network.vlan,
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
    """The underlay with the state of its links; None if the lab has no underlay."""
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


def carried(answer: answers.OverlayState) -> OverlayState:
    """The tunnel mesh with its counters, in the form of the lab's API, which is the controller's."""
    return cast(OverlayState, asdict(answer))
