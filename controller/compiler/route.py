"""Table ROUTE: a tenant's distributed router (RFC 9135's asymmetric model).

Every switch routes what its own hosts send to their gateway's MAC address: the first hop takes one from
the TTL, writes the destination's MAC address and network, and from there on the packet belongs to that
network.  So a gateway answers alike on every switch, and no packet makes a detour to a router.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from controller.compiler.arp_nd import answer4, answer6
from controller.compiler.stations import Station
from controller.flow.builders import NETWORK, Priority, flow, miss
from controller.flow.tables import CONTROLLER, IN_PORT, DecTtl, Field, Flow, Move, Output, SetField, Table
from topologies.model.places import Entity
from topologies.model.topology import Topology
from wire.ethertype import IPV4, IPV6
from wire.icmp import ECHO, ECHO6, ECHO_REPLY, ECHO_REPLY6
from wire.mac import mac_number
from wire.protocol import ICMP, ICMPV6

MISS = miss(Table.ROUTE, Table.FORWARD, "not for the router")


class Gateway(NamedTuple):
    """A router's place in one network: its addresses there, and the networks that it leads to.

    ``exit``: the MAC address of the gateway of the network's way out of the lab, if there is one.
    """

    router: str
    network: int
    mac: int
    ipv4: int | None
    ipv6: int | None
    others: tuple[int, ...]
    exit: int | None = None

    @property
    def entity(self) -> Entity:
        """The router, as the file describes it."""
        return Entity("router", self.router)


def gateways(topology: Topology, numbers: Mapping[str, int]) -> dict[int, Gateway]:
    """Each routed network's gateway, by the network's number."""
    networks = {network.name: network for network in topology.networks}
    macs = {host.name: mac_number(host.mac) for host in topology.attached} if topology.outside else {}
    exits = {way.network: macs[way.gateway] for way in topology.outside if way.open}
    by_network = {}
    for router in topology.routers:
        for name in router.networks:
            network = networks[name]
            by_network[numbers[name]] = Gateway(
                router.name,
                numbers[name],
                mac_number(router.mac),
                None if network.gateway4 is None else int(network.gateway4.ip),
                None if network.gateway6 is None else int(network.gateway6.ip),
                tuple(numbers[other] for other in router.networks if other != name),
                exits.get(name),
            )
    return by_network


def gateway_answers(gateway: Gateway) -> list[Flow]:
    """ARP and neighbour discovery for a gateway's addresses, in table RESOLVE."""
    flows, name, entity = [], f"router {gateway.router}", gateway.entity
    if gateway.ipv4 is not None:
        flows.append(answer4(gateway.network, gateway.ipv4, gateway.mac, name, entity))
    if gateway.ipv6 is not None:
        flows.append(answer6(gateway.network, gateway.ipv6, gateway.mac, name, entity))
    return flows


def routes(
    known: Mapping[int, Gateway], stations: Mapping[int, Sequence[Station]]
) -> dict[int, tuple[Flow, ...]]:
    """Per network that has a gateway: its flows, the same on every switch; ``stations`` by network."""
    return {
        network: (
            *_own(gateway, known),
            *(
                entry
                for other in gateway.others
                for station in stations.get(other, ())
                for entry in _towards(gateway, station)
            ),
        )
        for network, gateway in known.items()
    }


def route(here: Iterable[int], shared: Mapping[int, tuple[Flow, ...]]) -> list[Flow]:
    """Flows of one switch that has hosts of the networks ``here``."""
    return [*(entry for network in sorted(here) for entry in shared.get(network, ())), MISS]


def _to(gateway: Gateway) -> tuple[Field, Field]:
    return Field(NETWORK, gateway.network), Field("eth_dst", gateway.mac)


