"""Stations: end systems with a MAC address on a host port, from the file or learned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import NamedTuple

from topologies.model.endpoints import endpoints
from topologies.model.endpoints import stations as endpoints_at_ports
from topologies.model.overlay import network_numbers
from topologies.model.places import Entity
from topologies.model.topology import Port, Topology
from wire.mac import link_local, mac_number, mac_text


@dataclass(frozen=True, slots=True)
class Learned:
    """A station that the file does not have, seen on a host port of ``network``; or a further address of a
    station that the file or an earlier element of the same list has there."""

    network: str
    mac: int
    port: Port
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None


class Station(NamedTuple):
    """One end system as the compiler sees it: numbers only, for speed.

    ``entity``: what describes it in the file; of one that was learned, the host at whose port it is."""

    name: str
    network: int
    mac: int
    switch: str
    port: int
    ipv4: int | None
    ipv6: int | None
    entity: Entity


def access_ports(topology: Topology) -> dict[str, dict[int, str]]:
    """Switch -> port -> network, of all ports with a station of the file."""
    by_switch: dict[str, dict[int, str]] = {}
    for endpoint, port in endpoints_at_ports(topology):
        by_switch.setdefault(port.switch, {})[port.number] = endpoint.network
    return by_switch


def function_ports(topology: Topology) -> frozenset[Port]:
    """All ports of functions' instances."""
    instances = (instance for function in topology.functions for instance in function.instances)
    return frozenset(port for instance in instances for port in instance.ports)


class Owner(NamedTuple):
    """Who has addresses in a network, by the file. ``port``: its host port, or None where the switches answer
    in its place."""

    name: str
    network: str
    mac: int
    port: Port | None
    ipv4: int | None
    ipv6: int | None
    entity: Entity

    def addresses(self) -> list[tuple[int, int]]:
        """(family, address) of all addresses that nobody else may have; one is the link-local address made of
        the MAC address."""
        claimed = [(4, self.ipv4), (6, self.ipv6), (6, link_local(self.mac))]
        return [(family, address) for family, address in claimed if address is not None]


def owners(topology: Topology) -> Iterator[Owner]:
    """All that have addresses of their own by the file: hosts, virtual services, translators, routers. One
    more ``Owner`` for each further address."""
    for endpoint in endpoints(topology):
        mac, first4, first6 = mac_number(endpoint.mac), endpoint.ipv4, endpoint.ipv6
        name, network, port, entity = endpoint.name, endpoint.network, endpoint.port, endpoint.entity
        yield Owner(name, network, mac, port, _number(first4), _number(first6), entity)
        for further in endpoint.addresses:
            if further not in (first4, first6):
                four, six = (int(further.ip), None) if further.version == 4 else (None, int(further.ip))
                yield Owner(name, network, mac, port, four, six, entity)


def _at(port: Port) -> tuple[str, int]:
    return port.switch, port.number


def _number(interface: IPv4Interface | IPv6Interface | None) -> int | None:
    return None if interface is None else int(interface.ip)


class Stations(NamedTuple):
    """``stations``: all end systems, each once; ``further``: one for each further address of them."""

    stations: tuple[Station, ...]
    further: tuple[Station, ...]


def stations(topology: Topology, learned: tuple[Learned, ...] = ()) -> Stations:
    """All stations: the file's hosts, its load balancers, then the learned ones sorted by MAC address; and
    further addresses of stations whose ports may claim any address (``allow_spoofing``).

    A host whose port may claim any address can change its own MAC address: a station that was learned at its
    port with one of its addresses has all of them. Else the file wins: a learned station is left out when its
    MAC address has a place elsewhere, or when its port is no host port of its network. A learned address that
    somebody has is left out by itself.
    """
    numbers = network_numbers(topology)
    free = {host.at for host in topology.attached if host.allow_spoofing}
    known = _without_taken(list(owners(topology)), learned, free)
    known_stations = [
        Station(
            owner.name,
            numbers[owner.network],
            owner.mac,
            *_at(owner.port),
            owner.ipv4,
            owner.ipv6,
            owner.entity,
        )
        for owner in known
        if owner.port is not None  # a load balancer's namespace is reached as a host is
    ]
    first = {station.mac: station for station in reversed(known_stations)}
    unique = [station for station in known_stations if first[station.mac] is station]
    further = [station for station in known_stations if first[station.mac] is not station]
    taken = {owner.mac: (owner.network, owner.port if owner.port in free else None) for owner in known}
    addresses = {(numbers[owner.network], *address) for owner in known for address in owner.addresses()}
    ports = {host.at: host.network for host in topology.attached}
    at_port = {host.at: Entity("host", host.name) for host in topology.attached} if learned else {}
    placed = {owner.mac for owner in known}
    for extra in sorted(learned, key=lambda seen: (seen.mac, str(seen.port))):
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
        station = Station(name, number, extra.mac, *_at(extra.port), ipv4, ipv6, at_port[extra.port])
        (further if extra.mac in placed else unique).append(station)
        placed.add(extra.mac)
    return Stations(tuple(unique), tuple(further))


def _without_taken(known: list[Owner], learned: Iterable[Learned], free: Collection[Port]) -> list[Owner]:
    """``known``, where hosts at ``free`` ports have no addresses if others learned there have one of them."""
    if not learned or not free:
        return known
    at = {
        (owner.network, owner.port, family, address): owner
        for owner in known
        if owner.port in free
        for family, address in owner.addresses()
    }
    lost = set()
    for extra in learned:
        for family, value in ((4, extra.ipv4), (6, extra.ipv6)):
            owner = at.get((extra.network, extra.port, family, int(value))) if value is not None else None
            if owner is not None and owner.mac != extra.mac:
                lost.add((owner.network, owner.mac))
    return [
        owner._replace(ipv4=None, ipv6=None) if (owner.network, owner.mac) in lost else owner
        for owner in known
    ]
