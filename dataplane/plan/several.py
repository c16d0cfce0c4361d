"""What hosts with interfaces in several networks need beyond others: names of all of them, and tables of
routes. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from topologies.model.choices import ROUTER
from topologies.model.topology import Host, Network, Topology

Address = IPv4Address | IPv6Address

FIRST_TABLE = 100
"""The number of the first table of routes; those above 252 are the kernel's, and a host has at most 100
interfaces."""


class Names(NamedTuple):
    """The file of names that one host sees as /etc/hosts, in the lab's run directory, and the networks whose
    hosts are in it. ``file``: empty: the lab's own, with all."""

    file: str
    networks: frozenset[str]


def names_file(network: str) -> str:
    """The name of the file of names for functions in this network."""
    return f"hosts-{_digest(network)}"


def own_names_file(node: str) -> str:
    """The name of the file of names for a host: its own, since it keeps it when its networks change."""
    return f"hosts-of-{_digest(node)}"


def _digest(name: str) -> str:
    """A name of any length, as a part of file names; networks and hosts come and go in a running lab, so it
    depends on nothing else."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def joined_networks(topology: Topology) -> dict[str, set[str]]:
    """Network -> the networks whose hosts' names are known in it: its own, and those that a router joins with
    it. Two networks may use the same addresses."""
    joined = {network.name: {network.name} for network in topology.networks}
    routers = [router.networks for router in topology.routers]
    routers += [
        tuple(entry.network for entry in (host, *topology.further.get(host.name, ())))
        for host in topology.nodes
        if host.kind == ROUTER
    ]
    for networks in routers:
        for name in networks:
            joined[name] |= set(networks)
    if any(host.kind == ROUTER for host in topology.hosts):
        joined = _transitive(joined)
    return joined


def hosts_names(topology: Topology) -> dict[str, Names]:
    """Host (without its further interfaces) -> the names that it knows."""
    joined = joined_networks(topology)
    own: dict[str, set[str]] = {}
    for host in topology.hosts:
        own.setdefault(host.node, set()).add(host.network)
    several = len(joined) > 1
    return {
        name: Names(
            own_names_file(name) if several else "",
            frozenset().union(*(joined[network] for network in mine)),
        )
        for name, mine in own.items()
    }


def _transitive(joined: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The same, also by several routers one after the other."""
    whole: dict[str, set[str]] = {}
    for name in joined:
        if name not in whole:
            group, waiting = {name}, [name]
            while waiting:
                fresh = joined[waiting.pop()] - group
                group |= fresh
                waiting += fresh
            whole |= dict.fromkeys(group, group)
    return whole


def tables(topology: Topology) -> dict[str, int]:
    """Interface -> the table of routes by which what its addresses send is routed.

    A further interface has one where the host's main table can't hold its routes beside those of others: the
    same subnet, or another default route. Answers would leave by another interface, with an address that the
    switch there takes for forged.
    """
    networks = {network.name: network for network in topology.networks}
    by_name = {host.name: host for host in topology.hosts}
    chosen: dict[str, int] = {}
    for node, further in topology.further.items():
        before = [by_name[node]]
        for number, interface in enumerate(further):
            if any(_alike(networks[interface.network], networks[other.network]) for other in before):
                chosen[interface.name] = FIRST_TABLE + number
            before.append(interface)
    return chosen


def _alike(one: Network, other: Network) -> bool:
    """Whether routes of both can't be in one table."""
    for family in (4, 6):
        mine, theirs = one.subnet(family), other.subnet(family)
        if mine is not None and theirs is not None and mine.overlaps(theirs):
            return True
        if one.gateway(family) is not None and other.gateway(family) is not None:
            return True
    return False


def stated_defaults(topology: Topology) -> dict[str, frozenset[int]]:
    """Host -> the address families of which the file gives it a default route."""
    families: dict[str, set[int]] = {}
    for entry in topology.hosts:
        some = {route.to.version for route in entry.routes if not route.to.prefixlen}
        families.setdefault(entry.node, set()).update(some)
    return {node: frozenset(some) for node, some in families.items()}


def default_routes(
    entry: Host, gateways: Iterable[Address], stated: frozenset[int], own_tables: Mapping[str, int]
) -> tuple[Address, ...]:
    """The default routes of an interface: those of the file, else by the gateways of its network.

    ``stated``: the families of which the file gives the host a default route; a table of its own has those
    of its network all the same.
    """
    given = tuple(route.via for route in entry.routes if not route.to.prefixlen)
    if entry.name in own_tables:
        mine = {via.version for via in given}
        return (*given, *(via for via in gateways if via.version not in mine))
    return (*given, *(via for via in gateways if via.version not in stated))
