"""Packet tests of quickstart.yaml, as an example for your own.

Run them with `sdnlab test-lab topologies -k quickstart`, or with plain pytest.
"""

import pytest
from scapy.layers.inet import ICMP, IP, UDP

pytestmark = pytest.mark.topology("quickstart.yaml")  # all tests of this file share one lab


def test_everybody_reaches_everybody(lab):
    assert lab.ping()


def test_a_command_in_a_host(host):
    done = host("h1").run("ping -c 2 h3", timeout=30)
    assert "2 received" in done.output


def test_scapy_gets_an_answer(host):
    answer = host("h1").scapy.sr1(IP(dst=host("h3").ipv4) / ICMP(), timeout=10)
    assert answer[ICMP].type == 0


def test_every_packet_arrives_once(host, send_and_expect):
    packets = IP(dst=host("h3").ipv4) / UDP(dport=(1000, 1099))
    send_and_expect("h1", packets, at="h3")


def test_nothing_arrives_when_the_only_link_is_cut(lab, host, send_and_expect):
    packets = IP(dst=host("h3").ipv4) / UDP(dport=(1000, 1099))
    lab.link("s1", "s2").down()  # it is repaired when the test ends
    send_and_expect("h1", packets, at=None)
    assert not lab.ping()
    assert lab.ping("h1", "h2")
