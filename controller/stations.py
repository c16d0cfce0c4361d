"""Stations: whatever has a MAC address on a host port, from the file or learned."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from topologies.functions import Balancer
from topologies.model import Port, Topology


@dataclass(frozen=True, slots=True)
class Learned:
    """A station that the file does not know, seen on a host port of ``network``."""

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


def mac_number(text: str) -> int:
    """``02:00:00:00:00:01`` as an integer."""
    return int(text.replace(":", ""), 16)


def mac_text(number: int) -> str:
    """An integer as ``02:00:00:00:00:01``."""
    return number.to_bytes(6, "big").hex(":")


def link_local(mac: int) -> int:
    """The IPv6 link-local address that a MAC implies (modified EUI-64, RFC 4291 appendix A)."""
    high, low = mac >> 24 ^ 0x020000, mac & 0xFFFFFF
    return 0xFE80 << 112 | high << 40 | 0xFFFE << 24 | low


def network_numbers(topology: Topology) -> dict[str, int]:
    """Each network's number in the NETWORK register, 1 upward in the file's sorted order."""
    return {network.name: number for number, network in enumerate(topology.networks, 1)}


def access_ports(topology: Topology) -> dict[str, dict[int, str]]:
    """Switch -> port -> network, of all ports that one station of the file is behind."""
    found: dict[str, dict[int, str]] = {}
    for host in topology.hosts:
        found.setdefault(host.port.switch, {})[host.port.number] = host.network
    for function in topology.functions:
        if function.balancer is not None:
            at = function.balancer.at
            found.setdefault(at.switch, {})[at.number] = function.balancer.network
    return found


def function_ports(topology: Topology) -> frozenset[Port]:
    """All ports of functions' instances."""
    ends = (end for each in topology.functions for one in each.instances for end in (one.inward, one.outward))
    return frozenset(end for end in ends if end is not None)


def _balancer(name: str, balancer: Balancer, numbers: dict[str, int]) -> Station:
    return Station(
        name,
        numbers[balancer.network],
        mac_number(balancer.mac),
        balancer.at.switch,
        balancer.at.number,
        None if balancer.ipv4 is None else int(balancer.ipv4.ip),
        None if balancer.ipv6 is None else int(balancer.ipv6.ip),
    )


def stations(topology: Topology, learned: tuple[Learned, ...] = ()) -> tuple[Station, ...]:
    """All stations: the file's hosts, its load balancers, then the learned ones sorted by MAC.

    What the file says wins: a learned station is left out when its MAC is a host's, when its
    port is no host port of its network, or (the address alone) when a host has that address.
    """
    numbers = network_numbers(topology)
    found = []
    for host in topology.hosts:
        found.append(
            Station(
                host.name,
                numbers[host.network],
                mac_number(host.mac),
                host.port.switch,
                host.port.number,
                None if host.ipv4 is None else int(host.ipv4.ip),
                None if host.ipv6 is None else int(host.ipv6.ip),
            )
        )
    for function in topology.functions:
        # a load balancer's namespace is reached as a host is
        if function.balancer is not None:
            found.append(_balancer(function.name, function.balancer, numbers))
    taken = {station.mac for station in found}
    addresses = {(station.network, station.ipv4) for station in found}
    addresses |= {(station.network, station.ipv6) for station in found}
    ports = {(host.port.switch, host.port.number): host.network for host in topology.hosts}
    for extra in sorted(learned, key=lambda each: (each.mac, str(each.port))):
        if extra.mac in taken or ports.get((extra.port.switch, extra.port.number)) != extra.network:
            continue
        number = numbers[extra.network]
        ipv4 = None if extra.ipv4 is None else int(extra.ipv4)
        ipv6 = None if extra.ipv6 is None else int(extra.ipv6)
        ipv4 = None if (number, ipv4) in addresses else ipv4
        ipv6 = None if (number, ipv6) in addresses else ipv6
        taken.add(extra.mac)
        addresses |= {(number, ipv4), (number, ipv6)}
        name = mac_text(extra.mac)
        found.append(Station(name, number, extra.mac, extra.port.switch, extra.port.number, ipv4, ipv6))
    return tuple(found)
