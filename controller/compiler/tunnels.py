"""Flows of the overlay, for networks on several islands: uplinks on switches, tunnels on tunnel switches.

A switch sends a frame for a station on another island to its uplink of that network.  The tunnel switch sends
it to the station's switch, or into the tunnel to the station's VTEP.  A frame to a group address goes to all
members of the network and nowhere else: by head-end replication, one copy to each VTEP that has members.  A
frame to an unknown address is dropped, as inside an island.  Split horizon (a frame that comes out of a
tunnel never goes into one) needs no flow: all tunnels of a network are one port, and OpenFlow sends no frame
out of the port that it came in by (1.5.1, 4.5).

Only ``Kernel`` and ``OpenVSwitch`` know how a tunnel is addressed.  The kernel's vxlan device of a VNI finds
the VTEP by the destination address (its forwarding database holds what ``topologies.model.overlay`` says).
For Open vSwitch's tunnel port each flow sets VTEP and VNI.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import NamedTuple, Protocol

from controller.compiler.broadcast import (
    Member,
    asked_for,
    members_group,
    to_all,
    to_member,
)
from controller.compiler.forwarding import TRAVELLING
from controller.compiler.sff.encapsulation import Tag
from controller.compiler.stations import Station
from controller.flow.builders import NETWORK, Priority, flow, miss
from controller.flow.tables import Action, Bucket, Field, Flow, Group, Output, SetField, Table
from controller.origin import Tunnelled
from topologies.model.overlay import Overlay, Tunnel, Uplink
from topologies.model.places import Entity
from topologies.model.topology import Topology, Vtep

_NO_PORT = miss(Table.CLASSIFY, None, "no such port in the topology: dropped")
_NOBODY = miss(Table.FORWARD, None, "no such station: dropped")


class Encapsulation(Protocol):
    """How frames get into the tunnels of one network, and how flows match them when they come out."""

    def arriving(self) -> tuple[Field, ...]:
        """The match of a frame of this network that comes out of a tunnel."""

    def to(self, vtep: IPv4Address) -> tuple[Action, ...]:
        """The actions that send a frame into the tunnel to one VTEP."""

    def to_all(self) -> list[tuple[Action, ...]]:
        """The actions that send a frame to all VTEPs that have members: an element for each copy."""


class Kernel:
    """A vxlan device of the kernel as switch port: it looks up the VTEP, and replicates, by itself."""

    def __init__(self, tunnel: Tunnel, vni: int) -> None:
        self.tunnel = tunnel

    def arriving(self) -> tuple[Field, ...]:
        return (Field("in_port", self.tunnel.port.number),)

    def to(self, vtep: IPv4Address) -> tuple[Action, ...]:
        return (Output(self.tunnel.port.number),)

    def to_all(self) -> list[tuple[Action, ...]]:
        return [(Output(self.tunnel.port.number),)] if self.tunnel.flood else []


class OpenVSwitch:
    """Open vSwitch's tunnel port with ``key=flow`` and ``remote_ip=flow`` (ovs-fields(7), tunnel fields)."""

    def __init__(self, tunnel: Tunnel, vni: int) -> None:
        self.tunnel, self.vni = tunnel, vni

    def arriving(self) -> tuple[Field, ...]:
        return Field("in_port", self.tunnel.port.number), Field("tun_id", self.vni)

    def to(self, vtep: IPv4Address) -> tuple[Action, ...]:
        number = Output(self.tunnel.port.number)
        return SetField("tun_id", self.vni), SetField("tun_dst", int(vtep)), number

    def to_all(self) -> list[tuple[Action, ...]]:
        return [self.to(vtep) for vtep in self.tunnel.flood]


class Crossing(NamedTuple):
    """The overlay by switch. Networks are numbers."""

    uplinks: Mapping[str, Mapping[int, Uplink]]
    """Switch -> network -> its uplink."""
    behind: Mapping[str, Mapping[int, tuple[Uplink, ...]]]
    """Tunnel switch -> network -> the uplinks of its domain."""
    tunnels: Mapping[str, Mapping[int, Encapsulation]]
    """Tunnel switch -> network -> its tunnels."""
    vteps: Mapping[str, Vtep]
    """Switch -> its domain's tunnel end point."""


