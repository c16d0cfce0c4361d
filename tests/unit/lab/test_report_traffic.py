"""Who spoke to whom in captured frames."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from lab.report.traffic import Conversation, conversations


def summary(*packets: Packet, largest: int = 10) -> tuple[int, list[Conversation]]:
    number, told = conversations([(0.0, bytes(packet), 1) for packet in packets], largest)
    return number, list(told)


def test_both_ways_of_a_connection_name_the_port_that_serves() -> None:
    there = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=40000, dport=80)
    back = Ether() / IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=80, dport=40000) / (b"x" * 100)
    number, told = summary(there, there, back)
    assert number == 3
    assert told == [
        Conversation("TCP 80", "10.0.0.2", "10.0.0.1", 1, 154),
        Conversation("TCP 80", "10.0.0.1", "10.0.0.2", 2, 108),
    ]


def test_a_frame_in_a_tunnel_counts_for_what_is_in_it() -> None:
    inside = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP()
    outside = Ether() / IP(src="198.18.1.1", dst="198.18.1.2") / UDP(sport=51111, dport=4789)
    _, told = summary(outside / VXLAN(vni=7, flags=8) / inside)
    assert [(one.protocol, one.source) for one in told] == [("ICMP in UDP 4789", "10.0.0.1")]


def test_what_is_no_ip_is_named_by_its_ethertype() -> None:
    number, told = summary(
        Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(),
        Ether(type=0x88B5) / b"experiment",
        Ether() / IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(),
        Packet(),
    )
    assert number == 4
    assert {one.protocol for one in told} == {"ARP", "Ethernet 0x88b5", "IPv6-ICMP", "other"}


def test_only_the_largest_are_told_and_all_are_counted() -> None:
    frames = [Ether() / IP(src="10.0.0.1", dst=f"10.0.1.{n}") / ICMP() / (b"x" * n) for n in range(1, 100)]
    number, told = summary(*frames, largest=3)
    assert number == 99
    assert [one.destination for one in told] == ["10.0.1.99", "10.0.1.98", "10.0.1.97"]
