"""Zones of connection tracking (ovs-actions(7), ct), and how long each one remembers UDP connections. Pure.

Each zone has its own connection table. All switches of a domain belong to one Open vSwitch and share its
zones, so zone numbers are unique in the lab. The number is a hash of the zone's key, so a zone keeps its
number and its connections when other functions and hosts are added or removed.
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
"""Zones of places that gather fragments (``controller.compiler.fragments``, which also uses the two zones
after ``PORT_ZONES``)."""
PORT_ZONES = range(16384, 65534)


def function_zones(topology: Topology) -> dict[str, int]:
    """Function -> its zone, for all functions that are done by flows.

    Load balancers of one network and one domain share a zone. So two connections to a port of a backend that
    several of them have are never mistaken for one another. Those for UDP share it only if they have the same
    timeout.
    """
    domains = {switch.name: switch.domain for switch in topology.switches}
    keys = {
        function.name: zone_key(function, domains.get(attachment.switch, ""))
        for function in topology.functions
        if isinstance(attachment := function.attachment, Flows)
    }
    numbers = numbered(set(keys.values()), FUNCTION_ZONES)
    return {name: numbers[key] for name, key in keys.items()}


def zone_key(function: Function, domain: str) -> str:
    """The key of a function's zone: its name, or, for load balancers, a text that is no possible name."""
    if not isinstance(function, LoadBalancer):
        return function.name
    return f"load balancers of {function.balancer.network} in {domain}, {function.udp_timeout} s"


def together(topology: Topology, function: Function) -> tuple[LoadBalancer, ...]:
    """The load balancers, by name, in the zone of this one, including itself."""
    zones = function_zones(topology)
    balancers = (other for other in topology.functions if isinstance(other, LoadBalancer))
    by_flows = (balancer for balancer in balancers if isinstance(balancer.attachment, Flows))
    return tuple(balancer for balancer in by_flows if zones[balancer.name] == zones[function.name])


def port_zones(ports: Iterable[Port]) -> dict[Port, int]:
    """Port of a host -> its zone."""
    some = {str(port): port for port in ports}
    return {some[text]: number for text, number in numbered(some, PORT_ZONES).items()}


def numbered(names: Iterable[str], among: range) -> dict[str, int]:
    """Name -> its number from ``among``: that of its hash, or the next free one."""
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
    """Domain -> zone -> seconds for which a UDP connection is remembered after its last packet (RFC 4787,
    REQ-5), for all functions that switches do."""
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
    ports = {host.at: seconds[host.network] for host in topology.attached if host.network in seconds}
    for port, zone in port_zones(ports).items():
        timeouts.setdefault(domains[port.switch], {})[zone] = ports[port]
    return timeouts
