"""Broadcasts pass no firewall that drops them, and go beside no chain; taps get their copies."""

from __future__ import annotations

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.simulate.network import Fabric
from controller.simulate.tracking import Connections
from tests.unit.controller.made_frames import arp_request, ipv4, ipv6, multicast, router_solicitation
from topologies.model.topology import Host, Topology
from wire.mac import BROADCAST

ONE = """
switches: [s1, s2, s3]
links: [s1 -- s2, s2 -- s3, s3 -- s1]
"""
TWO = """
domains: [d1, d2]
switches: {s1: {domain: d1}, s2: {domain: d2}, s3: {domain: d2}}
"""
HOSTS = """
name: lab
hosts: {h1: s1, h2: s2, h3: s3, h4: s1}
"""
DROPPED = """
functions:
  wall: {kind: firewall, engine: openflow, networks: [lan], default: drop}
"""
ONE_GROUP = """
functions:
  wall:
    kind: firewall
    engine: openflow
    networks: [lan]
    default: drop
    rules: [{action: accept, protocol: udp, destination: 239.1.1.1, ports: 5000}]
"""
CHAINED = """
functions: {br: {kind: bridge, switch: s2}}
chains: {c: {network: lan, source: h1, destination: h2, functions: [br], protocol: PROTOCOL}}
"""
TAPPED = """
functions: {see: {kind: ids, switch: s2, mirrors: [lan]}}
"""
SITES = pytest.mark.parametrize("sites", [ONE, TWO])


def lab(*parts: str) -> tuple[Topology, Fabric]:
    topology = topologies.loads("".join((HOSTS, *parts)).encode(), "lab.yaml")
    return topology, Fabric(topology, compile_topology(topology), connections=Connections())


def arrived(fabric: Fabric, frame: dict[str, int], host: Host) -> list[str]:
    (outcome,) = fabric.outcomes(frame, host.port)
    assert not outcome.loop and not outcome.punted
    return sorted(str(arrival.at) for arrival in outcome.delivered)


def others(topology: Topology, host: Host) -> list[str]:
    return sorted(str(other.port) for other in topology.hosts if other is not host)


def to_group(host: Host, port: int = 5000) -> dict[str, int]:
    frame = {**ipv4(host, host), "eth_dst": 0x01005E010101, "ip_dst": 0xEF010101}
    return frame | {"ip_proto": 17, "udp_src": 9, "udp_dst": port}


@SITES
def test_a_firewall_at_ports_that_drops_all_drops_broadcasts(sites: str) -> None:
    topology, fabric = lab(sites, DROPPED)
    host = topology.hosts[0]
    for frame in (multicast(host), to_group(host), {**to_group(host), "eth_dst": BROADCAST}):
        assert arrived(fabric, frame, host) == []
    # what hosts need to find each other passes every firewall
    assert arrived(fabric, arp_request(host, 0x0A0000C8), host) == others(topology, host)
    assert arrived(fabric, router_solicitation(host), host) == others(topology, host)


@SITES
def test_rules_decide_about_each_group(sites: str) -> None:
    topology, fabric = lab(sites, ONE_GROUP)
    for host in topology.hosts:
        assert arrived(fabric, to_group(host), host) == others(topology, host)
        assert arrived(fabric, to_group(host, 5001), host) == []
        assert arrived(fabric, multicast(host), host) == []


@SITES
@pytest.mark.parametrize("protocol", ["any", "udp", "tcp"])
def test_nothing_that_a_chain_would_take_passes_beside_it(sites: str, protocol: str) -> None:
    """A function has one way out: it can't send a copy to each member. So it is dropped."""
    chain = CHAINED.replace(", protocol: PROTOCOL", "" if protocol == "any" else f", protocol: {protocol}")
    topology, fabric = lab(sites, chain)
    h1, h2, h3, _ = topology.hosts
    for host in (h1, h2):  # both directions
        taken = protocol in ("any", "udp")
        assert arrived(fabric, to_group(host), host) == ([] if taken else others(topology, host))
        piece = {**to_group(host), "ip_frag": 3} | {"udp_src": 0, "udp_dst": 0}
        assert arrived(fabric, piece, host) == ([] if taken else others(topology, host))
        assert arrived(fabric, arp_request(host, 0x0A0000C8), host) == others(topology, host)
        assert arrived(fabric, router_solicitation(host), host) == others(topology, host)
        if protocol == "any":
            said = {**ipv6(host, host), "eth_dst": 0x3333000000FB, "ipv6_dst": 0xFF02 << 112 | 0xFB}
            assert arrived(fabric, said, host) == []
    assert arrived(fabric, to_group(h3), h3) == others(topology, h3)


@SITES
def test_a_tap_gets_one_copy_of_each_broadcast(sites: str) -> None:
    topology, fabric = lab(sites, TAPPED)
    (function,) = topology.functions
    (instance,) = function.instances
    for host in topology.hosts:
        for frame in (to_group(host), arp_request(host, 0x0A0000C8)):
            copies = [str(instance.ports[0])]
            assert arrived(fabric, frame, host) == sorted([*copies, *others(topology, host)])
