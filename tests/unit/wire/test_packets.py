"""Packets read and made, compared with scapy's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from wire import ip, tcp
from wire.refusal import refusal

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"
SYN = TCP(sport=1024, dport=80, flags="S", seq=99)


def told(packet: Packet, cut: int | None = None) -> Packet | None:
    """The refusal of a packet, as scapy reads it, its checksums proven."""
    data = bytes(packet)[:cut]
    header = bytes.fromhex(
        "02000000000202000000000108 00" if data[0] >> 4 == 4 else "020000000002020000000001 86dd"
    )
    answer = refusal(header, data)
    if answer is None:
        return None
    seen = Ether(answer)
    again = seen.copy()
    for layer in again.layers():
        for field in ("chksum", "cksum"):
            if field in again[layer].fields:
                again[layer].delfieldval(field)
    assert bytes(again) == answer
    return seen


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=A4, dst=B4) / SYN,
        IPv6(src=A6, dst=B6) / SYN,
        IPv6(src=A6, dst=B6) / IPv6ExtHdrHopByHop() / SYN,
        IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(offset=0, m=1) / SYN,
        IP(src=A4, dst=B4, flags="MF") / SYN,
    ],
)
def test_a_connection_is_reset_also_behind_headers_and_by_its_first_fragment(packet: Packet) -> None:
    answer = told(packet)
    assert answer is not None and answer[TCP].flags == "RA" and answer[TCP].ack == 100
    assert (answer[TCP].sport, answer[TCP].dport) == (80, 1024)


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=A4, dst=B4, frag=3) / Raw(bytes(40)),
        IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(offset=3) / Raw(bytes(40)),
        IP(src=A4, dst=B4) / TCP(flags="R"),
        IP(src=A4, dst=B4) / ICMP(type=3) / Raw(bytes(30)),
        IP(src="0.0.0.0", dst=B4) / UDP(),
        IP(src=A4, dst="224.0.0.1") / UDP(),
        IPv6(src=A6, dst="ff02::1") / UDP(),
        IPv6(src="::", dst=B6) / UDP(),
    ],
)
def test_nothing_is_said_about(packet: Packet) -> None:
    assert told(packet) is None


def test_of_a_segment_that_was_cut_short_all_of_it_is_acknowledged() -> None:
    whole = IP(src=A4, dst=B4) / TCP(sport=1, dport=2, flags="P", seq=7) / Raw(bytes(500))
    answer = told(whole, cut=80)
    assert answer is not None and answer[TCP].ack == 507


def test_padding_is_no_part_of_a_packet() -> None:
    data = bytes(IP(src=A4, dst=B4) / UDP(sport=5, dport=6) / Raw(b"x")) + bytes(17)
    packet = ip.read(data)
    assert packet is not None and packet.length == len(packet.body) == 9 and packet.ports == (5, 6)


@pytest.mark.parametrize("data", [b"", bytes(60), b"\x45" + bytes(30), b"\x44\0\0\x28" + bytes(30)])
def test_what_is_no_ip_packet_is_none(data: bytes) -> None:
    assert ip.read(data) is None


@given(st.binary(max_size=90), st.sampled_from([0x45, 0x46, 0x60]))
def test_nothing_makes_reading_or_refusing_fail(data: bytes, first: int) -> None:
    ip.read(bytes([first]) + data)
    refusal(bytes(14), bytes([first]) + data)


@given(st.binary(max_size=60))
def test_a_made_packet_is_scapys(body: bytes) -> None:
    four = ip.packet(IPv4Address(A4).packed, IPv4Address(B4).packed, 17, body)
    assert four == bytes(IP(src=A4, dst=B4, proto=17, id=0, flags="DF", ttl=64) / Raw(body))
    six = ip.packet(IPv6Address(A6).packed, IPv6Address(B6).packed, 17, body)
    assert six == bytes(IPv6(src=A6, dst=B6, nh=17, hlim=64) / Raw(body))


def test_a_reset_is_not_answered() -> None:
    assert tcp.reset(tcp.bare(1, 2, 3, 4, tcp.RST)) is None
