"""What the tables of switches let a host that is a router send, frame by frame."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.simulate.network import Fabric
from wire.mac import mac_number

LAB = topologies.loads(
    b"""
networks:
  a: {subnet4: 10.1.0.0/24, subnet6: "fd01::/64"}
  b: {subnet4: 10.2.0.0/24, subnet6: "fd02::/64"}
  c: {subnet4: 10.3.0.0/24, subnet6: "fd03::/64"}
switches: [s1]
hosts:
  h1: {switch: s1, network: a, gateway: r1}
  r1:
    kind: router
    interfaces: [{switch: s1, network: a}, {switch: s1, network: b}]
    routes: {10.9.0.0/16: 10.2.0.9}
  h3: {switch: s1, network: c}
""",
    "lab.yaml",
)
FABRIC = Fabric(LAB, compile_topology(LAB))
HOST = {host.name: host for host in LAB.hosts}


def arrives(source: str, **more: int) -> bool:
    """Whether r1 may send a packet with this source address to h1."""
    address = ip_address(source)
    frame = {"eth_src": mac_number(HOST["r1"].mac), "eth_dst": mac_number(HOST["h1"].mac)}
    if address.version == 4:
        target = HOST["h1"].ipv4
        assert target is not None
        frame |= {"eth_type": 0x0800, "ip_proto": 17, "ip_src": int(address), "ip_dst": int(target.ip)}
    else:
        six = HOST["h1"].ipv6
        assert six is not None
        frame |= {"eth_type": 0x86DD, "ip_proto": 17, "ipv6_src": int(address), "ipv6_dst": int(six.ip)}
    (outcome,) = FABRIC.outcomes(frame | more, HOST["r1"].port)
    return [one.at for one in outcome.delivered] == [HOST["h1"].port]


@pytest.mark.parametrize(
    "source", ["10.2.0.77", "10.9.255.1", "fd02::77", str(HOST["r1"].ipv4).split("/")[0]]
)
def test_addresses_behind_it_pass(source: str) -> None:
    assert arrives(source)


@pytest.mark.parametrize(
    "source", ["10.1.0.77", "10.3.0.1", "192.0.2.1", "fd01::77", "fd03::1", "2001:db8::1"]
)
def test_others_do_not(source: str) -> None:
    assert not arrives(source)


def test_neighbour_discovery_is_not_forwarded() -> None:
    assert not arrives("fd02::77", ip_proto=58, icmpv6_type=135, icmpv6_code=0, nd_target=1)
    assert not arrives("fd02::77", ip_proto=58, icmpv6_type=136, icmpv6_code=0, nd_target=1)
    assert not arrives("fd02::77", ip_proto=58, icmpv6_type=134, icmpv6_code=0)


def test_the_router_does_not_join_a_network_that_it_is_not_in() -> None:
    frame = {"eth_src": mac_number(HOST["r1"].mac), "eth_dst": mac_number(HOST["h3"].mac), "eth_type": 0x0800}
    (outcome,) = FABRIC.outcomes(frame | {"ip_src": 0x0A020001, "ip_dst": 0x0A030001}, HOST["r1"].port)
    assert not outcome.delivered
