"""The oracle of the firewall's compiler: rules as the model says, one after the other, on one packet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from topologies.model.functions import Prefixes, Rule


class Flow(NamedTuple):
    """The first packet of a connection. Ports are 0 where the protocol has none."""

    protocol: str
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    source_port: int
    destination_port: int


def flow(protocol: str, source: str, destination: str, sport: int = 0, dport: int = 0) -> Flow:
    return Flow(protocol, ip_address(source), ip_address(destination), sport, dport)


def matches(rule: Rule, seen: Flow) -> bool:
    """Whether a rule is about this connection."""
    if rule.protocol is not None and rule.protocol != seen.protocol:
        return False
    if {"icmp": 4, "icmpv6": 6}.get(rule.protocol or "", seen.source.version) != seen.source.version:
        return False
    ported = seen.protocol in ("tcp", "udp", "sctp")
    if (rule.source_ports or rule.destination_ports) and not ported:
        return False
    return (
        _in(seen.source, rule.source)
        and _in(seen.destination, rule.destination)
        and _within(seen.source_port, rule.source_ports)
        and _within(seen.destination_port, rule.destination_ports)
    )


def _in(address: IPv4Address | IPv6Address, prefixes: Prefixes) -> bool:
    return not prefixes or any(address in prefix for prefix in prefixes)


def _within(port: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return not ranges or any(first <= port <= last for first, last in ranges)


def first(rules: tuple[Rule, ...], seen: Flow) -> int | None:
    """The number of the rule that decides."""
    return next((number for number, rule in enumerate(rules) if matches(rule, seen)), None)
