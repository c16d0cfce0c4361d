"""The underlay and the tunnels of a lab as plain values: nodes, wires, addresses, vxlan devices. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from topologies.model.overlay import OVERHEAD, Overlay
from topologies.model.topology import Shaping, Topology


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """One end of an underlay wire: its node, the node's namespace, the device and its address."""

    node: str
    netns: str
    device: str
    address: IPv4Interface


@dataclass(frozen=True, slots=True)
class UnderlayLinkPlan:
    """A wire between domains and underlay routers: a veth pair."""

    name: str
    a: NodeEnd
    b: NodeEnd
    shaping: Shaping


@dataclass(frozen=True, slots=True)
class VxlanPlan:
    """A kernel vxlan device: one network's tunnels in one domain.

    It is a port in the switches' namespace ``netns``, and sends and receives in ``underlay``, which has the
    VTEP's address: a vxlan device keeps its socket in the namespace from which it was made. ``unicast``:
    (MAC, VTEP) of its forwarding database, sorted. ``flood``: default destinations.
    """

    netns: str
    underlay: str
    device: str
    vni: int
    local: IPv4Address
    mtu: int
    unicast: tuple[tuple[str, IPv4Address], ...]
    flood: tuple[IPv4Address, ...]


@dataclass(frozen=True, slots=True)
class UnderlayPlan:
    """``nodes``: node -> namespace; ``routers``: those of them that forward; ``vteps``: domain -> address.

    A domain's node has a namespace of its own, other than that of its switches: tenants' frames come there
    only through a vxlan device.
    """

    mtu: int
    nodes: Mapping[str, str]
    routers: tuple[str, ...]
    vteps: Mapping[str, IPv4Address]
    links: tuple[UnderlayLinkPlan, ...]
    devices: tuple[VxlanPlan, ...]


NONE = UnderlayPlan(0, {}, (), {}, (), ())


def vxlan_device(vni: int) -> str:
    """The name of a VNI's device. No switch or port has such a name: theirs begin with a letter or digit."""
    return f"_vx{vni}"


def vnis(topology: Topology, overlay: Overlay) -> dict[str, int]:
    """VNI by the name of a network or a chains' transport."""
    vni = {network.name: network.vni or 0 for network in topology.networks}
    return vni | {transport.name: transport.vni for transport in overlay.transports}


def underlay_plan(topology: Topology, overlay: Overlay, netns: Mapping[tuple[str, str], str]) -> UnderlayPlan:
    """``netns``: file names of namespaces by (kind, name)."""
    underlay = topology.underlay
    if underlay is None:
        return NONE
    nodes = {domain.name: netns["underlay", domain.name] for domain in topology.domains}
    nodes |= {router: netns["router", router] for router in underlay.routers}
    links = []
    for index, link in enumerate(underlay.links, 1):
        device = link.name if len(link.name) <= 15 and "#" not in link.name else f"_l{index}"
        a, b = (NodeEnd(end.node, nodes[end.node], device, end.address) for end in (link.a, link.b))
        links.append(UnderlayLinkPlan(link.name, a, b, link.shaping))
    vteps = {vtep.domain: vtep.address for vtep in underlay.vteps}
    devices = []
    if underlay.tunnels != "ovs":
        vni = vnis(topology, overlay)
        mtu = max((host.mtu for host in topology.attached), default=1500)
        several = [(tunnel, mtu) for tunnel in overlay.tunnels]
        # the encapsulation of chains' frames must fit: use the underlay's whole MTU
        widest = underlay.mtu - OVERHEAD
        several += [(tunnel, widest) for transport in overlay.transports for tunnel in transport.tunnels]
        for tunnel, mtu in several:
            number = vni[tunnel.network]
            devices.append(
                VxlanPlan(
                    netns["domain", tunnel.domain],
                    nodes[tunnel.domain],
                    vxlan_device(number),
                    number,
                    vteps[tunnel.domain],
                    mtu,
                    tuple(sorted(tunnel.unicast.items())),
                    tunnel.flood,
                )
            )
    return UnderlayPlan(underlay.mtu, nodes, underlay.routers, vteps, tuple(links), tuple(devices))
