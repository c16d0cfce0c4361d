"""A packet and its answer are recognised on their whole way, and nothing else is."""

from __future__ import annotations

import pytest
from scapy.contrib.nsh import NSH
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from controller.trace.questions import Traffic, question
from lab.packets.tagged import Tag, inside, tagged
from topologies import loads

LAB = loads(b"name: x\nswitches: [s1]\nhosts: {h1: s1, h2: s1}\n", "x.yaml")
TOKEN = b"token678"


def sent(traffic: Traffic) -> Packet:
    return Ether(tagged(question(LAB, "h1", "h2", traffic).frame, TOKEN))


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
def test_what_is_sent_is_whole_and_has_right_checksums(protocol: str, family: int) -> None:
    frame = sent(Traffic(protocol, 80, family))  # type: ignore[arg-type]
    again = frame.copy()
    for layer in ("IP", "TCP", "UDP", "ICMP"):
        if again.haslayer(layer):
            del again[layer].chksum
    if again.haslayer("ICMPv6EchoRequest"):
        del again["ICMPv6EchoRequest"].cksum
    assert bytes(again) == bytes(frame)


def around(frame: Packet) -> list[Packet]:
    tunnel = Ether() / IP(src="198.19.0.1", dst="198.19.0.2") / UDP(dport=4789) / VXLAN(vni=7)
    return [
        frame,
        Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=9) / frame.payload,
        tunnel / frame,
        Ether() / NSH(mdtype=2, nextproto=3, spi=1) / frame,
    ]


def test_a_ping_and_its_reply() -> None:
    frame = sent(Traffic())
    tag = Tag(bytes(frame))
    translated = Ether() / IP(src="203.0.113.1", dst="10.0.0.2", ttl=3) / ICMP(id=777, seq=1) / Raw(TOKEN)
    reply = Ether() / IP(src="10.0.0.2", dst="203.0.113.1") / ICMP(type=0, id=777, seq=1) / Raw(TOKEN)
    for seen in (*around(frame), *around(translated)):
        assert tag.direction(bytes(Ether(bytes(seen)))) == "there"
    for seen in around(reply):
        assert tag.direction(bytes(Ether(bytes(seen)))) == "back"
    error = Ether() / IP(src="10.0.0.254", dst="10.0.0.1") / ICMP(type=11) / bytes(frame[IP])
    assert tag.direction(bytes(error)) == "back"
    for other in (reply.copy(), translated.copy()):
        other[Raw].load = b"another8"
        assert tag.direction(bytes(other)) is None


def test_a_ping_of_ipv6() -> None:
    frame = sent(Traffic("icmp", 0, 6))
    tag = Tag(bytes(frame))
    reply = Ether() / IPv6(src="fd00::2", dst="fd00::1") / ICMPv6EchoReply(id=1, seq=1, data=TOKEN)
    assert tag.direction(bytes(frame)) == "there" and tag.direction(bytes(reply)) == "back"
    other = Ether() / IPv6() / ICMPv6EchoRequest(id=1, seq=1, data=b"another8")
    assert tag.direction(bytes(other)) is None


def test_a_connection_is_recognised_by_its_sequence_number() -> None:
    frame = sent(Traffic("tcp", 80))
    tag, number = Tag(bytes(frame)), frame[TCP].seq
    translated = Ether() / IP(src="203.0.113.1") / TCP(sport=5000, dport=8080, seq=number, flags="S")
    assert tag.direction(bytes(frame)) == tag.direction(bytes(translated)) == "there"
    for flags in ("SA", "RA"):
        answer = Ether() / IP() / TCP(sport=80, dport=5000, seq=1, ack=number + 1, flags=flags)
        assert tag.direction(bytes(answer)) == "back"
    reset = Ether() / IP() / TCP(sport=5000, dport=80, seq=number + 1, flags="R")
    assert tag.direction(bytes(reset)) is None


def test_a_datagram_and_an_error_about_it() -> None:
    frame = sent(Traffic("udp", 53))
    tag = Tag(bytes(frame))
    echoed = Ether() / IP() / UDP(sport=53, dport=frame[UDP].sport) / Raw(TOKEN)
    refused = Ether() / IP() / ICMP(type=3, code=3) / bytes(frame[IP])
    assert [tag.direction(bytes(seen)) for seen in (frame, echoed, refused)] == ["there", "back", "back"]


def test_an_arp_request_and_its_answer() -> None:
    asked = ARP(hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", pdst="10.0.0.2")
    tag = Tag(bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / asked))
    told = ARP(op=2, hwsrc="02:00:00:00:00:02", psrc="10.0.0.2", hwdst="02:00:00:00:00:01", pdst="10.0.0.1")
    assert tag.direction(bytes(Ether() / asked)) == "there"
    assert tag.direction(bytes(Ether() / told)) == "back"
    told.psrc = "10.0.0.3"
    assert tag.direction(bytes(Ether() / told)) is None


def test_a_tunnel_is_taken_off() -> None:
    frame = sent(Traffic())
    seen = inside(bytes(around(frame)[2]))
    assert seen.frame == bytes(frame)
    assert seen.outer is not None and (seen.outer.vni, seen.outer.source) == (7, bytes((198, 19, 0, 1)))


def test_cut_frames_are_no_error() -> None:
    for frame in (
        *around(sent(Traffic())),
        *around(sent(Traffic("tcp", 1))),
        *around(sent(Traffic("udp", 1))),
    ):
        tag, data = Tag(bytes(sent(Traffic()))), bytes(frame)
        for size in range(len(data)):
            tag.direction(data[:size])
