"""What hosts with interfaces in several networks need beyond others: names of all of them, and tables of
routes. Pure."""

from __future__ import annotations

from typing import NamedTuple

from topologies.model.topology import Network, Topology

FIRST_TABLE = 100
"""The number of the first table of routes; those above 252 are the kernel's, and a host has at most 100
interfaces."""


class Names(NamedTuple):
    """The file of names that a host sees as /etc/hosts, in the lab's run directory, and the networks whose
    hosts are in it. ``file``: empty: the lab's own, with all."""

    file: str
    networks: frozenset[str]


def hosts_names(topology: Topology) -> dict[str, Names]:
    """Host (without its further interfaces) -> the names that it knows: those of hosts in its own networks,
    and in those that a router joins with them. Two networks may use the same addresses."""
    numbers = {network.name: number for number, network in enumerate(topology.networks)}
    joined = {name: {name} for name in numbers}
    for router in topology.routers:
        for name in router.networks:
            joined[name] |= set(router.networks)
    own: dict[str, set[str]] = {}
    for host in topology.hosts:
        own.setdefault(host.node, set()).add(host.network)
    if len(numbers) < 2:
        return {name: Names("", frozenset(numbers)) for name in own}
    files = {}
    for name, networks in own.items():
        file = "hosts-" + "-".join(str(number) for number in sorted(numbers[network] for network in networks))
        files[name] = Names(file, frozenset().union(*(joined[network] for network in networks)))
    return files


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
