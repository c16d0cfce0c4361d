"""Wires between hosts: a pair of devices without a switch in between. Pure.

An interface on such a wire has no ``port``; its ``peer`` is the interface at the other end. The wire is a
segment of its own, and has a network of its own. Its ``shaping`` is kept at both ends, each as seen from
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from topologies.model import names
from topologies.model.topology import Host, Topology
from topologies.model.wires import Shaping, both_ways


class HostWire(NamedTuple):
    """A wire between the interfaces ``a`` and ``b`` of two hosts. ``name``: ``r1-r2``; a second one between
    these hosts is ``r1-r2#2``."""

    name: str
    a: Host
    b: Host

    @property
    def shaping(self) -> Shaping:
        """What it does to what comes from ``a``, and back."""
        return self.a.shaping

    @property
    def ends(self) -> tuple[str, str]:
        """The names of its hosts."""
        return self.a.node, self.b.node


def host_wires(topology: Topology) -> tuple[HostWire, ...]:
    """All wires between hosts, sorted by name."""
    by_name = {host.name: host for host in topology.hosts if host.peer}
    pairs = {
        ordered((host.name, host.node), (host.peer, by_name[host.peer].node)) for host in by_name.values()
    }
    return tuple(HostWire(name, by_name[a], by_name[b]) for name, (a, b) in named(pairs_of(pairs)).items())


Interface = tuple[str, str]
"""The name of an interface, and that of its host."""


def ordered(one: Interface, other: Interface) -> tuple[Interface, Interface]:
    """The two ends of a wire, with that of the host first that comes first in natural order."""
    return (one, other) if names.natural(one[1]) <= names.natural(other[1]) else (other, one)


def pairs_of(wires: set[tuple[Interface, Interface]]) -> list[tuple[Interface, Interface]]:
    """Wires in the natural order of their hosts and interfaces."""
    return sorted(wires, key=lambda ends: [names.natural(end[at]) for at in (1, 0) for end in ends])


def named(wires: list[tuple[Interface, Interface]]) -> dict[str, tuple[str, str]]:
    """Name of each wire -> its interfaces."""
    counts: dict[str, int] = {}
    by_name: dict[str, tuple[str, str]] = {}
    for a, b in wires:
        name = f"{a[1]}-{b[1]}"
        counts[name] = counts.get(name, 0) + 1
        by_name[name if counts[name] == 1 else f"{name}#{counts[name]}"] = a[0], b[0]
    return by_name


def networks_of_wires(topology: Topology) -> frozenset[str]:
    """The networks of wires between hosts: they are on no switch."""
    return frozenset(host.network for host in topology.hosts if host.peer)


def wire_of(topology: Topology) -> Mapping[str, HostWire]:
    """Interface -> the wire between hosts that it is on."""
    return {end.name: wire for wire in host_wires(topology) for end in (wire.a, wire.b)}


def seen_from_other_end(shaping: Shaping) -> Shaping:
    """The same wire, as its second end sees it."""
    forth, back = shaping.ways
    return both_ways(back, forth)
