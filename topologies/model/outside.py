"""The ways out of a lab: gateways to the machine's network, and hosts' ports that the machine reaches. Pure.

A network with a way out has a gateway: a host that the file does not name, in a network namespace of its own
like other hosts.  It is a router for addresses outside the lab only.  ``dataplane.outside`` joins it to the
machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from topologies.model.topology import Topology
from topologies.model.values import Published, WayOut

SUFFIX = "-gateway"
"""What the name of a gateway has more than that of its network."""
LINK = IPv4Network("198.18.255.0/24")
"""Between a gateway and the user-space stack that joins it to the machine; no network may overlap it. It is
in the range for device tests (RFC 2544), which nobody routes."""
NAME_SERVER = IPv4Address("198.18.255.3")
"""Where the stack answers DNS queries, for hosts of all networks with a way out."""
NEVER_OUTSIDE = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("198.18.0.0/15"),
    IPv4Network("224.0.0.0/3"),
    IPv6Network("::/127"),
    IPv6Network("fe80::/10"),
    IPv6Network("ff00::/8"),
)
"""What is never beyond a gateway: this host (RFC 1122, 3.2.1.3), link-local addresses (RFC 3927, 7: no router
forwards them; in clouds, credentials are there), the management network, groups."""


def gateway_of(network: str) -> str:
    """The name of the gateway of a network."""
    return network + SUFFIX


def gateways(topology: Topology) -> frozenset[str]:
    """The hosts that are gateways."""
    return frozenset(way.gateway for way in topology.outside)


def inside(topology: Topology) -> Iterator[IPv4Network | IPv6Network]:
    """The prefixes that a gateway neither forwards to nor takes packets from: the subnets of all networks of
    the lab and of its underlay, and ``NEVER_OUTSIDE``."""
    for network in topology.networks:
        yield from network.subnets
    if topology.underlay is not None:
        yield topology.underlay.subnet
    yield from NEVER_OUTSIDE


def published(topology: Topology, way: WayOut) -> list[Published]:
    """The published ports of hosts in the network of a way out."""
    member = {host.name: host.network for host in topology.hosts}
    return [port for port in topology.publish if member.get(port.host) == way.network]


def remark(topology: Topology) -> str:
    """A sentence about what the lab has of ways out; empty: none."""
    open_to = [way.network for way in topology.outside if way.open]
    sentences = []
    if open_to:
        several = "networks" if len(open_to) > 1 else "network"
        sentences.append(
            f"hosts of {several} {', '.join(open_to)} reach this machine's network and the internet"
        )
    if topology.publish:
        ports = ", ".join(f"{port.name} -> {port.target}" for port in topology.publish)
        sentences.append(f"this machine reaches hosts by ports of 127.0.0.1: {ports}")
    return "; ".join(sentences)
