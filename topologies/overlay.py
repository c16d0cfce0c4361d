"""The overlay that follows from a topology: which network needs a tunnel where, and what is behind it.

Nothing of this is stored: it follows from where the hosts are, so a host that moves changes it.

Switches that links join, as drawn in the file, form an *island*; inside one, frames take the links.
A network whose switches are on more than one island *crosses*: each of its switches has an
uplink of the network's own (a pair of patch ports) to the tunnel switch (role ``vtep``) of its
domain, and that one has a tunnel port for the network.  So a frame's network is known from the port
it comes in by, whatever the frame says.  All pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from topologies.model import Port, Topology

TUNNEL_PORT = 60_000
"""On a tunnel switch: the tunnel port of network number n is this + n; ``ovs``: this, for all networks.
On other switches: the uplink of network number n is this + n."""
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
class Overlay:
    """All uplinks and tunnels of a lab, in the order of networks, then switches or domains."""

    uplinks: tuple[Uplink, ...]
    tunnels: tuple[Tunnel, ...]


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
    found: dict[str, int] = {}
    return {name: found.setdefault(root(name), len(found)) for name in switches}


def reach(topology: Topology) -> dict[str, set[str]]:
    """Network -> switches whose hosts can send into it: its own hosts, and those a router joins to it."""
    members = membership(topology)
    found = {name: set(switches) for name, switches in members.items()}
    for router in topology.routers:
        everywhere = set().union(*(members[network] for network in router.networks))
        for network in router.networks:
            found[network] |= everywhere
    return found


def membership(topology: Topology) -> dict[str, set[str]]:
    """Network -> switches that have a host of it."""
    members: dict[str, set[str]] = {network.name: set() for network in topology.networks}
    for host in topology.hosts:
        members[host.network].add(host.port.switch)
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
    for host in topology.hosts:
        where = vteps[domain_of[host.port.switch]]
        hosts.setdefault(host.network, {})[host.mac] = where.address
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
            each for each in topology.underlay.vteps if each.domain in {domain_of[s] for s in switches}
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
                        each.address
                        for each in topology.underlay.vteps
                        if each.domain in populated and each is not vtep_
                    ),
                )
            )
    return Overlay(tuple(uplinks), tuple(tunnels))
