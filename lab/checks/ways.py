"""How requests get from one host to another: addresses, and the MAC address of the next hop. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from lab.probe import frames
from lab.probe.frames import Station
from lab.probe.loop import address_of
from lab.probe.pairs import gateways
from topologies.model.endpoints import Endpoint, endpoints
from topologies.model.kinds import LoadBalancer
from topologies.model.policy import Policy
from topologies.model.routing import Routing
from topologies.model.topology import Host, Topology


class Hop(NamedTuple):
    """Where a request goes first. ``station``: the next hop. ``apart``: nothing joins the two networks."""

    station: Station
    apart: bool


class Ways:
    """The ways of one lab."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.hosts: dict[str, Host] = {host.name: host for host in topology.hosts}
        self.policy = Policy(topology)
        self._ends: dict[str, Endpoint] = {
            end.name: end for end in reversed(list(endpoints(topology))) if end.kind != "router"
        }
        # no switch knows those on wires between hosts
        self._ends |= {host.name: _on_a_wire(host) for host in topology.hosts if host.peer}
        self._stations = {name: _station(end) for name, end in self._ends.items()}
        self._routed = gateways(topology)
        self._ways = Routing(topology).ways
        self._routers = {
            network: frames.station(f"router {way.router}", way.mac, way.ipv4, way.ipv6)
            for network, way in self._routed.items()
        }
        self._backends = {
            function.name: frozenset(backend.host for backend in function.balancer.backends)
            for function in topology.functions
            if isinstance(function, LoadBalancer)
        }

    def station(self, name: str) -> Station:
        """A host, or a function with addresses. Raises KeyError."""
        return self._stations[name]

    @property
    def names(self) -> list[str]:
        """All that have addresses: hosts and functions."""
        return list(self._ends)

    def network(self, name: str) -> str:
        """The network of one of them."""
        return self._ends[name].network

    def address(self, name: str, family: int) -> IPv4Address | IPv6Address | None:
        """The address of one of them, if it has one of the family."""
        own = self._ends[name].ipv4 if family == 4 else self._ends[name].ipv6
        return own and own.ip

    def families(self, source: str, target: str) -> tuple[int, ...]:
        """The address families that both have."""
        a, b = self._stations[source], self._stations[target]
        return tuple(family for family in (4, 6) if address_of(a, family) and address_of(b, family))

    def same(self, source: str, target: str) -> bool:
        """Whether both are interfaces of one host, so that no packet between them crosses a wire."""
        return target in self.hosts and self.hosts[source].node == self.hosts[target].node

    def hop(self, source: str, target: str) -> Hop:
        """The next hop from a host to a target."""
        here, there = self._ends[source].network, self._ends[target].network
        if here == there:
            return Hop(self._stations[target], False)
        first = self._ways.get((source, target))
        if first is not None:
            return Hop(self._stations[first[min(first)]], False)
        way = self._routed.get(here)
        if way is not None and there in way.leads_to:
            return Hop(self._routers[here], False)
        return Hop(self._stations[target], True)

    def arrives_at(self, target: str) -> frozenset[str]:
        """The hosts at which requests to a target may arrive; empty: none at which they can be seen."""
        if target in self.hosts:
            return frozenset((target,))
        return self._backends.get(target, frozenset())

    def neighbours(self, name: str) -> Iterator[str]:
        """Other hosts that may reach a host: of its network, then of those that a router joins to it."""
        own = self.hosts[name].network
        peers = self._routed[own].leads_to if own in self._routed else frozenset()
        far = []
        for other, host in self.hosts.items():
            if other != name and host.network == own:
                yield other
            elif host.network in peers:
                far.append(other)
        yield from far


def _on_a_wire(host: Host) -> Endpoint:
    both = tuple(address for address in (host.ipv4, host.ipv6) if address is not None)
    return Endpoint(host.name, "host", host.network, host.mac, None, both)


def _station(end: Endpoint) -> Station:
    return frames.station(end.name, end.mac, end.ipv4 and end.ipv4.ip, end.ipv6 and end.ipv6.ip)
