"""The overlay that follows from a topology: which network needs a tunnel where, and what is behind it.

Nothing of this is stored: it follows from where the hosts are, so a host that moves changes it.

Switches that links join, as drawn in the file, form an *island*; inside one, frames take the links.
A network whose switches are on more than one island *crosses*: each of its switches has an
uplink of the network's own (a pair of patch ports) to the tunnel switch (role ``vtep``) of its
domain, and that one has a tunnel port for the network.  So a frame's network is known from the port
it comes in by, whatever the frame says.

A function on another island than the frames of its chain is reached by a *transport*: a network without
hosts, with a VNI of its own, which leads to one domain.  Which hop a frame in it is for is written on the
frame (VLAN identifier or NSH).  All pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from topologies.model.endpoints import stations
from topologies.model.service_paths import service
from topologies.model.topology import Port, Topology, Vtep
from topologies.model.transit import exits, senders
from topologies.model.values import MAX_VNI

TUNNEL_PORT = 60_000
"""On a tunnel switch: the tunnel port of network number n is this + n; ``ovs``: this, for all networks.
On other switches: the uplink of network number n is this + n."""
TRANSPORT_PORT = 65_000
"""The same for the transport to the domain number n (from 1, in the order of ``topology.domains``).

On a tunnel switch, ports of uplinks to its domain's other switches are counted from 1 up for networks,
and from ``TUNNEL_PORT`` - 1 down for transports."""
MOST_NETWORKS = TRANSPORT_PORT - TUNNEL_PORT
MOST_TRANSPORTS = 279
"""``TRANSPORT_PORT`` + this is the greatest port number."""
OVERHEAD = 50
"""What VXLAN over IPv4 adds to a packet: 14 inner Ethernet, 8 VXLAN, 8 UDP, 20 IP (RFC 7348, 5)."""


@dataclass(frozen=True, slots=True)
class Uplink:
    """The way of one network between a switch (``near``) and its domain's tunnel switch (``far``)."""

    network: str
    near: Port
    far: Port


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The port of one network's tunnels on the tunnel switch of ``domain``, and what is behind it.

    ``unicast``: MAC address -> the VTEP it sits behind, for the hosts of other domains.
    ``flood``: the VTEPs that have members of the network (head-end replication), without its own.
    """

    network: str
    domain: str
    port: Port
    unicast: Mapping[str, IPv4Address]
    flood: tuple[IPv4Address, ...]


@dataclass(frozen=True, slots=True)
class Transport:
    """The way of chains' frames to the switches of ``domain`` from other islands.

    ``name`` (which no network can have) stands in ``network`` of its ``uplinks`` and ``tunnels``.

    ``hops``: hop number -> the switch of ``domain`` that frames for this hop go to.  ``vni``: unique among
    networks and transports.

    ``uplinks``: of each switch that frames start from (in any domain) and of each switch in ``hops``, as
    those of a network: ``near`` on the switch, ``far`` on its domain's tunnel switch.  A switch sends a frame
    for one of ``hops`` to its ``near`` port; a tunnel switch takes it at ``far`` and sends it into its
    tunnel, or, if it is that of ``domain``, to the ``far`` port of the hop's switch, as it does with what
    comes out of the tunnel.  The hop's switch takes it at its ``near`` port.

    ``tunnels``: one in each domain that sends, with ``flood`` = the VTEP of ``domain`` alone (a kernel
    device's default destination), and one in ``domain`` itself, which only receives (``flood`` empty); none
    when all senders are in ``domain``.  ``unicast`` is empty: addresses say nothing here.
    """

    name: str
    domain: str
    vni: int
    hops: Mapping[int, str]
    uplinks: tuple[Uplink, ...]
    tunnels: tuple[Tunnel, ...]


@dataclass(frozen=True, slots=True)
class Overlay:
    """All uplinks and tunnels of a lab, in the order of networks, then switches or domains.

    ``transports``: what chains need beside, in the order of domains.
    """

    uplinks: tuple[Uplink, ...]
    tunnels: tuple[Tunnel, ...]
    transports: tuple[Transport, ...] = ()


def numbers(topology: Topology) -> dict[str, int]:
    """Each network's number, from 1 in the order of ``topology.networks``."""
    return {network.name: number for number, network in enumerate(topology.networks, 1)}


def islands(topology: Topology) -> dict[str, int]:
    """Switch -> number of its island."""
    names = [switch.name for switch in topology.switches]
    return joined(names, [(link.a.switch, link.b.switch) for link in topology.links])


def joined(switches: Sequence[str], links: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Switch -> number of the set of switches that links join it to."""
    parent = {name: name for name in switches}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for a, b in links:
        parent[root(a)] = root(b)
    set_numbers: dict[str, int] = {}
    return {name: set_numbers.setdefault(root(name), len(set_numbers)) for name in switches}


def reach(topology: Topology) -> dict[str, set[str]]:
    """Network -> switches from which frames are sent into it: by its own hosts, by those that a router joins
    to it, and by the last function of a chain."""
    members, leaving = membership(topology), exits(topology)
    sending = {name: switches | leaving.get(name, set()) for name, switches in members.items()}
    reached = {name: set(switches) for name, switches in sending.items()}
    for router in topology.routers:
        everywhere = set().union(*(sending[network] for network in router.networks))
        for network in router.networks:
            reached[network] |= everywhere
    return reached


def membership(topology: Topology) -> dict[str, set[str]]:
    """Network -> switches that have a host of it, or a load balancer's namespace."""
    members: dict[str, set[str]] = {network.name: set() for network in topology.networks}
    for endpoint, port in stations(topology):
        members[endpoint.network].add(port.switch)
    return members


def overlay(topology: Topology) -> Overlay:
    """What crosses, and how; nothing for a lab without an underlay."""
    if topology.underlay is None:
        return Overlay((), ())
    island, number = islands(topology), numbers(topology)
    domain_of = {switch.name: switch.domain for switch in topology.switches}
    vteps = {vtep.domain: vtep for vtep in topology.underlay.vteps}
    places: dict[str, tuple[str, int]] = {}  # switch -> its tunnel switch, its place in its domain
    count: dict[str, int] = {}
    for switch in topology.switches:
        if switch.role == "switch" and switch.domain in vteps:
            places[switch.name] = vteps[switch.domain].switch, count.get(switch.domain, 0)
            count[switch.domain] = count.get(switch.domain, 0) + 1
    hosts: dict[str, dict[str, IPv4Address]] = {}
    for endpoint, port in stations(topology):
        vtep_address = vteps[domain_of[port.switch]].address
        hosts.setdefault(endpoint.network, {})[endpoint.mac] = vtep_address
    reached, members = reach(topology), membership(topology)
    uplinks: list[Uplink] = []
    tunnels: list[Tunnel] = []
    for network in topology.networks:
        switches = [name for name in places if name in reached[network.name]]
        if len({island[name] for name in switches}) < 2:
            continue
        for name in switches:
            vtep, place = places[name]
            near = Port(switch=name, number=TUNNEL_PORT + number[network.name])
            far = Port(switch=vtep, number=place * len(topology.networks) + number[network.name])
            uplinks.append(Uplink(network.name, near, far))
        sending = [
            member for member in topology.underlay.vteps if member.domain in {domain_of[s] for s in switches}
        ]
        populated = {domain_of[name] for name in members[network.name]}
        for vtep_ in sending if len(sending) > 1 else ():
            own = TUNNEL_PORT + (0 if topology.underlay.tunnels == "ovs" else number[network.name])
            tunnels.append(
                Tunnel(
                    network.name,
                    vtep_.domain,
                    Port(switch=vtep_.switch, number=own),
                    {m: a for m, a in hosts.get(network.name, {}).items() if a != vtep_.address},
                    tuple(
                        peer.address
                        for peer in topology.underlay.vteps
                        if peer.domain in populated and peer is not vtep_
                    ),
                )
            )
    transports = _transports(topology, places, island, vteps, members, reached)
    return Overlay(tuple(uplinks), tuple(tunnels), transports)


def _transports(
    topology: Topology,
    places: Mapping[str, tuple[str, int]],
    island: Mapping[str, int],
    vteps: Mapping[str, Vtep],
    members: Mapping[str, set[str]],
    reached: Mapping[str, set[str]],
) -> tuple[Transport, ...]:
    if not topology.chains and not topology.functions:
        return ()
    assert topology.underlay is not None
    hops = service(topology).hops
    domain_of = {switch.name: switch.domain for switch in topology.switches}
    needs: dict[str, dict[int, str]] = {}  # domain -> its hops that are reached from other islands
    using: dict[str, set[str]] = {}  # domain -> switches that need an uplink for it
    for number, switches in sorted(senders(topology, members, reached).items()):
        target = hops[number].switch
        from_afar = {name for name in switches if island[name] != island[target]}
        if from_afar:
            needs.setdefault(domain_of[target], {})[number] = target
            using.setdefault(domain_of[target], set()).update(from_afar, {target})
    vnis = _free_vnis(topology)
    transports = []
    for count, domain in enumerate((member.name for member in topology.domains), 1):
        vni = next(vnis)  # also of domains that need none now: what is added later moves no other
        if domain not in needs:
            continue
        name = f"chains to {domain}"
        uplinks = []
        for user in (switch for switch in places if switch in using[domain]):
            vtep, place = places[user]
            near = Port(switch=user, number=TRANSPORT_PORT + count)
            far = Port(switch=vtep, number=TUNNEL_PORT - count - place * len(topology.domains))
            uplinks.append(Uplink(name, near, far))
        sending = {domain_of[user] for user in using[domain]}
        tunnels = []
        for member in topology.underlay.vteps if sending != {domain} else ():
            if member.domain in sending:
                own = TUNNEL_PORT if topology.underlay.tunnels == "ovs" else TRANSPORT_PORT + count
                there = () if member.domain == domain else (vteps[domain].address,)
                port = Port(switch=member.switch, number=own)
                tunnels.append(Tunnel(name, member.domain, port, {}, there))
        transports.append(Transport(name, domain, vni, needs[domain], tuple(uplinks), tuple(tunnels)))
    return tuple(transports)


def _free_vnis(topology: Topology) -> Iterator[int]:
    """VNIs that no network has, the greatest first."""
    taken = {network.vni for network in topology.networks}
    return (vni for vni in range(MAX_VNI, 0, -1) if vni not in taken)
