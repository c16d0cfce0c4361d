"""What is beyond each port of a switch: hosts, links, functions, tunnels; by the names that the file has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from topologies.model.attachment import InlineInstance, TapInstance
from topologies.model.endpoints import stations
from topologies.model.overlay import overlay
from topologies.model.topology import Port, Topology
from topologies.model.trunks import trunks

Kind = Literal["host", "link", "function", "tap", "tunnel", "uplink", "controller", "broken", "port"]


class Passage(NamedTuple):
    """What a frame went through from one switch to the next, or where it ended.

    ``name``: of the link, host or instance; of an uplink or tunnel the network. ``detail``: of a function the
    sides (``in to out``). ``vni`` and ``vteps``: of a tunnel, the VTEPs' addresses. ``broken``: an instance
    that fails. ``port``: one that the topology does not name. ``tag``: on the way to a host by a trunk, the
    VLAN id in the frame's tag, and the trunk's device.
    """

    kind: Kind
    name: str
    detail: str = ""
    vni: int | None = None
    vteps: tuple[str, str] | None = None
    tag: tuple[int, str] | None = None


class Ways:
    """The ports of a topology, with what is beyond them. ``failed``: instances that don't work."""

    def __init__(self, topology: Topology, failed: frozenset[str] = frozenset()) -> None:
        self._ends: dict[Port, Passage] = {}
        for endpoint, port in stations(topology):
            detail = "" if endpoint.kind == "host" else endpoint.kind
            self._ends[port] = Passage("host", endpoint.name, detail)
        for trunk in trunks(topology):
            for vlan in trunk.vlans:
                tag = None if vlan.vlan is None else (vlan.vlan, trunk.device)
                self._ends[vlan.at] = Passage("host", vlan.name, tag=tag)
        for link in topology.links:
            self._ends[link.a] = self._ends[link.b] = Passage("link", link.name)
        for function in topology.functions:
            for instance in function.instances:
                if isinstance(instance, InlineInstance):
                    self._ends[instance.inward] = Passage("function", instance.name, "in to out")
                    self._ends[instance.outward] = Passage("function", instance.name, "out to in")
                elif isinstance(instance, TapInstance):
                    self._ends[instance.inward] = Passage("tap", instance.name)
        over = overlay(topology)
        vni = {network.name: network.vni for network in topology.networks}
        uplinks, tunnels = [*over.uplinks], [*over.tunnels]
        for transport in over.transports:
            vni[transport.name] = transport.vni
            uplinks += transport.uplinks
            tunnels += transport.tunnels
        for uplink in uplinks:
            self._ends[uplink.near] = self._ends[uplink.far] = Passage("uplink", uplink.network)
        self._vteps: dict[str, str] = {}
        if topology.underlay is not None:
            self._vteps = {vtep.switch: str(vtep.address) for vtep in topology.underlay.vteps}
        for tunnel in tunnels:
            number = vni[tunnel.network]
            self._ends.setdefault(tunnel.port, Passage("tunnel", tunnel.network, vni=number))
        self._networks = {number: name for name, number in vni.items() if number is not None}

    def into(self, port: Port) -> Passage:
        """By what a frame came that enters at a port of a switch."""
        return self._ends.get(port, Passage("port", f"port {port.number}"))

    out_of = into

    def between(self, port: Port, far: Port, tag: Mapping[str, int]) -> Passage:
        """What is between two ports. ``tag``: the fields that a tunnel of Open vSwitch gives the frame."""
        passage = self.out_of(port)
        if passage.kind != "tunnel":
            return passage
        vni = tag.get("tun_id", passage.vni)
        name = passage.name if vni is None else self._networks.get(vni, passage.name)
        return Passage("tunnel", name, "", vni, (self._vteps[port.switch], self._vteps[far.switch]))
