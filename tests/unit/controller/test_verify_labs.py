"""Verification of whole files: what ships is right, and firewalls' rules that decide nothing are told."""

from __future__ import annotations

import pytest

import topologies
from controller.verify.report import RULES
from controller.verify.verify import verify
from topologies import shipped

RULED = b"""
switches: [s1]
hosts: {a: s1, b: s1}
functions:
  fw:
    kind: firewall
    engine: openflow
    networks: [lan]
    default: drop
    rules:
      - {name: low, action: accept, protocol: tcp, ports: [1-100]}
      - {name: high, action: accept, protocol: tcp, ports: [101-200]}
      - {name: both, action: drop, protocol: tcp, ports: [50-150]}
      - {name: again, action: accept, protocol: tcp, ports: [80]}
      - {name: last, action: drop, protocol: udp}
      - {name: fine, action: accept, protocol: icmp}
"""


@pytest.mark.parametrize("name", shipped.names())
def test_what_ships_is_proven(name: str) -> None:
    report = verify(topologies.load(shipped.path(name)), cuts=0)
    assert report.proven, [finding.what for finding in report.findings if not finding.warning][:3]


def test_it_says_that_tags_of_trunks_are_outside_the_model() -> None:
    told = verify(topologies.load(shipped.path("vlans")), cuts=0).outside
    assert any(
        words.startswith("what puts tags on and takes them off (r1-eth0, server-eth0)") for words in told
    )
    told = verify(topologies.load(shipped.path("quickstart")), cuts=0).outside
    assert not any("tags" in words for words in told)


def test_a_router_between_two_networks_of_one_switch_is_right() -> None:
    """No link is there, on which frames would be marked in their source address."""
    lab = b"""
networks: {a: {subnet4: 10.1.0.0/24}, b: {subnet4: 10.2.0.0/24}}
switches: [s1]
routers: {r: [a, b]}
hosts: {h1: {switch: s1, network: a}, h2: {switch: s1, network: b}}
"""
    assert verify(topologies.loads(lab, "lab.yaml"), cuts=0).proven


def test_rules_that_decide_nothing_are_told_with_the_rules_that_hide_them() -> None:
    topology = topologies.loads(RULED, "lab.yaml")
    report = verify(topology, cuts=0)
    told = {
        finding.entity.name: (finding.warning, finding.what)
        for finding in report.findings
        if finding.property == RULES and finding.entity is not None
    }
    assert set(told) == {"fw/both", "fw/again", "fw/last"}
    contradicted, words = told["fw/both"]
    assert not contradicted and "rule low (accept, line 11), rule high (accept, line 12) take all" in words
    assert (
        told["fw/again"][0] and "rule low (accept, line 11) takes all of its packets" in told["fw/again"][1]
    )
    assert told["fw/last"][0] and "changes nothing" in told["fw/last"][1]
