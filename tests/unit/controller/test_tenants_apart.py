"""What a host of bad will sends stays in its tenant's networks, also where tenants share a function."""

from __future__ import annotations

from itertools import product

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.simulate.network import Fabric, Outcome
from controller.simulate.tracking import Connections
from tests.unit.controller.made_frames import ipv4, ipv6
from topologies.model.topology import Host, Topology
from wire.mac import mac_number

SHARED = b"""
name: shared
switches: [s1, s2]
links: [s1 -- s2]
networks:
  red: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}
  blue: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}
hosts:
  red1: {switch: s1, network: red, allow-spoofing: true}
  red2: {switch: s2, network: red}
  blue1: {switch: s1, network: blue}
  blue2: {switch: s2, network: blue}
functions:
  br: {kind: bridge, switch: s2}
chains:
  reds: {network: red, destination: red2, functions: [br]}
  blues: {network: blue, destination: blue2, functions: [br]}
"""
WALL = b"""
name: wall
switches: [s1]
hosts:
  bad: {switch: s1, allow-spoofing: true}
  good: s1
functions:
  wall: {kind: firewall, engine: openflow, networks: [lan], default: drop}
"""


def load(text: bytes) -> tuple[Topology, dict[str, Host]]:
    topology = topologies.loads(text, "lab.yaml")
    return topology, {host.name: host for host in topology.hosts}


def arrived(outcomes: frozenset[Outcome]) -> set[object]:
    return {delivery.at for outcome in outcomes for delivery in outcome.delivered}


@pytest.mark.parametrize("family", (ipv4, ipv6))
def test_a_shared_function_lets_nobody_into_another_tenants_network(family: object) -> None:
    topology, hosts = load(SHARED)
    fabric = Fabric(topology, compile_topology(topology))
    make = {ipv4: ipv4, ipv6: ipv6}[family]  # type: ignore[index]
    reds = {host.port for host in topology.hosts if host.network == "red"}
    bad = hosts["red1"]
    for source, target, to in product(topology.hosts, topology.hosts, topology.hosts):
        if source is not target:
            frame = {**make(source, target), "eth_dst": mac_number(to.mac)}
            assert arrived(fabric.outcomes(frame, bad.port)) <= reds, (source.name, target.name, to.name)
    honest = make(bad, hosts["red2"])
    assert arrived(fabric.outcomes(honest, bad.port)) == {hosts["red2"].port}
    other = make(hosts["blue1"], hosts["blue2"])
    (outcome,) = fabric.outcomes(other, hosts["blue1"].port)
    assert outcome.visited and arrived(frozenset((outcome,))) == {hosts["blue2"].port}


def test_no_tag_leads_past_a_firewall_at_the_ports() -> None:
    topology, hosts = load(WALL)
    fabric = Fabric(topology, compile_topology(topology), connections=Connections())
    frame = ipv4(hosts["bad"], hosts["good"])
    ends = {"eth_src": frame["eth_src"], "eth_dst": frame["eth_dst"]}
    # behind a second tag, Open vSwitch looks no further; a host's kernel takes off both when they say VLAN 0
    for kind in (0x8100, 0x88A8):
        assert (
            arrived(fabric.outcomes({**ends, "eth_type": kind, "vlan_vid": 0x1000}, hosts["bad"].port))
            == set()
        )
    assert arrived(fabric.outcomes({**frame, "vlan_vid": 0x1000}, hosts["bad"].port)) == set()


@pytest.mark.parametrize("kind", (134, 137))
def test_only_a_host_that_may_spoof_says_who_routes(kind: int) -> None:
    topology, hosts = load(SHARED.replace(b"functions:", b"functions: {}\nx:").split(b"x:")[0])
    fabric = Fabric(topology, compile_topology(topology))
    for name, passes in (("red1", True), ("red2", False)):
        other = hosts["red2" if name == "red1" else "red1"]
        frame = {**ipv6(hosts[name], other), "ip_proto": 58, "icmpv6_type": kind, "icmpv6_code": 0}
        for port in ("udp_src", "udp_dst", "tcp_src", "tcp_dst"):
            frame.pop(port, None)
        assert arrived(fabric.outcomes(frame, hosts[name].port)) == ({other.port} if passes else set())