def crossing(topology: Topology, overlay: Overlay, numbers: Mapping[str, int]) -> Crossing:
    """The overlay by switch, of the topology's and with networks as ``numbers``."""
    uplinks: dict[str, dict[int, Uplink]] = {}
    behind: dict[str, dict[int, list[Uplink]]] = {}
    for uplink in overlay.uplinks:
        number = numbers[uplink.network]
        uplinks.setdefault(uplink.near.switch, {})[number] = uplink
        behind.setdefault(uplink.far.switch, {}).setdefault(number, []).append(uplink)
    tunnels: dict[str, dict[int, Encapsulation]] = {}
    underlay = topology.underlay
    kind = OpenVSwitch if underlay is not None and underlay.tunnels == "ovs" else Kernel
    vni = {network.name: network.vni or 0 for network in topology.networks}
    for tunnel in overlay.tunnels:
        end: Encapsulation = kind(tunnel, vni[tunnel.network])
        tunnels.setdefault(tunnel.port.switch, {})[numbers[tunnel.network]] = end
    by_domain = {vtep.domain: vtep for vtep in (underlay.vteps if underlay is not None else ())}
    return Crossing(
        uplinks,
        {
            switch: {n: tuple(uplinks_behind) for n, uplinks_behind in by_network.items()}
            for switch, by_network in behind.items()
        },
        tunnels,
        {switch.name: by_domain[switch.domain] for switch in topology.switches if switch.domain in by_domain},
    )


class ChainTransport(NamedTuple):
    """What carries frames to the hops of one domain from other islands.

    ``at``: hop -> its switch. ``ends``: tunnel switch -> how it sends into the transport's tunnels. ``far``:
    tunnel switch -> switch of its domain -> port to it.
    """

    name: str
    tags: tuple[Tag, ...]
    at: Mapping[int, str]
    vtep: Vtep
    ends: Mapping[str, Encapsulation]
    far: Mapping[str, Mapping[str, int]]


def chain_transports(
    topology: Topology, overlay: Overlay, tags: Mapping[int, Tag]
) -> tuple[ChainTransport, ...]:
    """The transports of a lab's chains."""
    underlay = topology.underlay
    if underlay is None:
        return ()
    vteps = {vtep.domain: vtep for vtep in underlay.vteps}
    kind = OpenVSwitch if underlay.tunnels == "ovs" else Kernel
    transports = []
    for transport in overlay.transports:
        far: dict[str, dict[str, int]] = {}
        for uplink in transport.uplinks:
            far.setdefault(uplink.far.switch, {})[uplink.near.switch] = uplink.far.number
        ends: dict[str, Encapsulation] = {
            tunnel.port.switch: kind(tunnel, transport.vni) for tunnel in transport.tunnels
        }
        hop_tags = tuple(tags[hop] for hop in sorted(transport.hops))
        vtep = vteps[transport.domain]
        transports.append(ChainTransport(transport.name, hop_tags, transport.hops, vtep, ends, far))
    return tuple(transports)


def _transport_flows(name: str, transports: Iterable[ChainTransport]) -> tuple[list[Flow], list[Flow]]:
    """CLASSIFY and FORWARD flows of one tunnel switch for frames on their way to hops."""
    before: list[Flow] = []
    onward: list[Flow] = []
    for transport in transports:
        far, end = transport.far.get(name, {}), transport.ends.get(name)
        arrivals: list[tuple[tuple[Field, ...], str]] = [
            ((Field("in_port", port),), f"from {switch}") for switch, port in sorted(far.items())
        ]
        if end is not None:
            arrivals.append((end.arriving(), "out of a tunnel"))
        for came, note in arrivals:
            why = f"{transport.name}: {note}"
            entity = transport.tags[0].entity if transport.tags else None
            before.append(
                flow(Table.CLASSIFY, Priority.TRUNK, came, goto=Table.FORWARD, why=why, entity=entity)
            )
        for tag in transport.tags:
            here = name == transport.vtep.switch
            if not here and end is None:
                continue
            actions = (
                (Output(far[transport.at[tag.hop]]),)
                if here or end is None
                else end.to(transport.vtep.address)
            )
            match = (Field(NETWORK, 0), *tag.match())
            why = f"to hop {tag.hop} at {transport.at[tag.hop]} (domain {transport.vtep.domain})"
            onward.append(flow(Table.FORWARD, TRAVELLING, match, actions, why=why, entity=tag.entity))
    return before, onward


