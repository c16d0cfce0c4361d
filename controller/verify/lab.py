"""What a verification needs of a lab besides its tables: who is at which port, and who may reach whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controller.verify.packets import Packets, Store, whole
from controller.verify.states import ANY
from controller.verify.values import Known
from topologies.model.attachment import Flows, TapInstance
from topologies.model.endpoints import Endpoint, endpoints
from topologies.model.functions import Function
from topologies.model.topology import Host, Port, Topology
from wire.ethertype import IPV4, IPV6
from wire.mac import mac_number


class Reached(NamedTuple):
    """How a host's packets get to another one: the MAC address that they are sent to; the one that they come
    from when they arrive. ``routed``: by a router."""

    to: int
    by: int
    routed: bool


class Lab:
    """Who is where."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.hosts = topology.attached
        self.at: dict[Port, Endpoint] = {}
        for endpoint in endpoints(topology):
            if endpoint.port is not None:
                self.at.setdefault(endpoint.port, endpoint)
        self.taps: dict[Port, str] = {}
        self.instance_of: dict[Port, str] = {}
        for function in topology.functions:
            for instance in function.instances:
                for port in instance.ports:
                    self.instance_of[port] = function.name
                if isinstance(instance, TapInstance):
                    self.taps[instance.inward] = function.name
        self._router_mac: dict[str, int] = {}
        joined: dict[str, set[str]] = {network.name: {network.name} for network in topology.networks}
        for router in topology.routers:
            for name in router.networks:
                joined[name] |= set(router.networks)
                self._router_mac[name] = mac_number(router.mac)
        self.routed = {name: frozenset(networks) for name, networks in joined.items()}
        for chain in topology.chains:
            if chain.far_network != chain.network:
                joined[chain.network].add(chain.far_network)
                joined[chain.far_network].add(chain.network)
        self.open_to = {name: frozenset(networks) for name, networks in joined.items()}
        self.spoofers = frozenset(host.at for host in topology.attached if host.allow_spoofing)
        self.stateful = any(
            isinstance(function.attachment, Flows) or function.attachment.mode == "ports"
            for function in topology.functions
        )

    @property
    def functions(self) -> dict[str, Function]:
        """By name."""
        return {function.name: function for function in self.topology.functions}

    def reached(self, source: Host, target: Host) -> Reached | None:
        """How packets from one host get to the other; None: their networks are not joined."""
        return self.way_to(source, target.network, target.mac)

    def way_to(self, source: Host, network: str, mac: str) -> Reached | None:
        """How packets from a host get to a MAC address of a network; None: the networks are not joined."""
        if source.network == network:
            return Reached(mac_number(mac), mac_number(source.mac), False)
        if network not in self.routed[source.network]:
            return None
        return Reached(self._router_mac[source.network], self._router_mac[network], True)

    def pairs(self) -> Iterator[tuple[Host, Host, Reached]]:
        """All pairs of hosts that a network or a router joins."""
        for source in self.hosts:
            for target in self.hosts:
                if source is not target:
                    way = self.reached(source, target)
                    if way is not None:
                        yield source, target, way


def exactly(**fields: int) -> Store:
    """What is known of packets with these fields."""
    return {name: Known(value, whole(name)) for name, value in fields.items()}


def packets_of(source: Host, target: Host, way: Reached, family: int) -> Store | None:
    """All packets of an address family from one host to another, as they are sent; None: they have no
    such addresses."""
    interface = target.ipv4 if family == 4 else target.ipv6
    return None if interface is None else packets_to(source, int(interface.ip), way, family)


def packets_to(source: Host, address: int, way: Reached, family: int) -> Store | None:
    """The same to an address."""
    interface = source.ipv4 if family == 4 else source.ipv6
    if interface is None:
        return None
    head = "ip" if family == 4 else "ipv6"
    known = exactly(
        vlan_vid=0,
        eth_src=mac_number(source.mac),
        eth_dst=way.to,
        eth_type=IPV4 if family == 4 else IPV6,
        **{f"{head}_src": int(interface.ip), f"{head}_dst": address},
    )
    known["ip_frag"] = ANY["ip_frag"]
    if way.routed:
        known["nw_ttl"] = Known(0, 0, ((0xFF, frozenset((0, 1))),))
    return known


def packets(store: Store) -> Packets:
    """The class of packets from outside of which this is known."""
    return Packets({}, store)
