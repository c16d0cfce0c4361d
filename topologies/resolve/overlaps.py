"""Checks that no two chains, load balancers or firewalls claim the same traffic. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from topologies.model.attachment import AtPorts, Flows
from topologies.model.functions import Chain, Function, PortRanges
from topologies.model.kinds import LoadBalancer
from topologies.model.service_paths import Entry, chain_entries
from topologies.model.zones import zone_key
from topologies.resolve.address_book import common, families, ranges
from topologies.syntax.problem import Report

EPHEMERAL = 32768
"""The lowest port that Linux gives to a program that opens a connection (ip_local_port_range). One end of
each connection has such a port. So replies from port 80, in one chain, are never requests to port 22, in
another."""
_VERSION = {"icmp": 4, "icmpv6": 6}


class Claim:
    """A classifier entry with its addresses as ranges, which are computed once for many comparisons."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        left = families(entry.source) & families(entry.destination)
        self.spans = {
            version: (ranges(entry.source, version), ranges(entry.destination, version))
            for version in left
            if _VERSION.get(entry.protocol or "", version) == version
        }


def overlap(one: Claim, other: Claim) -> str:
    """Packets that both match, in words: ``10.0.0.1 to 10.0.0.5 port 80, tcp``; empty when there are none."""
    a, b = one.entry, other.entry
    if a.network != b.network or (a.protocol and b.protocol and a.protocol != b.protocol):
        return ""
    well_known = []
    for mine, theirs in ((a.source_ports, b.source_ports), (a.destination_ports, b.destination_ports)):
        if mine and theirs and not common(mine, theirs):
            return ""
        well_known.append(_all_well_known(mine, theirs))
    if all(well_known):
        return ""
    for version in one.spans.keys() & other.spans.keys():
        (source, destination), (from_, to) = one.spans[version], other.spans[version]
        sending, receiving = common(source, from_), common(destination, to)
        if sending and receiving:
            protocol = a.protocol or b.protocol
            ports = _ports(a.destination_ports, b.destination_ports) + (f", {protocol}" if protocol else "")
            return f"{_span(sending, version)} to {_span(receiving, version)}{ports}"
    return ""


def _all_well_known(mine: PortRanges, theirs: PortRanges) -> bool:
    """Whether ports are given, all of them below the ephemeral ones."""
    some: Sequence[tuple[int, int] | None] = mine or theirs
    if mine and theirs:
        some = (common(mine, theirs),)  # the lowest common range decides
    return bool(some) and all(span is not None and span[1] < EPHEMERAL for span in some)


def _ports(mine: PortRanges, theirs: PortRanges) -> str:
    both = common(mine, theirs) if mine and theirs else next(iter(mine or theirs), None)
    return f" port {both[0]}" if both else ""


def _span(span: tuple[int, int], version: int) -> str:
    low, high = span
    if (low, high) == (0, (1 << (32 if version == 4 else 128)) - 1):
        return f"any IPv{version} address"
    address: IPv4Address | IPv6Address = IPv4Address(low) if version == 4 else IPv6Address(low)
    return str(address)


def check_chains(chains: Sequence[Chain], functions: Mapping[str, Function], report: Report) -> None:
    """Report each chain that matches packets of another one with the same priority."""
    entries = [
        (chain, tuple(map(Claim, chain_entries(chain, functions)))) for chain in chains if not chain.implicit
    ]
    entries.sort(
        key=lambda claiming: report.locate(("chains", claiming[0].name))
    )  # the later one is reported
    for index, (chain, mine) in enumerate(entries):
        for other, theirs in entries[:index]:
            if chain.priority != other.priority:
                continue
            both = next((text for a in theirs for b in mine if (text := overlap(a, b))), "")
            if both:
                line = report.locate(("chains", other.name))
                what = f"matches packets that chain {other.name} (line {line}) also matches: {both}"
                higher = f"give one of them a higher priority, such as priority: {chain.priority + 1}"
                report.add(("chains", chain.name), what, "one chain for a packet", higher)
                break


def check_functions(functions: Mapping[str, Function], domains: Mapping[str, str], report: Report) -> None:
    """Report load balancers that share a port of a backend but track connections in different zones, and
    networks with two firewalls at their ports. ``domains``: switch -> its domain."""
    served: dict[tuple[str, int, str], Function] = {}
    for function in functions.values():
        if not isinstance(function, LoadBalancer) or not isinstance(function.attachment, Flows):
            continue
        balancer = function.balancer
        for backend in balancer.backends:
            for port in balancer.reached_at(backend):
                other = served.setdefault((backend.host, port, balancer.protocol), function)
                if why := _different_zones(function, other, domains):
                    what = f"{backend.host}:{port} is behind load balancer {other.name} already, {why[0]}"
                    report.add(("functions", function.name, "backends"), what, remedy=why[1])
                    break
    guarded: dict[str, str] = {}
    for function in functions.values():
        for network in function.attachment.networks if isinstance(function.attachment, AtPorts) else ():
            first = guarded.setdefault(network, function.name)
            if first != function.name:
                what = f"firewall {first} is at the ports of network {network} already"
                report.add(("functions", function.name, "networks"), what, "one firewall", "join their rules")


def _different_zones(one: Function, other: Function, domains: Mapping[str, str]) -> tuple[str, str] | None:
    """Why two load balancers track connections in different zones, and the remedy; None if they share one.

    In different zones, two connections to one port could have the same addresses and ports.
    """
    mine, theirs = (domains.get(function.switch or "", "") for function in (one, other))
    if zone_key(one, mine) == zone_key(other, theirs):
        return None
    if mine != theirs:
        why = f"which tracks connections in domain {theirs}, this one in {mine}"
        return why, "put both into one domain, or take another port there"
    return "with another udp-timeout", "write the same udp-timeout for both, or take another port there"