def edge(
    uplinks: Mapping[int, Uplink], members: Mapping[int, Sequence[Member]]
) -> tuple[list[Flow], list[Flow], list[Group]]:
    """For one ordinary switch: CLASSIFY and RESOLVE flows, FORWARD's flooding flows, and groups.

    ``members``: network -> ports of its members.
    """
    before: list[Flow] = []
    flooding: list[Flow] = []
    groups: list[Group] = []
    for number, uplink in sorted(uplinks.items()):
        name, entity = uplink.network, Entity("network", uplink.network)
        before.append(
            flow(
                Table.CLASSIFY,
                Priority.TRUNK,
                (Field("in_port", uplink.near.number),),
                (SetField(NETWORK, number),),
                Table.FORWARD,
                why=f"uplink of network {name}",
                entity=entity,
            )
        )
        before.append(asked_for(number, name))
        buckets = [to_member(member) for member in members.get(number, ())]
        groups.append(members_group(number, name, [*buckets, Bucket((Output(uplink.near.number),))]))
        flooding.append(to_all(number, name))
    return before, flooding, groups


def tunnel_switch(
    name: str,
    crossing: Crossing,
    stations: Mapping[int, Sequence[Station]],
    populated: Mapping[int, frozenset[str]],
    transports: Iterable[ChainTransport] = (),
) -> tuple[list[Flow], list[Group]]:
    """All flows and groups of the tunnel switch ``name``. ``stations`` by network; ``populated``: network ->
    switches that have hosts of it; ``transports``: of the lab's chains."""
    here = crossing.vteps[name]
    arriving: list[Flow] = []
    forward: list[Flow] = []
    groups: list[Group] = []
    for number, uplinks in sorted(crossing.behind.get(name, {}).items()):
        tunnel = crossing.tunnels.get(name, {}).get(number)
        network = uplinks[0].network
        arriving += _arriving(number, network, uplinks, tunnel)
        ways = {uplink.near.switch: uplink.far.number for uplink in uplinks}
        for station in stations.get(number, ()):
            forward += _station(station, ways, tunnel, crossing.vteps[station.switch], here)
        local = [(Output(ways[s]),) for s in ways if s in populated.get(number, frozenset())]
        remote = tunnel.to_all() if tunnel is not None else []
        groups.append(members_group(number, network, map(Bucket, [*local, *remote])))
        forward.append(to_all(number, network))
    before, onward = _transport_flows(name, transports)
    return [*arriving, *before, _NO_PORT, *onward, *forward, _NOBODY], groups


def _arriving(
    number: int, network: str, uplinks: Iterable[Uplink], tunnel: Encapsulation | None
) -> list[Flow]:
    entity = Entity("network", network)
    arriving = [
        flow(
            Table.CLASSIFY,
            Priority.TRUNK,
            (Field("in_port", uplink.far.number),),
            (SetField(NETWORK, number),),
            Table.FORWARD,
            why=f"uplink of network {network} from {uplink.near.switch}",
            entity=entity,
        )
        for uplink in uplinks
    ]
    if tunnel is not None:
        arriving.append(
            flow(
                Table.CLASSIFY,
                Priority.TRUNK,
                tunnel.arriving(),
                (SetField(NETWORK, number),),
                Table.FORWARD,
                why=f"out of a tunnel of network {network}",
                entity=entity,
            )
        )
    return arriving


def _station(
    station: Station, ways: Mapping[str, int], tunnel: Encapsulation | None, vtep: Vtep, here: Vtep
) -> list[Flow]:
    address = (Field(NETWORK, station.network), Field("eth_dst", station.mac))
    local = ways.get(station.switch)
    if local is not None:
        said = f"to {station.name} on {station.switch}"
        why = Tunnelled(said, station.network, station.mac, entity=station.entity)
        return [flow(Table.FORWARD, Priority.KNOWN, address, (Output(local),), why=why)]
    if tunnel is None or vtep == here:
        return []
    text = f"to {station.name} behind {vtep.address} (domain {vtep.domain})"
    why = Tunnelled(text, station.network, station.mac, entity=station.entity)
    return [flow(Table.FORWARD, Priority.KNOWN, address, tunnel.to(vtep.address), why=why)]
