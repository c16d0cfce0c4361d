"""Who has which addresses and switch ports: the only module that knows. Pure.

Not only hosts have addresses: a load balancer has them at its own end system; address translators and routers
have addresses for which the switches answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface
from typing import Literal, NamedTuple

from topologies.model.kinds import AddressTranslator, DhcpServer, LoadBalancer
from topologies.model.places import Entity, EntityKind
from topologies.model.topology import Topology
from topologies.model.values import Port

Kind = Literal["host", "load balancer", "address translator", "DHCP server", "router"]
_ENTITIES: dict[Kind, EntityKind] = {
    "host": "host",
    "load balancer": "function",
    "address translator": "function",
    "DHCP server": "function",
    "router": "router",
}


class Endpoint(NamedTuple):
    """The addresses that ``name`` has in one network.

    ``port``: its switch port; None when the switches answer for it. ``addresses``: the first IPv4 and the
    first IPv6 address, then further ones.
    """

    name: str
    kind: Kind
    network: str
    mac: str
    port: Port | None
    addresses: tuple[IPv4Interface | IPv6Interface, ...]

    @property
    def entity(self) -> Entity:
        """The entry of the file that describes it."""
        return Entity(_ENTITIES[self.kind], self.name)

    @property
    def ipv4(self) -> IPv4Interface | None:
        """The first IPv4 address."""
        return next((address for address in self.addresses if isinstance(address, IPv4Interface)), None)

    @property
    def ipv6(self) -> IPv6Interface | None:
        """The first IPv6 address."""
        return next((address for address in self.addresses if isinstance(address, IPv6Interface)), None)


def endpoints(topology: Topology) -> Iterator[Endpoint]:
    """All that have addresses in the topology: hosts, then functions, then routers, once for each network.

    An interface on a wire between hosts is none: no switch knows it.
    """
    for host in topology.attached:
        both = _given(host.ipv4, host.ipv6)
        yield Endpoint(host.name, "host", host.network, host.mac, host.port, both)
    for function in topology.functions:
        if isinstance(function, LoadBalancer):
            own = function.balancer
            yield Endpoint(function.name, "load balancer", own.network, own.mac, own.at, own.addresses)
        if isinstance(function, AddressTranslator):
            nat = function.nat
            yield Endpoint(function.name, "address translator", nat.network, nat.mac, None, _given(nat.ipv4))
        if isinstance(function, DhcpServer):
            server = function.dhcp
            yield Endpoint(
                function.name, "DHCP server", server.network, server.mac, server.at, server.addresses
            )
    networks = {network.name: network for network in topology.networks}
    for router in topology.routers:
        for name in router.networks:
            yield Endpoint(router.name, "router", name, router.mac, None, networks[name].gateways)


def stations(topology: Topology) -> Iterator[tuple[Endpoint, Port]]:
    """The endpoints that have a switch port, each with its port."""
    for endpoint in endpoints(topology):
        if endpoint.port is not None:
            yield endpoint, endpoint.port


class Plug(NamedTuple):
    """A switch port and who has it.

    ``key``: ``("host", name)``, ``("link", name)`` (for both ends), ``("in", instance)``, ``("out",
    instance)``, or ``("at", function)`` for the end system of a function. ``what``: the same in words.
    """

    key: tuple[str, str]
    what: str
    port: Port


def plugs(topology: Topology) -> Iterator[Plug]:
    """All ports that the topology numbers. Those of the overlay are derived elsewhere."""
    for link in topology.links:
        for end in (link.a, link.b):
            yield Plug(("link", link.name), f"link {link.name}", end)
    for host in topology.attached:
        yield Plug(("host", host.name), f"host {host.name}", host.at)
    for function in topology.functions:
        for instance in function.instances:
            for side, port in instance.sides:
                yield Plug((side, instance.name), f"instance {instance.name}, {side}", port)
        if function.end_system is not None:
            yield Plug(("at", function.name), f"function {function.name}", function.end_system)


def _given(
    *addresses: IPv4Interface | IPv6Interface | None,
) -> tuple[IPv4Interface | IPv6Interface, ...]:
    return tuple(address for address in addresses if address is not None)
