"""An address translator's flows in a real Open vSwitch, with real packets."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from controller.runtime.commands import Emit
from controller.runtime.exhausted import Exhausted
from controller.runtime.verdicts import Punt
from tests.cases.frames import datagrams, fragments, ping, udp
from tests.switch.ovs import Vswitch
from tests.switch.traffic import Bridge
from tests.unit.controller.made_service import chain_lab, host, surrounded
from topologies.functions import Forward, Nat
from topologies.model import Port, Topology

OUTSIDE, NMAC = "10.9.0.200", "02:00:00:00:09:c8"
SERVER = "10.9.0.2"
INSIDE = (host(1), host(3))
PORT = Port(switch="s", number=1)


def translated() -> Topology:
    inside = IPv4Interface("10.9.0.3/24")
    forwards = tuple(
        Forward(protocol=protocol, port=port, host="h3", ipv4=inside, to_port=to)
        for protocol, port, to in (("tcp", 8022, 22), ("udp", 53, 5353), ("udp", 54, 5454))
    )
    nat = Nat(network="n", mac=NMAC, ipv4=IPv4Interface(f"{OUTSIDE}/24"), forwards=forwards)
    return chain_lab("nat", hosts=(*INSIDE, host(2)), nat=nat)


@pytest.fixture
def bridge(vswitch: Vswitch, tmp_path: Path) -> Iterator[Bridge]:
    made = Bridge(vswitch, "nat", (1, 2), tmp_path)
    made.forget()
    made.program(surrounded(translated()))
    yield made
    made.close()


def out(number: int, body: Packet) -> bytes:
    """A packet of an inside host to the server."""
    source = host(number)
    assert source.ipv4 is not None
    return bytes(Ether(src=source.mac, dst=host(2).mac) / IP(src=str(source.ipv4.ip), dst=SERVER) / body)


def back(body: Packet, source: str = SERVER) -> bytes:
    """A packet of the server to the translator."""
    return bytes(Ether(src=host(2).mac, dst=NMAC) / IP(src=source, dst=OUTSIDE) / body)


def test_a_connection_is_masqueraded_and_its_replies_come_home(bridge: Bridge) -> None:
    (there,) = bridge.send(1, [out(1, TCP(sport=30000, dport=80, flags="S", seq=9))], 2)[2]
    got = Ether(there)
    assert (got.src, got.dst, got[IP].src, got[IP].dst) == (NMAC, host(2).mac, OUTSIDE, SERVER)
    port = got[TCP].sport
    assert port >= 1024
    (home,) = bridge.send(2, [back(TCP(sport=80, dport=port, flags="SA", seq=5, ack=10))], 1)[1]
    got = Ether(home)
    assert (got.dst, got[IP].dst, got[TCP].dport, got[IP].src) == (host(1).mac, "10.9.0.1", 30000, SERVER)
    wanted = (got[IP].chksum, got[TCP].chksum)
    del got[IP].chksum, got[TCP].chksum
    again = Ether(bytes(got))
    assert (again[IP].chksum, again[TCP].chksum) == wanted


def test_two_hosts_with_the_same_port_get_two(bridge: Bridge) -> None:
    frames = [out(number, UDP(sport=5000, dport=53) / Raw(b"question")) for number in (1, 3)]
    there = [Ether(each) for each in bridge.send(1, frames, 2)[2]]
    ports = [each[UDP].sport for each in there]
    assert len(set(ports)) == 2
    answers = [back(UDP(sport=53, dport=port) / Raw(b"answer")) for port in ports]
    home = [Ether(each) for each in bridge.send(2, answers, 1)[1]]
    assert [(each.dst, each[IP].dst, each[UDP].dport) for each in home] == [
        (host(1).mac, "10.9.0.1", 5000),
        (host(3).mac, "10.9.0.3", 5000),
    ]


def test_what_nobody_asked_for_is_dropped(bridge: Bridge) -> None:
    frames = [
        back(TCP(sport=80, dport=30000, flags="S")),
        back(UDP(sport=53, dport=5000) / Raw(b"unasked")),
        back(ICMP(type=8)),
        bytes(Ether(src=host(2).mac, dst=host(1).mac) / IP(src=SERVER, dst="10.9.0.1") / UDP(dport=9)),
    ]
    assert bridge.send(2, frames, 1)[1] == []


def test_a_forwarded_port_reaches_its_host(bridge: Bridge) -> None:
    (there,) = bridge.send(2, [back(TCP(sport=40000, dport=8022, flags="S", seq=7))], 1)[1]
    got = Ether(there)
    assert (got.dst, got[IP].dst, got[TCP].dport, got[IP].src) == (host(3).mac, "10.9.0.3", 22, SERVER)
    answer = out(3, TCP(sport=22, dport=40000, flags="SA", seq=1, ack=8))
    (home,) = bridge.send(1, [answer], 2)[2]
    got = Ether(home)
    assert (got.src, got[IP].src, got[TCP].sport) == (NMAC, OUTSIDE, 8022)


def test_an_error_about_a_masqueraded_packet_comes_home(bridge: Bridge) -> None:
    (there,) = bridge.send(1, [out(1, UDP(sport=5000, dport=53) / Raw(b"question"))], 2)[2]
    about = Raw(bytes(Ether(there)[IP]))
    for source in (SERVER, "10.9.0.77"):
        (home,) = bridge.send(2, [back(ICMP(type=3, code=3) / about, source)], 1)[1]
        got = Ether(home)
        assert (got.dst, got[IP].src, got[IP].dst) == (host(1).mac, source, "10.9.0.1")
        inner = got[ICMP].payload
        assert (inner.src, inner.sport, inner.dst) == ("10.9.0.1", 5000, SERVER)


def test_an_echo_is_masqueraded(bridge: Bridge) -> None:
    (there,) = bridge.send(1, [out(1, ICMP(type=8, id=9, seq=1) / Raw(b"echo"))], 2)[2]
    got = Ether(there)
    assert got[IP].src == OUTSIDE
    (home,) = bridge.send(2, [back(ICMP(type=0, id=got[ICMP].id, seq=1) / Raw(b"echo"))], 1)[1]
    assert (Ether(home)[IP].dst, Ether(home)[ICMP].id) == ("10.9.0.1", 9)


def test_fragments_are_masqueraded(bridge: Bridge) -> None:
    long = out(1, UDP(sport=5000, dport=53) / Raw(bytes(3000)))
    (whole,) = datagrams(bridge.send(1, fragments(long), 2)[2])
    assert whole[1] == IP(src=OUTSIDE, dst=SERVER).build()[12:20] and len(whole[-1]) == 3008


def test_ipv6_and_what_is_no_ip_pass_untouched(bridge: Bridge) -> None:
    frames = [udp("there", version=6), ping("there", version=6)]
    assert bridge.send(1, frames, 2)[2] == frames


def test_a_first_datagram_in_fragments_reaches_the_host_that_its_port_is_forwarded_to(bridge: Bridge) -> None:
    for port, to in ((53, 5353), (54, 5454)):
        parts = fragments(back(UDP(sport=7000 + port, dport=port) / Raw(bytes(3000))))
        for order in (parts, parts[::-1]):
            bridge.forget()
            (whole,) = datagrams(bridge.send(2, order, 1)[1])
            assert whole[1] == IP(src=SERVER, dst="10.9.0.3").build()[12:20]
            assert int.from_bytes(whole[-1][2:4], "big") == to
    # and what is not forwarded stays outside
    assert bridge.send(2, fragments(back(UDP(sport=7, dport=55) / Raw(bytes(3000)))), 1)[1] == []


def test_inside_hosts_reach_a_forward_by_the_outside_address(bridge: Bridge) -> None:
    asked = Ether(src=host(1).mac, dst=NMAC) / IP(src="10.9.0.1", dst=OUTSIDE)
    (there,) = bridge.send(1, [bytes(asked / TCP(sport=30000, dport=8022, flags="S", seq=9))], 2)[2]
    got = Ether(there)
    assert (got.dst, got[IP].dst, got[TCP].dport, got[IP].src) == (host(3).mac, "10.9.0.3", 22, OUTSIDE)
    answer = Ether(src=host(3).mac, dst=NMAC) / IP(src="10.9.0.3", dst=OUTSIDE)
    answer /= TCP(sport=22, dport=got[TCP].sport, flags="SA", seq=1, ack=10)
    (home,) = bridge.send(1, [bytes(answer)], 2)[1]
    got = Ether(home)
    assert (got.dst, got[IP].src, got[TCP].sport, got[TCP].dport) == (host(1).mac, OUTSIDE, 8022, 30000)


def test_the_controller_hears_when_no_port_is_free(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.nat.PORTS", (2000, 2001))
    topology = translated()
    bridge.program(surrounded(topology))
    frames = [out(1, UDP(sport=5000 + number, dport=99) / Raw(b"x")) for number in range(4)]
    there = bridge.send(1, frames, 2)[2]
    assert {Ether(each)[UDP].sport for each in there} == {2000, 2001} and len(there) == 2
    told = Exhausted(topology)
    events = [told.packet(Punt(PORT, each.cookie, each.data, {}), 1.0) for each in bridge.packet_ins(2)]
    (first,), second = events
    assert isinstance(first, Emit) and first.fields["function"] == "f" and not second
    assert first.fields["message"] == "f has no port free for a new connection, which is dropped"
    # a connection that has its port keeps it
    assert len(bridge.send(1, frames[:1], 2)[2]) == 1