def _own(gateway: Gateway, known: Mapping[int, Gateway]) -> list[Flow]:
    """Flows for packets to the router itself, to unknown addresses, and for those whose TTL runs out."""
    flows = []
    for kind, name in ((IPV4, "IPv4"), (IPV6, "IPv6")):
        for ttl in (0, 1):
            flows.append(
                flow(
                    Table.ROUTE,
                    Priority.SPECIAL,
                    (*_to(gateway), Field("eth_type", kind), Field("nw_ttl", ttl)),
                    (Output(CONTROLLER),),
                    why=f"{name} with no hop left at router {gateway.router}: its sender is told",
                    entity=gateway.entity,
                )
            )
    flows.append(
        flow(
            Table.ROUTE,
            Priority.UNKNOWN,
            _to(gateway),
            why=f"router {gateway.router} knows no such address: dropped",
            entity=gateway.entity,
        )
    )
    flows += _outward(gateway, gateway.exit) if gateway.exit is not None else ()
    for network in (gateway.network, *gateway.others):
        other = known[network]
        if other.ipv4 is not None:
            flows.append(_echo(gateway, other.ipv4, _ECHO4))
        if other.ipv6 is not None:
            flows.append(_echo(gateway, other.ipv6, _ECHO6))
    return flows


def _outward(gateway: Gateway, mac: int) -> list[Flow]:
    """The router's default routes: to the gateway of the network's way out."""
    actions = (DecTtl(), SetField("eth_src", gateway.mac), SetField("eth_dst", mac))
    return [
        flow(
            Table.ROUTE,
            Priority.UNKNOWN + 1,
            (*_to(gateway), Field("eth_type", kind)),
            actions,
            Table.FORWARD,
            why=f"router {gateway.router}: {name} out of the lab",
            entity=gateway.entity,
        )
        for kind, name in ((IPV4, "IPv4"), (IPV6, "IPv6"))
    ]


class _Echo(NamedTuple):
    """How a ping looks in one address family (RFC 792; RFC 4443, 4.1 and 4.2)."""

    eth_type: int
    ip_proto: int
    prefix: str
    kind: str
    request: int
    reply: int


_ECHO4 = _Echo(IPV4, ICMP, "ip", "icmp_type", ECHO, ECHO_REPLY)
_ECHO6 = _Echo(IPV6, ICMPV6, "ipv6", "icmpv6_type", ECHO6, ECHO_REPLY6)


def _echo(gateway: Gateway, address: int, ping: _Echo) -> Flow:
    """The echo reply for one of the router's addresses, made of the request."""
    src, dst = f"{ping.prefix}_src", f"{ping.prefix}_dst"
    return flow(
        Table.ROUTE,
        Priority.GUARD,
        (
            *_to(gateway),
            Field("eth_type", ping.eth_type),
            Field("ip_proto", ping.ip_proto),
            Field(dst, address),
            Field(ping.kind, ping.request),
        ),
        (
            Move("eth_src", "eth_dst", 48),
            SetField("eth_src", gateway.mac),
            Move(src, dst, 32 if ping is _ECHO4 else 128),
            SetField(src, address),
            SetField(ping.kind, ping.reply),
            SetField("nw_ttl", 64),
            Output(IN_PORT),
        ),
        why=f"ping of router {gateway.router}: answered here",
        entity=gateway.entity,
    )


def _towards(gateway: Gateway, station: Station) -> list[Flow]:
    flows = []
    for kind, field, address in (
        (IPV4, "ip_dst", station.ipv4),
        (IPV6, "ipv6_dst", station.ipv6),
    ):
        if address is None:
            continue
        flows.append(
            flow(
                Table.ROUTE,
                Priority.KNOWN,
                (*_to(gateway), Field("eth_type", kind), Field(field, address)),
                (
                    DecTtl(),
                    SetField("eth_src", gateway.mac),
                    SetField("eth_dst", station.mac),
                    SetField(NETWORK, station.network),
                ),
                Table.FORWARD,
                why=f"router {gateway.router}: to {station.name}",
                entity=gateway.entity,
            )
        )
    return flows
