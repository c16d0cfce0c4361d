"""Hosts that route (``kind: router``), and who reaches whom by the routes that the file gives. Pure.

The switches know nothing of it: a router is a host whose kernel forwards. What its ports may send beside its
own addresses follows from its routes. A router with FRR learns more routes than the file has. It is taken to
lead to all networks that are joined to it by routers with FRR.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from topologies.model.choices import ROUTER
from topologies.model.frr import configuration
from topologies.model.topology import Host, Network, Topology
from topologies.model.values import Port

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network
EVERYWHERE: dict[int, Prefix] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
MOST_HOPS = 32
"""Routers that a packet passes in a lab; one that passes more goes round in circles."""


class Step(NamedTuple):
    """The way of a packet from a host: out of ``out`` to ``next``; None: the target is a neighbour there."""

    out: Host
    next: Address | None


class Sources(NamedTuple):
    """Source addresses that a router's port may send beside its own: those in ``among``, but none in
    ``except_``."""

    among: tuple[Prefix, ...]
    except_: tuple[Prefix, ...]


class Routing:
    """The routes of all hosts of a lab."""

    def __init__(self, topology: Topology) -> None:
        self._networks: dict[str, Network] = {network.name: network for network in topology.networks}
        self._joined: dict[str, set[str]] = {}
        for router in topology.routers:
            for name in router.networks:
                self._joined.setdefault(name, set()).update(router.networks)
        self._interfaces: dict[str, list[Host]] = {}
        self._owner: dict[tuple[str, Address], Host] = {}
        for host in topology.hosts:
            self._interfaces.setdefault(host.node, []).append(host)
            for own in (host.ipv4, host.ipv6):
                if own is not None:
                    self._owner[host.network, own.ip] = host
        self.hosts = topology.hosts

    @cached_property
    def learning(self) -> frozenset[str]:
        """The names of the hosts that forward and learn routes by FRR."""
        return frozenset(host.name for host in self.hosts if configuration(host) is not None)

    @cached_property
    def _joined_by_learning(self) -> Mapping[str, frozenset[str]]:
        """Host that learns -> the networks to which it and those that it can learn from lead."""
        reach: dict[str, frozenset[str]] = {}
        for name in sorted(self.learning):
            joined = {entry.network for entry in self._interfaces[name]}
            near = {other for other, networks in reach.items() if networks & joined}
            networks = frozenset(joined.union(*(reach[other] for other in near)))
            reach |= dict.fromkeys((name, *near), networks)
        return reach

    @cached_property
    def forwarding(self) -> frozenset[str]:
        """The names of the hosts that forward."""
        return frozenset(host.name for host in self.hosts if host.kind == ROUTER and not host.of)

    def __bool__(self) -> bool:
        """Whether any host forwards."""
        return bool(self.forwarding)

    def _routes(self, node: str, family: int) -> Iterator[tuple[Prefix, Step]]:
        """The routes of a host: of its own subnets, of the file, and to gateways that its networks have."""
        stated = False
        for entry in self._interfaces[node]:
            own = entry.ipv4 if family == 4 else entry.ipv6
            if own is not None:
                yield own.network, Step(entry, None)
            for route in entry.routes:
                if route.to.version == family:
                    stated |= route.to.prefixlen == 0
                    yield route.to, Step(entry, route.via)
        for entry in () if stated else self._interfaces[node]:
            gateway = self._networks[entry.network].gateway(family)
            if gateway is not None:
                yield EVERYWHERE[family], Step(entry, gateway.ip)

    @cached_property
    def _tables(self) -> Mapping[tuple[str, int], list[tuple[Prefix, Step]]]:
        """(host, family) -> its routes, the longest prefix first."""
        return {
            (node, family): sorted(self._routes(node, family), key=lambda route: -route[0].prefixlen)
            for node in self._interfaces
            for family in (4, 6)
        }

    @cached_property
    def _routers_in(self) -> Counter[str]:
        """Network -> how many hosts in it forward."""
        return Counter(host.network for host in self.hosts if host.node in self.forwarding)

    def step(self, node: str, target: Address) -> Step | None:
        """Where a host sends a packet for an address by the routes of the file; None: it has none."""
        return next((step for prefix, step in self._tables[node, target.version] if target in prefix), None)

    def _must_learn(self, node: str, target: Address) -> bool:
        """Whether a host learns routes, and the file gives it none for an address but a default route."""
        stated = (prefix for prefix, _ in self._tables[node, target.version] if prefix.prefixlen)
        return node in self.learning and not any(target in prefix for prefix in stated)

    def _way(self, source: Host, target: Host, family: int) -> tuple[str, bool] | None:
        """The interface of the first router on the way, and whether the packet passes one; None: it does not
        arrive at the target's interface, or leaves by another one."""
        address = target.ipv4 if family == 4 else target.ipv6
        if address is None or (source.ipv4 if family == 4 else source.ipv6) is None:
            return None
        first = ""
        node = source.node
        for _ in range(MOST_HOPS):
            if self._must_learn(node, address.ip) and target.network in self._joined_by_learning[node]:
                # Networks between routers are often not announced: their interfaces are not promised.
                return None if {source.node, target.node} & self.learning else (first, True)
            step = self.step(node, address.ip)
            if step is None or (not first and step.out is not source):
                return None
            if step.next is None:
                arrived = self._owner.get((step.out.network, address.ip))
                return (first, bool(first)) if arrived is target else None
            neighbour = self._owner.get((step.out.network, step.next))
            if neighbour is None:  # a router of the switches, or nobody
                gateway = self._networks[step.out.network].gateway(family)
                routed = gateway is not None and gateway.ip == step.next
                leads = target.network in self._joined.get(step.out.network, ())
                return (first, bool(first)) if routed and leads else None
            if neighbour.node not in self.forwarding:
                return None
            first = first or neighbour.name
            node = neighbour.node
        return None

    def way(self, source: Host, target: Host, family: int) -> str | None:
        """The interface of the first host that forwards what ``source`` sends to ``target``; None: none does,
        or no answer would come back."""
        there, back = self._way(source, target, family), self._way(target, source, family)
        if there is None or back is None or not (there[1] or back[1]):
            return None
        return there[0] or None

    @cached_property
    def ways(self) -> dict[tuple[str, str], dict[int, str]]:
        """(source, target) -> address family -> the first hop's interface: of all pairs that routers which
        are hosts let reach each other."""
        if not self.forwarding:
            return {}
        pairs: dict[tuple[str, str], dict[int, str]] = {}
        for source in self.hosts:
            for target in self.hosts:
                if source.network == target.network or source.node == target.node:
                    continue
                by_family = {f: first for f in (4, 6) if (first := self.way(source, target, f)) is not None}
                if by_family:
                    pairs[source.name, target.name] = by_family
        return pairs

    @cached_property
    def learned(self) -> frozenset[tuple[str, str]]:
        """Those of ``ways`` that need routes which FRR learns."""
        return frozenset(pair for pair in self.ways if self._is_learned(pair) or self._is_learned(pair[::-1]))

    def _is_learned(self, pair: tuple[str, str]) -> bool:
        by_name = self._by_name
        source, target = by_name[pair[0]], by_name[pair[1]]
        return any(
            address is not None and self._ends_at_one_that_learns(source, address.ip)
            for address in (target.ipv4, target.ipv6)
        )

    @cached_property
    def _by_name(self) -> Mapping[str, Host]:
        return {host.name: host for host in self.hosts}

    def _ends_at_one_that_learns(self, source: Host, target: Address) -> bool:
        """Whether the file's routes lead to a host which must learn the rest of the way."""
        node = source.node
        for _ in range(MOST_HOPS):
            if self._must_learn(node, target):
                return True
            step = self.step(node, target)
            if step is None:
                return False
            neighbour = self._owner.get((step.out.network, step.next)) if step.next is not None else None
            if neighbour is None:
                return False
            node = neighbour.node
        return False

    def sources(self) -> dict[Port, Sources]:
        """Port of a router -> the source addresses that it may send there beside its own.

        They are those that its routes lead to by its other interfaces; of a router with FRR, which learns
        routes, all that are no neighbours. Addresses of the port's own network are only among them if a route
        leads back into it, or may do so, to another router there.
        """
        allowed: dict[Port, Sources] = {}
        for node in sorted(self.forwarding):
            entries = self._interfaces[node]
            for entry in entries:
                if entry.port is None:  # no switch holds it to anything
                    continue
                others = [
                    prefix
                    for family in (4, 6)
                    for prefix, step in self._tables[node, family]
                    if step.out is not entry
                ]
                own = [ip.network for ip in (entry.ipv4, entry.ipv6) if ip is not None]
                turning = {route.to.version for route in entry.routes}
                within = [prefix for prefix in own if prefix.version in turning]
                if node in self.learning:
                    others = [EVERYWHERE[prefix.version] for prefix in own]
                    within = own if self._routers_in[entry.network] > 1 else within
                among = tuple(dict.fromkeys((*others, *within)))
                allowed[entry.port] = Sources(among, tuple(prefix for prefix in own if prefix not in within))
        return allowed
