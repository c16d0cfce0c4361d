"""The overlay of a topology: which networks need tunnels between which domains, and what is behind each.
Pure.

The overlay is not stored. It is derived from the places of the hosts, so it changes when a host moves.

Switches that links join form an *island*; inside it, frames use the links. A network whose switches are on
several islands *crosses*: each of its switches has an uplink for this network (a pair of patch ports) to the
tunnel switch (role ``vtep``) of its domain, and the tunnel switch has a tunnel port for the network. So the
port by which a frame comes in tells its network.

A *transport* carries frames of chains to functions on other islands. It is a network without hosts, with its
own VNI, which leads to one domain. Each frame in it carries the number of its hop (VLAN identifier or NSH).
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
"""On a tunnel switch, the tunnel port of network number n is this + n; with ``ovs`` tunnels, it is this port
for all networks. On other switches, the uplink of network number n is this + n."""
TRANSPORT_PORT = 65_000
"""The same for the transport to domain number n (from 1, in the order of ``topology.domains``).

On a tunnel switch, the uplinks to the other switches of its domain have ports from 1 up for networks, and
from ``TUNNEL_PORT`` - 1 down for transports."""
MOST_NETWORKS = TRANSPORT_PORT - TUNNEL_PORT
MOST_TRANSPORTS = 279
"""``TRANSPORT_PORT`` + this is the highest port number."""
OVERHEAD = 50
"""Bytes that VXLAN over IPv4 adds to a packet: 14 inner Ethernet, 8 VXLAN, 8 UDP, 20 IP (RFC 7348, 5)."""


@dataclass(frozen=True, slots=True)
class Uplink:
    """The connection of one network between a switch (``near``) and the tunnel switch of its domain
    (``far``)."""

    network: str
    near: Port
    far: Port


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The port for the tunnels of one network on the tunnel switch of ``domain``, and what is behind it.

    ``unicast``: MAC address -> its VTEP, for the hosts of other domains. ``flood``: the other VTEPs that have
    hosts of the network (head-end replication).
    """

    network: str
    domain: str
    port: Port
    unicast: Mapping[str, IPv4Address]
    flood: tuple[IPv4Address, ...]


@dataclass(frozen=True, slots=True)
class Transport:
    """How frames of chains get from other islands to the switches of ``domain``.

    ``name`` is the ``network`` of its ``uplinks`` and ``tunnels``; no network can have this name.

    ``hops``: hop number -> the switch of ``domain`` to which frames for this hop go. ``vni``: unique among
    networks and transports.

    ``uplinks``: one for each switch that sends such frames, in any domain, and for each switch in ``hops``.
    ``near`` and ``far`` are as in the uplinks of a network. A switch sends a frame for one of ``hops`` to its
    ``near`` port. The tunnel switch receives it at ``far`` and sends it into its tunnel. The tunnel switch of
    ``domain`` sends frames, from its tunnel or its own domain, to the ``far`` port of the hop's switch, which
    receives them at its ``near`` port.

    ``tunnels``: one in each domain that sends, whose ``flood`` is only the VTEP of ``domain`` (the
    default destination of a kernel device), and one in ``domain`` itself, which only receives (empty
    ``flood``). There are none when all senders are in ``domain``. ``unicast`` is empty: MAC addresses are
    not used here.
    """

    name: str
    domain: str
    vni: int
    hops: Mapping[int, str]
    uplinks: tuple[Uplink, ...]
    tunnels: tuple[Tunnel, ...]


@dataclass(frozen=True, slots=True)
class Overlay:
    """All uplinks and tunnels of a lab, in the order of networks, then of switches or domains.

    ``transports``: those that chains need, in the order of domains.
    """

    uplinks: tuple[Uplink, ...]
    tunnels: tuple[Tunnel, ...]
    transports: tuple[Transport, ...] = ()


def network_numbers(topology: Topology) -> dict[str, int]:
    """Network -> its number, from 1 in the order of ``topology.switched``: tunnel ports and the register
    NETWORK have it."""
    return {network.name: number for number, network in enumerate(topology.switched, 1)}


def islands(topology: Topology) -> dict[str, int]:
    """Switch -> the number of its island."""
    names = [switch.name for switch in topology.switches]
    return connected_components(names, [(link.a.switch, link.b.switch) for link in topology.links])


def connected_components(switches: Sequence[str], links: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Switch -> the number of its connected component: the switches that links join to it."""
    parent = {name: name for name in switches}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for a, b in links:
        parent[root(a)] = root(b)
    components: dict[str, int] = {}
    return {name: components.setdefault(root(name), len(components)) for name in switches}


def reach(topology: Topology) -> dict[str, set[str]]:
    """Network -> the switches that send frames into it: those of its own hosts, of hosts whose network a
    router joins to it, and those where frames leave a chain."""
    members, leaving = membership(topology), exits(topology)
    sending = {name: switches | leaving.get(name, set()) for name, switches in members.items()}
    reached = {name: set(switches) for name, switches in sending.items()}
    for router in topology.routers:
        everywhere = set().union(*(sending[network] for network in router.networks))
        for network in router.networks:
            reached[network] |= everywhere
    return reached


def membership(topology: Topology) -> dict[str, set[str]]:
    """Network -> the switches that have a host of it, or the namespace of a load balancer."""
    members: dict[str, set[str]] = {network.name: set() for network in topology.networks}
    for endpoint, port in stations(topology):
        members[endpoint.network].add(port.switch)
    return members


def overlay(topology: Topology) -> Overlay:
    """The overlay of a lab; empty when it has no underlay."""
    if topology.underlay is None:
        return Overlay((), ())
    island, number = islands(topology), network_numbers(topology)
    domain_of = {switch.name: switch.domain for switch in topology.switches}
    vteps = {vtep.domain: vtep for vtep in topology.underlay.vteps}
    places: dict[str, tuple[str, int]] = {}  # switch -> its tunnel switch, its index in its domain
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
    for network in topology.switched:
        switches = [name for name in places if name in reached[network.name]]
        if len({island[name] for name in switches}) < 2:
            continue
        for name in switches:
            vtep, place = places[name]
            near = Port(switch=name, number=TUNNEL_PORT + number[network.name])
            far = Port(switch=vtep, number=place * len(number) + number[network.name])
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
    needs: dict[str, dict[int, str]] = {}  # domain -> its hops that other islands send to
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
        vni = next(vnis)  # also for domains that need none now, so that later ones change no others
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
    """VNIs that no network has, the highest first."""
    taken = {network.vni for network in topology.networks}
    return (vni for vni in range(MAX_VNI, 0, -1) if vni not in taken)
