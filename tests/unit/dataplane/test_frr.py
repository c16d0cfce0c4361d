"""What a machine must have for FRR in hosts, and what their rooms have of their own."""

from __future__ import annotations

import pytest

import topologies
from dataplane.hosts import frr
from dataplane.hosts.own_tree import OwnTree
from topologies.model.topology import Topology

needs_frr = pytest.mark.skipif(not frr.is_installed(), reason="FRR is not installed")


def lab(text: str) -> Topology:
    whole = f"switches: [s1]\nhosts: {{r1: {{kind: router, switch: s1, frr: {text}}}, z: s1}}\n"
    return topologies.loads(whole.encode(), "lab.yaml")


def test_hosts_without_frr_lack_nothing() -> None:
    assert frr.lacks(lab("null").hosts) == []


@needs_frr
def test_a_line_that_frr_does_not_know_is_refused_before_the_lab_is_built() -> None:
    assert frr.lacks(lab('"router ospf\\n network 10.0.0.0/8 area 0"').hosts) == []
    (lack,) = frr.lacks(lab('"interface a\\n ip ospf helo-interval 1"').hosts)
    assert "r1: line 2: Unknown command:  ip ospf helo-interval 1" in lack.what and lack.needed == "r1"
    many = "\\n".join(f"nothing {number}" for number in range(99))
    assert len(frr.lacks(lab(f'"{many}"').hosts)) == frr.MOST_LINES


@needs_frr
def test_routers_alone_have_settings_of_frr_of_their_own() -> None:
    router, host = lab("null").hosts
    assert frr.with_settings(router, OwnTree(private=("/srv",))).private == ("/etc/frr", "/srv")
    assert frr.with_settings(host, OwnTree()) == OwnTree()
