"""Errors of an intent that its form does not show.

A file is checked when it is loaded; an intent that somebody PUTs is checked here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from topologies.model.attachment import AtPorts, Scalable
from topologies.model.endpoints import plugs
from topologies.model.functions import Function
from topologies.model.kinds import AddressTranslator, DhcpServer, LoadBalancer
from topologies.model.service_paths import MOST_FUNCTIONS, MOST_PATHS, mirroring
from topologies.model.topology import Topology

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_LAST_PORT = 65279


def contradictions(topology: Topology) -> list[str]:
    """Why an intent cannot be compiled, in words; empty when it can."""
    return [
        *_switches(topology),
        *_ports(topology),
        *_hosts(topology),
        *_functions(topology),
        *_chains(topology),
    ]


def _switches(topology: Topology) -> Iterator[str]:
    dpids: dict[int, str] = {}
    for switch in topology.switches:
        other = dpids.setdefault(switch.dpid, switch.name)
        if other != switch.name:
            yield f"switch {switch.name}: its datapath id {switch.dpid} is that of {other}"
    if len({switch.name for switch in topology.switches}) != len(topology.switches):
        yield "two switches have one name"


def _ports(topology: Topology) -> Iterator[str]:
    switches = {switch.name for switch in topology.switches}
    taken: dict[tuple[str, int], str] = {}
    for _, what, port in plugs(topology):
        if port.switch not in switches:
            yield f"{what}: there is no switch {port.switch}"
        if not 1 <= port.number <= _LAST_PORT:
            yield f"{what}: port number {port.number} is not within 1..{_LAST_PORT}"
        owner = taken.setdefault((port.switch, port.number), what)
        if owner != what:
            yield f"{what}: port {port} is already that of {owner}"


def _hosts(topology: Topology) -> Iterator[str]:
    networks = {network.name for network in topology.networks}
    for host in topology.attached:
        if host.network not in networks:
            yield f"host {host.name}: there is no network {host.network}"
        if not _MAC.fullmatch(host.mac):
            yield f"host {host.name}: {host.mac} is not a MAC address"


def _functions(topology: Topology) -> Iterator[str]:
    networks = {network.name for network in topology.networks}
    switches = {switch.name for switch in topology.switches}
    names: set[str] = set()
    for function in topology.functions:
        what = f"function {function.name}"
        for name in (function.name, *(instance.name for instance in function.instances)):
            if name in names:
                yield f"{what}: the name {name} is taken"
            names.add(name)
        if function.switch is not None and function.switch not in switches:
            yield f"{what}: there is no switch {function.switch}"
        if isinstance(function.attachment, Scalable) and not function.attachment.instances:
            yield f"{what}: it needs an instance"
        for network in _networks(function):
            if network not in networks:
                yield f"{what}: there is no network {network}"
        yield from _instances(function)


def _networks(function: Function) -> Iterator[str]:
    if isinstance(function.attachment, AtPorts):
        yield from function.attachment.networks
    if isinstance(function, (LoadBalancer, AddressTranslator, DhcpServer)):
        yield function.part.network


def _instances(function: Function) -> Iterator[str]:
    for instance in function.instances:
        for port in instance.ports:
            if port.switch != function.switch:
                yield f"instance {instance.name}: port {port} is not on {function.switch}"


def _chains(topology: Topology) -> Iterator[str]:
    networks = {network.name for network in topology.networks}
    functions = {function.name: function for function in topology.functions}
    paths: dict[int, str] = {}
    numbered = [(f"chain {chain.name}", chain.path) for chain in topology.chains]
    numbered += [(f"tap {function.name}", tap.path) for function, tap in mirroring(topology.functions)]
    for what, path in numbered:
        if not 1 <= path <= MOST_PATHS:
            yield f"{what}: path number {path} is not within 1..{MOST_PATHS}"
        other = paths.setdefault(path, what)
        if other != what:
            yield f"{what}: path number {path} is that of {other}"
    named = Counter(chain.name for chain in topology.chains)
    yield from (f"two chains are named {name}" for name, number in named.items() if number > 1)
    for chain in topology.chains:
        for name in (chain.network, chain.far_network):
            if name not in networks:
                yield f"chain {chain.name}: there is no network {name}"
        if not 1 <= len(chain.functions) <= MOST_FUNCTIONS:
            yield f"chain {chain.name}: {len(chain.functions)} functions are not within 1..{MOST_FUNCTIONS}"
        for name in chain.functions:
            if name not in functions:
                yield f"chain {chain.name}: there is no function {name}"
            elif isinstance(functions[name].attachment, AtPorts):
                yield f"chain {chain.name}: {name} is at the hosts' ports, not in chains"
