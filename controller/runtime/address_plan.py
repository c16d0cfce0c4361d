"""The file's hosts, addresses and networks, indexed for lookups by packets."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.compiler.stations import owners
from topologies.model.endpoints import endpoints
from topologies.model.topology import Host, Network, Port, Topology
from wire.mac import mac_number


@dataclass(slots=True)
class AddressPlan:
    """By port, (network, MAC), (network, IP version, address) and network.

    ``gateways``: network -> MAC, IPv4 and IPv6 address of its router.
    """

    ports: dict[Port, Host] = field(default_factory=dict)
    macs: dict[tuple[str, int], Port | None] = field(default_factory=dict)  # None: no host port's
    addresses: dict[tuple[str, int, int], tuple[int, Port | None]] = field(default_factory=dict)
    gateways: dict[str, tuple[int, int | None, int | None]] = field(default_factory=dict)
    members: dict[str, list[Port]] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)


def address_plan(topology: Topology) -> AddressPlan:
    """The index of a topology."""
    known = AddressPlan(networks={network.name: network for network in topology.networks})
    for owner in owners(topology):
        known.macs[owner.network, owner.mac] = owner.port
        for family, address in owner.addresses():
            known.addresses[owner.network, family, address] = owner.mac, owner.port
    for host in topology.attached:
        known.ports[host.at] = host
        known.members.setdefault(host.network, []).append(host.at)
    for endpoint in endpoints(topology):
        if endpoint.kind == "router":
            four, six = endpoint.ipv4, endpoint.ipv6
            mac = mac_number(endpoint.mac)
            known.gateways[endpoint.network] = (
                mac,
                int(four.ip) if four else None,
                int(six.ip) if six else None,
            )
    return known
