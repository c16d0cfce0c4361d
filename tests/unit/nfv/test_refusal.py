"""What the sender of a refused packet is told, read by scapy as an independent reader."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from nfv.firewall.packets import fields
from wire.ip import read
from wire.refusal import refusal

HEAD = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="10.0.0.1", dst="10.0.0.2")
V6 = IPv6(src="fd00::1", dst="fd00::2")


def answer(packet: Packet, snaplen: int = 1232) -> Packet | None:
    frame = bytes(HEAD / packet)
    reply = refusal(frame[:14], frame[14 : 14 + snaplen])
    if reply is None:
        return None
    read = Ether(reply)
    assert (read.src, read.dst) == (HEAD.dst, HEAD.src)
    # scapy's own checksums, made anew, are the same
    anew = Ether(reply)
    for layer in (IP, TCP, ICMP, ICMPv6DestUnreach):
        if layer in anew and (layer is IP or IP not in anew[layer].payload or layer is not IP):
            for name in ("chksum", "cksum"):
                if name in anew[layer].fields:
                    delattr(anew[layer], name)
    if ICMP not in anew:
        assert bytes(anew) == reply
    return read


@pytest.mark.parametrize("ip", [V4, V6])
def test_a_syn_is_reset(ip: Packet) -> None:
    got = answer(ip / TCP(sport=4000, dport=80, flags="S", seq=1000))
    assert got is not None
    tcp = got[TCP]
    assert (tcp.sport, tcp.dport, tcp.flags, tcp.seq, tcp.ack) == (80, 4000, "RA", 0, 1001)


@pytest.mark.parametrize("ip", [V4, V6])
def test_a_segment_is_reset_by_what_it_acknowledges(ip: Packet) -> None:
    got = answer(ip / TCP(sport=4000, dport=80, flags="PA", seq=1000, ack=77) / Raw(b"data"))
    assert got is not None
    assert (got[TCP].flags, got[TCP].seq, got[TCP].ack) == ("R", 77, 0)


def test_data_that_was_cut_off_counts(ip: Packet = V4) -> None:
    got = answer(ip / TCP(flags="", seq=1000) / Raw(bytes(1000)), snaplen=60)
    assert got is not None
    assert got[TCP].ack == 2000


def test_a_datagram_is_prohibited() -> None:
    got = answer(V4 / UDP(sport=1, dport=2) / Raw(bytes(1000)))
    assert got is not None
    assert (got[ICMP].type, got[ICMP].code) == (3, 13)
    assert (got[IP].src, got[IP].dst) == ("10.0.0.2", "10.0.0.1")
    assert len(got) - 14 == 576
    assert bytes(got[ICMP])[8:] == bytes(V4 / UDP(sport=1, dport=2) / Raw(bytes(1000)))[: 576 - 28]


def test_a_datagram_over_ipv6_is_prohibited() -> None:
    got = answer(V6 / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2) / Raw(bytes(2000)))
    assert got is not None
    assert (got[ICMPv6DestUnreach].type, got[ICMPv6DestUnreach].code) == (1, 1)
    assert len(got) - 14 <= 1280


@pytest.mark.parametrize(
    "packet",
    [
        V4 / TCP(flags="R"),
        V4 / TCP(flags="RA"),
        V4 / ICMP(type=3, code=1) / Raw(bytes(28)),
        V4 / ICMP(type=11) / Raw(bytes(28)),
        V6 / ICMPv6DestUnreach(),
        IP(src="10.0.0.1", dst="224.0.0.1") / UDP(),
        IP(src="0.0.0.0", dst="10.0.0.2") / UDP(),
        IPv6(src="fd00::1", dst="ff02::1") / UDP(),
        IP(src="10.0.0.1", dst="10.0.0.2", frag=10, proto=17) / Raw(bytes(20)),
        Raw(b"no IP at all"),
    ],
    ids=range(10),
)
def test_nothing_is_said_of_errors_and_groups(packet: Packet) -> None:
    assert answer(packet) is None


def test_a_frame_to_a_group_is_not_answered() -> None:
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / V4 / UDP())
    assert refusal(frame[:14], frame[14:]) is None


@pytest.mark.parametrize("cut", range(0, 80))
def test_however_short_it_is_cut(cut: int) -> None:
    for packet in (V4 / TCP(flags="S"), V6 / IPv6ExtHdrDestOpt() / TCP(flags="S"), V6 / ICMPv6EchoRequest()):
        frame = bytes(HEAD / packet)
        refusal(frame[:14], frame[14 : 14 + cut])


def test_fields_of_a_log_line() -> None:
    packet = read(bytes(V6 / IPv6ExtHdrDestOpt() / TCP(sport=4000, dport=80)))
    assert packet is not None
    assert fields(packet) == {
        "src_ip": "fd00::1",
        "dest_ip": "fd00::2",
        "proto": "TCP",
        "src_port": 4000,
        "dest_port": 80,
    }
