"""The pairs of hosts to test, their address families, and the timeout: pure functions of the topology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from topologies.model.endpoints import endpoints
from topologies.model.topology import Host, Topology


@dataclass(frozen=True)
class Gateway:
    """A network's gateway: its router, the router's MAC and addresses here, and the networks that it
    connects."""

    router: str
    mac: str
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    leads_to: frozenset[str]


def gateways(topology: Topology) -> dict[str, Gateway]:
    """Network -> its gateway, for those that have a router."""
    leads = {router.name: frozenset(router.networks) for router in topology.routers}
    return {
        endpoint.network: Gateway(
            endpoint.name,
            endpoint.mac,
            endpoint.ipv4 and endpoint.ipv4.ip,
            endpoint.ipv6 and endpoint.ipv6.ip,
            leads[endpoint.name] - {endpoint.network},
        )
        for endpoint in endpoints(topology)
        if endpoint.kind == "router"
    }


Ways = Mapping[tuple[str, str], Mapping[int, str]]
"""(source, destination) -> address family -> the interface of a host that forwards (``Routing.ways``)."""


def default_pairs(
    hosts: Sequence[Host], routed: Mapping[str, Gateway] | None = None, ways: Ways | None = None
) -> list[tuple[str, str]]:
    """Every ordered pair of hosts that share a network, in an order that spreads the load; then the pairs
    that a router connects (if they share an address family), or hosts that forward (``ways``).

    Neighbours at distance 1 first, then 2, ...: so at any moment all hosts send and receive the same number.
    Two interfaces of one host are no pair: what it sends to itself crosses no wire.
    """
    by_network: dict[str, list[str]] = {}
    node = {host.name: host.node for host in hosts}
    for host in hosts:
        by_network.setdefault(host.network, []).append(host.name)
    pairs = []
    for names in by_network.values():
        for distance in range(1, len(names)):
            spread = ((name, names[(i + distance) % len(names)]) for i, name in enumerate(names))
            pairs += [(a, b) for a, b in spread if node[a] != node[b]]
    listed = hosts if routed else ()
    pairs += [
        (a.name, b.name)
        for a in listed
        if routed and (way := routed.get(a.network)) is not None
        for b in listed
        if b.network in way.leads_to and a.node != b.node and ((a.ipv4 and b.ipv4) or (a.ipv6 and b.ipv6))
    ]
    return list(dict.fromkeys((*pairs, *ways))) if ways else pairs


def patience(probes: int) -> float:
    """Seconds after which a missing answer counts as lost: a slow machine opens 600 flows a second."""
    return 10.0 + 2 * probes / 600


def choose_families(hosts: Sequence[Host], pair_count: int) -> tuple[int, ...]:
    """Both families for up to 4,000 frames; for more frames, only IPv4 if every host has it."""
    has4, has6 = any(h.ipv4 for h in hosts), any(h.ipv6 for h in hosts)
    if has4 and has6 and 2 * pair_count > 4000 and all(h.ipv4 for h in hosts):
        return (4,)
    return tuple(family for family, has in ((4, has4), (6, has6)) if has)
