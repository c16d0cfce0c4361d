"""Where a frame that leaves a switch by a port gets to: links, instances of functions, uplinks, tunnels."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address

from topologies.model.attachment import InlineInstance
from topologies.model.overlay import Tunnel, overlay
from topologies.model.topology import Port, Topology


class Wiring:
    """A lab's wires.

    ``far``: port -> the port at the other end of its wire, or at the other side of its inline function's
    instance. ``link``: port of a link -> the link's name. ``instance``: port of an inline function -> its
    instance's name. ``tunnels``: port of a tunnel switch -> the tunnels of its networks (only one, unless
    ``tunnels_by_flow``: then flows say VNI and VTEP). ``vteps``: VTEP -> its tunnel switch.
    """

    def __init__(self, topology: Topology) -> None:
        self.far: dict[Port, Port] = {}
        self.link: dict[Port, str] = {}
        self.instance: dict[Port, str] = {}
        for link in topology.links:
            self.far[link.a], self.far[link.b] = link.b, link.a
            self.link[link.a] = self.link[link.b] = link.name
        for function in topology.functions:
            for instance in function.instances:
                if isinstance(instance, InlineInstance):
                    self.far[instance.inward] = instance.outward
                    self.far[instance.outward] = instance.inward
                    self.instance[instance.inward] = self.instance[instance.outward] = instance.name
        over = overlay(topology)
        uplinks = [*over.uplinks, *(uplink for transport in over.transports for uplink in transport.uplinks)]
        for uplink in uplinks:
            self.far[uplink.near], self.far[uplink.far] = uplink.far, uplink.near
        underlay = topology.underlay
        vni = {network.name: network.vni or 0 for network in topology.networks}
        self.vteps: Mapping[IPv4Address, str] = {
            vtep.address: vtep.switch for vtep in (underlay.vteps if underlay is not None else ())
        }
        self.tunnels_by_flow = underlay is not None and underlay.tunnels == "ovs"
        tunnels = {(tunnel.port, vni[tunnel.network]): tunnel for tunnel in over.tunnels}
        for transport in over.transports:
            tunnels |= {(tunnel.port, transport.vni): tunnel for tunnel in transport.tunnels}
        self.tunnels: dict[Port, list[Tunnel]] = {}
        for (port, _), tunnel in tunnels.items():
            self.tunnels.setdefault(port, []).append(tunnel)
