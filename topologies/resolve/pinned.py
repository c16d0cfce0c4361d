"""Addresses and numbers of a running lab, which stay when a file leaves them out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from topologies.model.endpoints import plugs
from topologies.model.topology import Network, Topology, Underlay
from topologies.model.values import Port
from wire.mac import mac_number


@dataclass(frozen=True)
class Kept:
    """Addresses and numbers of a running lab, by their owners; all empty when no lab runs.

    The keys of ``ports`` are ``("host", name)``, ``("link", name)`` (its two ends), ``("at", balancer)``,
    ``("in", instance)`` and ``("out", instance)``.
    """

    topology: Topology | None = None
    networks: Mapping[str, Network] = field(default_factory=dict)
    dpids: Mapping[str, int] = field(default_factory=dict)
    macs: Mapping[str, int] = field(default_factory=dict)
    ipv4: Mapping[str, int] = field(default_factory=dict)
    ipv6: Mapping[str, int] = field(default_factory=dict)
    ports: Mapping[tuple[str, str], tuple[Port, ...]] = field(default_factory=dict)

    @cached_property
    def in_use(self) -> Mapping[str, frozenset[int]]:
        """Switch -> the port numbers that it uses."""
        numbers_of: dict[str, set[int]] = {}
        for port in (port for some in self.ports.values() for port in some):
            numbers_of.setdefault(port.switch, set()).add(port.number)
        return {switch: frozenset(numbers) for switch, numbers in numbers_of.items()}

    @property
    def underlay(self) -> Underlay | None:
        """The running lab's underlay."""
        return None if self.topology is None else self.topology.underlay


def kept(running: Topology | None) -> Kept:
    """The addresses and numbers of ``running``."""
    if running is None:
        return Kept()
    ports: dict[tuple[str, str], tuple[Port, ...]] = {}
    for plug in plugs(running):
        ports[plug.key] = (*ports.get(plug.key, ()), plug.port)
    return Kept(
        running,
        {network.name: network for network in running.networks},
        {switch.name: switch.dpid for switch in running.switches},
        {host.name: mac_number(host.mac) for host in running.hosts},
        {host.name: int(host.ipv4.ip) for host in running.hosts if host.ipv4 is not None},
        {host.name: int(host.ipv6.ip) for host in running.hosts if host.ipv6 is not None},
        ports,
    )
