"""What the switches take from the gateway of a way out: it is a router for addresses outside the lab only."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.simulate.network import Fabric
from tests.unit.controller.made_frames import ipv4, ipv6
from topologies.model.topology import Host, Topology
from wire.mac import mac_number

FILE = b"""
networks:
  lan: {subnet4: 10.1.0.0/24, subnet6: "fd01::/64"}
  far: {subnet4: 10.2.0.0/24, subnet6: "fd02::/64"}
  other: {subnet4: 10.3.0.0/24, subnet6: "fd03::/64"}
routers: {r: [lan, far]}
switches: [s1, s2]
links: [s1 -- s2]
hosts:
  h1: {switch: s1, network: lan}
  h2: {switch: s2, network: lan}
  f1: {switch: s2, network: far}
  o1: {switch: s1, network: other}
outside: [lan, other]
"""
INSIDE = (
    "10.1.0.77",
    "10.2.0.1",
    "10.3.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "198.18.0.1",
    "198.19.0.1",
    "224.0.0.1",
)
INSIDE6 = ("fd01::77", "fd02::1", "fd03::1", "fe80::1", "ff02::1", "::1")


@pytest.fixture(scope="module")
def lab() -> tuple[Topology, dict[str, Host], Fabric]:
    topology = topologies.loads(FILE, "lab.yaml")
    return (
        topology,
        {host.name: host for host in topology.hosts},
        Fabric(topology, compile_topology(topology)),
    )


def arrived(fabric: Fabric, frame: dict[str, Any], source: Host) -> set[object]:
    outcomes = fabric.outcomes(frame, source.port)
    return {delivery.at for outcome in outcomes for delivery in outcome.delivered}


@pytest.mark.parametrize("source", [*INSIDE, "203.0.113.9", "198.18.255.3", *INSIDE6, "2001:db8::9"])
def test_a_gateway_claims_addresses_outside_the_lab_only(
    lab: tuple[Topology, dict[str, Host], Fabric], source: str
) -> None:
    _, hosts, fabric = lab
    gateway, target = hosts["lan-gateway"], hosts["h2"]
    make, field = (ipv4, "ip_src") if "." in source else (ipv6, "ipv6_src")
    frame = {**make(gateway, target), field: int(ip_address(source))}
    wanted = set() if source in (*INSIDE, *INSIDE6) else {target.port}
    assert arrived(fabric, frame, gateway) == wanted
    # no other host may: not even those addresses
    assert arrived(fabric, {**frame, "eth_src": mac_number(hosts["h1"].mac)}, hosts["h1"]) == set()
    # and nobody of another network is reached, whoever the frame is for
    for name in ("f1", "o1", "other-gateway"):
        stray = {**frame, "eth_dst": mac_number(hosts[name].mac)}
        assert arrived(fabric, stray, gateway) == set(), name


def test_a_router_sends_out_what_it_has_no_network_for(lab: tuple[Topology, dict[str, Host], Fabric]) -> None:
    topology, hosts, fabric = lab
    router = mac_number(topology.routers[0].mac)
    outside = {"ip_dst": int(ip_address("203.0.113.9")), "eth_dst": router, "nw_ttl": 64}
    frame = {**ipv4(hosts["h1"], hosts["h2"]), **outside}
    assert arrived(fabric, frame, hosts["h1"]) == {hosts["lan-gateway"].port}
    # a network without a way out has none by its router either
    frame = {**ipv4(hosts["f1"], hosts["h2"]), **outside}
    assert arrived(fabric, frame, hosts["f1"]) == set()


def test_without_a_way_out_no_port_takes_addresses_outside() -> None:
    topology = topologies.loads(FILE.replace(b"outside: [lan, other]", b""), "lab.yaml")
    hosts, fabric = {host.name: host for host in topology.hosts}, Fabric(topology, compile_topology(topology))
    frame = {**ipv4(hosts["h1"], hosts["h2"]), "ip_src": int(ip_address("203.0.113.9"))}
    assert arrived(fabric, frame, hosts["h1"]) == set()
