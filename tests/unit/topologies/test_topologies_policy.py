"""What the file's firewalls let through, read from the file alone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address
from itertools import permutations

import pytest

import topologies
from topologies.model.functions import Firewall, Rule
from topologies.model.policy import ALLOWED, Connection, Expectation, Policy, deciding

FILE = """
switches: [s1]
networks: [office, servers]
hosts:
  a: {switch: s1, network: office}
  b: {switch: s1, network: office}
  c: {switch: s1, network: servers}
  d: {switch: s1, network: servers}
functions:
  edge: {kind: firewall, switch: s1, default: drop, rules: [%s]}
  guard:
    kind: firewall
    engine: openflow
    networks: [servers]
    default: accept
    rules: [{name: no-pings, action: reject, source: c, protocol: icmp}]
chains:
  between: {source: a, destination: b, direction: both, functions: [edge], %s}
"""


def expectations(rules: str = "", more: str = "priority: 1") -> dict[tuple[str, str, int], Expectation]:
    topology = topologies.loads((FILE % (rules, more)).encode(), "policy.yaml")
    policy = Policy(topology)
    return {
        (x.name, y.name, family): policy.ping(x, y, family)
        for x, y in permutations(topology.hosts, 2)
        if x.network == y.network
        for family in (4, 6)
    }


def test_a_chains_firewall_decides_by_who_begins() -> None:
    expected = expectations("{name: in, action: accept, source: a, destination: b, protocol: icmp}")
    assert expected["a", "b", 4] == ALLOWED
    assert expected["a", "b", 6] == Expectation(False, "firewall edge: default drop")
    assert expected["b", "a", 4] == Expectation(False, "firewall edge: default drop")


def test_a_firewall_at_ports_needs_no_chain() -> None:
    expected = expectations()
    assert expected["c", "d", 4] == Expectation(False, "firewall guard: rule no-pings (reject)")
    assert expected["d", "c", 4] == expected["c", "d", 6] == ALLOWED


def test_a_firewall_that_sees_only_replies_drops_them() -> None:
    one_way = FILE.replace("direction: both, ", "") % ("{name: all, action: accept}", "symmetric: false")
    topology = topologies.loads(one_way.encode(), "policy.yaml")
    a, b = topology.hosts[:2]
    # b's requests pass no function, a's replies to them do
    assert Policy(topology).ping(b, a, 4).why == "firewall edge sees the reply, but not the request"


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        (Connection(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), "tcp", 5, 80), "web"),
        (Connection(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), "tcp", 5, 81), None),
        (Connection(IPv6Address("fd00::1"), IPv6Address("fd00::2"), "tcp", 5, 80), None),
        (Connection(IPv6Address("fd00::1"), IPv6Address("fd00::2"), "icmpv6"), "six"),
        (Connection(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), "icmp"), None),
    ],
)
def test_a_rule_with_addresses_of_one_family_is_about_that_family(seen: Connection, rule: str | None) -> None:
    firewall = Firewall(
        rules=(
            Rule(
                name="web",
                action="accept",
                source=(IPv4Network("10.0.0.0/24"),),
                protocol="tcp",
                destination_ports=((80, 80),),
            ),
            Rule(name="six", action="drop", protocol="icmpv6"),
        )
    )
    first = deciding(firewall, seen)
    assert (first.name if first else None) == rule


def test_a_lab_without_functions_holds_nobody_off() -> None:
    assert not Policy(topologies.loads(b"switches: [s1]\nhosts: {a: s1, b: s1}\n", "plain.yaml"))
