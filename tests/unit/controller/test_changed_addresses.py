"""Hosts hear that an address of the file has another MAC address."""

from __future__ import annotations

from scapy.layers.inet6 import ICMPv6ND_NA, IPv6
from scapy.layers.l2 import ARP, Ether

import topologies
from controller.runtime.address_plan import AddressPlan, address_plan
from controller.runtime.changed_addresses import announced
from topologies.model.values import Port

LAB = """\
networks: {{a: {{subnet4: 10.1.0.0/24, subnet6: "fd01::/64"}}, b: {{subnet4: 10.1.0.0/24}}}}
switches: [s1, s2]
links: [s1 -- s2]
hosts:
  h1: {{switch: 's1:1', network: a, mac: "{}", ipv4: {}}}
  h2: {{switch: 's1:2', network: a}}
  h3: {{switch: 's2:3', network: a}}
  other: {{switch: 's2:4', network: b, ipv4: 10.1.0.1}}
"""
OLD, NEW = "02:aa:00:00:00:01", "02:bb:00:00:00:01"


def plan(mac: str, ipv4: str = "10.1.0.1") -> AddressPlan:
    return address_plan(topologies.loads(LAB.format(mac, ipv4)))


def test_all_others_of_the_network_hear_of_each_family() -> None:
    told = [(send.port, Ether(send.frame)) for send in announced(plan(OLD), plan(NEW))]
    assert {port for port, _ in told} == {Port(switch="s1", number=2), Port(switch="s2", number=3)}
    arps = [frame[ARP] for _, frame in told if ARP in frame]
    assert len(arps) == 2
    for question in arps:
        assert question.op == 1 and question.hwsrc == NEW and question.psrc == question.pdst == "10.1.0.1"
    advertised = [frame for _, frame in told if ICMPv6ND_NA in frame]
    assert len(advertised) == 2
    for frame in advertised:
        assert frame.src == NEW and frame[IPv6].dst == "ff02::1" and frame[IPv6].hlim == 255
        answer = frame[ICMPv6ND_NA]
        assert (answer.tgt, answer.S, answer.O, answer.lladdr) == ("fd01::1", 0, 1, NEW)


def test_nobody_hears_of_an_address_that_is_new_or_stays() -> None:
    assert announced(plan(OLD), plan(OLD)) == []
    assert announced(address_plan(topologies.loads("switches: [s1]")), plan(OLD)) == []
    told = announced(plan(OLD), plan(NEW, "10.1.0.9"))
    assert all(ARP not in Ether(send.frame) for send in told) and told  # the IPv6 address has stayed
