"""Stations: whatever has a MAC address on a host port, from the file or learned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import NamedTuple

from topologies.model.endpoints import endpoints
from topologies.model.endpoints import stations as endpoints_at_ports
from topologies.model.topology import Port, Topology
from wire.mac import link_local, mac_number, mac_text


@dataclass(frozen=True, slots=True)
class Learned:
    """A station that the file does not know, seen on a host port of ``network``; or further addresses of one
    that it knows there, or of one that came before in the same list."""

    network: str
    mac: int
    port: Port
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None


class Station(NamedTuple):
    """One end system as the compiler sees it: numbers only, for speed."""

    name: str
    network: int
    mac: int
    switch: str
    port: int
    ipv4: int | None
    ipv6: int | None


def network_numbers(topology: Topology) -> dict[str, int]:
    """Each network's number in the NETWORK register, 1 upward in the file's sorted order."""
    return {network.name: number for number, network in enumerate(topology.networks, 1)}


def access_ports(topology: Topology) -> dict[str, dict[int, str]]:
    """Switch -> port -> network, of all ports that one station of the file is behind."""
    found: dict[str, dict[int, str]] = {}
    for endpoint, port in endpoints_at_ports(topology):
        found.setdefault(port.switch, {})[port.number] = endpoint.network
    return found


def function_ports(topology: Topology) -> frozenset[Port]:
    """All ports of functions' instances."""
    ends = (end for each in topology.functions for one in each.instances for end in (one.inward, one.outward))
    return frozenset(end for end in ends if end is not None)


class Owner(NamedTuple):
    """Who answers for addresses in a network, by the file. ``port``: the host port that it is behind, or None
    where the switches answer for it themselves."""

    name: str
    network: str
    mac: int
    port: Port | None
    ipv4: int | None
    ipv6: int | None

    def addresses(self) -> list[tuple[int, int]]:
        """Family and address of all that nobody else may have, also the link-local one of its MAC address."""
        found = [(4, self.ipv4), (6, self.ipv6), (6, link_local(self.mac))]
        return [(family, address) for family, address in found if address is not None]


def owners(topology: Topology) -> Iterator[Owner]:
    """All that have addresses of their own by the file: hosts, virtual services, translators, routers."""
    for each in endpoints(topology):
        mac, first4, first6 = mac_number(each.mac), each.ipv4, each.ipv6
        yield Owner(each.name, each.network, mac, each.port, _number(first4), _number(first6))
        for further in each.addresses:
            if further not in (first4, first6):
                four, six = (int(further.ip), None) if further.version == 4 else (None, int(further.ip))
                yield Owner(each.name, each.network, mac, each.port, four, six)


def _at(port: Port) -> tuple[str, int]:
    return port.switch, port.number


def _number(interface: IPv4Interface | IPv6Interface | None) -> int | None:
    return None if interface is None else int(interface.ip)


class Found(NamedTuple):
    """``stations``: all end systems, each once; ``further``: the same with addresses beside their first."""

    stations: tuple[Station, ...]
    further: tuple[Station, ...]


def stations(topology: Topology, learned: tuple[Learned, ...] = ()) -> Found:
    """All stations: the file's hosts, its load balancers, then the learned ones sorted by MAC; and further
    addresses, of those whose ports may claim any (``allow_spoofing``).

    What the file says wins: a learned station is left out when its MAC is somebody's elsewhere, when its
    port is no host port of its network, or (the address alone) when somebody has that address.
    """
    numbers = network_numbers(topology)
    known = list(owners(topology))
    known_stations = [
        Station(each.name, numbers[each.network], each.mac, *_at(each.port), each.ipv4, each.ipv6)
        for each in known
        if each.port is not None  # a load balancer's namespace is reached as a host is
    ]
    first = {each.mac: each for each in reversed(known_stations)}
    found = [each for each in known_stations if first[each.mac] is each]
    further = [each for each in known_stations if first[each.mac] is not each]
    free = {host.port for host in topology.hosts if host.allow_spoofing}
    taken = {each.mac: (each.network, each.port if each.port in free else None) for each in known}
    addresses = {(numbers[each.network], *one) for each in known for one in each.addresses()}
    ports = {host.port: host.network for host in topology.hosts}
    placed = {each.mac for each in known}
    for extra in sorted(learned, key=lambda each: (each.mac, str(each.port))):
        here = (extra.network, extra.port)
        if ports.get(extra.port) != extra.network or taken.setdefault(extra.mac, here) != here:
            continue
        number = numbers[extra.network]
        ipv4 = None if extra.ipv4 is None else int(extra.ipv4)
        ipv6 = None if extra.ipv6 is None else int(extra.ipv6)
        ipv4 = None if (number, 4, ipv4) in addresses else ipv4
        ipv6 = None if (number, 6, ipv6) in addresses else ipv6
        addresses |= {(number, 4, ipv4 or 0), (number, 6, ipv6 or 0)}
        name = mac_text(extra.mac)
        made = Station(name, number, extra.mac, extra.port.switch, extra.port.number, ipv4, ipv6)
        (further if extra.mac in placed else found).append(made)
        placed.add(extra.mac)
    return Found(tuple(found), tuple(further))
