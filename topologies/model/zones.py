"""Zones of connection tracking (ovs-actions(7), ct), and how long each remembers datagrams. Pure.

A zone is a connection table of its own.  All switches of a domain are one Open vSwitch
and share them, so a zone's number is unique in the lab: it is chosen by a hash of what the zone is for, so
that it stays the same, with its connections, when other functions and hosts come and go.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from typing_extensions import assert_never

from topologies.model.attachment import AtPorts, EndSystem, Flows, Inline, Tap
from topologies.model.functions import Function
from topologies.model.kinds import LoadBalancer
from topologies.model.topology import Port, Topology

FUNCTION_ZONES = range(1, 4096)
PLACE_ZONES = range(4096, 16384)
"""Of places that gather fragments (``controller.compiler.fragments``, which also has the two above all
others)."""
PORT_ZONES = range(16384, 65534)


def function_zones(topology: Topology) -> dict[str, int]:
    """The zone of every function that the switches themselves do.

    Load balancers of one network in one domain have one together, so that no two connections to a port of a
    backend that several have look alike; but those of datagrams apart that are remembered for another time.
    """
    domains = {switch.name: switch.domain for switch in topology.switches}
    what = {
        function.name: zone_key(function, domains.get(attachment.switch, ""))
        for function in topology.functions
        if isinstance(attachment := function.attachment, Flows)
    }
    numbers = numbered(set(what.values()), FUNCTION_ZONES)
    return {name: numbers[key] for name, key in what.items()}


def zone_key(function: Function, domain: str) -> str:
    """What the zone of a function in this domain is for; no function has such a name as balancers' have."""
    if not isinstance(function, LoadBalancer):
        return function.name
    return f"load balancers of {function.balancer.network} in {domain}, {function.udp_timeout} s"


def together(topology: Topology, function: Function) -> tuple[LoadBalancer, ...]:
    """The load balancers, by name, that track connections in this one's zone; itself as well."""
    zones = function_zones(topology)
    balancers = (other for other in topology.functions if isinstance(other, LoadBalancer))
    by_flows = (balancer for balancer in balancers if isinstance(balancer.attachment, Flows))
    return tuple(balancer for balancer in by_flows if zones[balancer.name] == zones[function.name])


def port_zones(ports: Iterable[Port]) -> dict[Port, int]:
    """The zone of each of these host ports."""
    some = {str(port): port for port in ports}
    return {some[text]: number for text, number in numbered(some, PORT_ZONES).items()}


def numbered(names: Iterable[str], among: range) -> dict[str, int]:
    """A number for each name, all different: that of its hash, or the next that is free."""
    taken: set[int] = set()
    zones = {}
    for name in sorted(names):
        if len(taken) == len(among):
            raise ValueError(f"more than {len(among)} functions or ports track connections: use fewer")
        number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") % len(among)
        while number in taken:
            number = (number + 1) % len(among)
        taken.add(number)
        zones[name] = among[number]
    return zones


def udp_timeouts(topology: Topology) -> dict[str, dict[int, int]]:
    """Domain -> zone -> seconds for which what is silent is remembered (RFC 4787, REQ-5), of all functions
    that the switches do."""
    domains = {switch.name: switch.domain for switch in topology.switches}
    timeouts: dict[str, dict[int, int]] = {}
    zones = function_zones(topology)
    seconds: dict[str, int] = {}
    for function in topology.functions:
        match function.attachment:
            case Flows(switch=switch):
                timeouts.setdefault(domains[switch], {})[zones[function.name]] = function.udp_timeout
            case AtPorts(networks=networks):
                for network in networks:
                    seconds.setdefault(network, function.udp_timeout)
            case Inline() | Tap() | EndSystem():
                pass
            case never:
                assert_never(never)
    ports = {host.port: seconds[host.network] for host in topology.hosts if host.network in seconds}
    for port, zone in port_zones(ports).items():
        timeouts.setdefault(domains[port.switch], {})[zone] = ports[port]
    return timeouts
