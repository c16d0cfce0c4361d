"""Our ARP and ND packets against scapy's reading and writing of them."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether

from controller.runtime.packets import Packet, read, time_exceeded
from tests.unit.controller_runtime.made_packets import advertisement, arp_reply, arp_request, solicitation
from wire.mac import link_local, mac_number

A, B = 0x020000000001, 0x020000000002
A4, B4 = 0x0A000001, 0x0A000002
A6, B6 = 0x20010DB8 << 96 | 1, 0x20010DB8 << 96 | 0xABCDEF
MA, MB = "02:00:00:00:00:01", "02:00:00:00:00:02"


def test_arp_is_what_scapy_makes() -> None:
    request = Ether(src=MA, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=MA, psrc="10.0.0.1", pdst="10.0.0.2")
    assert arp_request(A, A4, B4) == bytes(request)
    reply = Ether(src=MB, dst=MA) / ARP(op=2, hwsrc=MB, psrc="10.0.0.2", hwdst=MA, pdst="10.0.0.1")
    assert arp_reply(B, B4, A, A4) == bytes(reply)
    assert read(bytes(request)) == Packet(A, 0xFFFFFFFFFFFF, "ask", 4, A4, B4)
    assert read(bytes(reply)) == Packet(B, A, "answer", 4, B4, A4)


def test_neighbour_discovery_is_what_scapy_makes() -> None:
    asked = (
        Ether(src=MA, dst="33:33:ff:ab:cd:ef")
        / IPv6(src="2001:db8::1", dst="ff02::1:ffab:cdef", hlim=255)
        / ICMPv6ND_NS(tgt="2001:db8::ab:cdef")
        / ICMPv6NDOptSrcLLAddr(lladdr=MA)
    )
    assert solicitation(A, A6, B6) == bytes(asked)
    answered = (
        Ether(src=MB, dst=MA)
        / IPv6(src="2001:db8::ab:cdef", dst="2001:db8::1", hlim=255)
        / ICMPv6ND_NA(tgt="2001:db8::ab:cdef", R=0, S=1, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=MB)
    )
    assert advertisement(B, B6, A, A6) == bytes(answered)
    asked_packet, answered_packet = read(bytes(asked)), read(bytes(answered))
    assert asked_packet is not None
    assert answered_packet is not None
    assert asked_packet[2:] == ("ask", 6, A6, B6)
    assert answered_packet == Packet(B, A, "answer", 6, B6, A6)


def test_data_has_its_addresses_read() -> None:
    frame = bytes(Ether(src=MA, dst=MB) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP())
    assert read(frame) == Packet(A, B, "data", 4, A4, B4)


def test_discovery_from_beyond_the_link_is_only_data() -> None:
    frame = bytearray(solicitation(A, A6, B6))
    frame[21] = 254
    packet = read(bytes(frame))
    assert packet is not None
    assert packet.kind == "data"


@pytest.mark.parametrize(
    ("mac", "address"),
    [("00:1b:21:aa:bb:cc", "fe80::21b:21ff:feaa:bbcc"), (MA, "fe80::ff:fe00:1")],
)
def test_link_local_is_modified_eui_64(mac: str, address: str) -> None:
    from ipaddress import IPv6Address

    assert link_local(mac_number(mac)) == int(IPv6Address(address))


@settings(max_examples=300)
@given(st.binary(max_size=120), st.sampled_from([b"", b"\x08\x06", b"\x08\x00", b"\x86\xdd"]))
def test_no_frame_is_too_broken_to_read(frame: bytes, kind: bytes) -> None:
    packet = read(frame[:12].ljust(12, b"\0") + kind + frame if kind else frame)
    assert packet is None or packet.eth_src < 1 << 48


@given(
    st.sampled_from([arp_request(A, A4, B4), solicitation(A, A6, B6), advertisement(B, B6, A, A6)]),
    st.data(),
)
def test_truncated_frames_are_read_or_refused(frame: bytes, data: st.DataObject) -> None:
    read(frame[: data.draw(st.integers(0, len(frame)))])


GATEWAY = 0x00005E000101
G4, G6 = 0x0A0000FE, 0x20010DB8 << 96 | 0xFFFE


@pytest.mark.parametrize("length", [0, 8, 1400])
def test_time_exceeded_is_what_scapy_makes(length: int) -> None:
    probe = IP(src="10.0.0.1", dst="10.9.0.9", ttl=1, id=7) / UDP(sport=33000, dport=33434) / bytes(length)
    answer = time_exceeded(bytes(Ether(src=MA, dst="00:00:5e:00:01:01") / probe), GATEWAY, G4, G6)
    wanted = Ether(src="00:00:5e:00:01:01", dst=MA)
    wanted /= IP(src="10.0.0.254", dst="10.0.0.1", tos=0xC0, id=0) / ICMP(type=11)
    assert answer == bytes(wanted / bytes(probe)[:548])
    assert len(answer) <= 14 + 576


def test_time_exceeded_for_ipv6_has_a_right_checksum_and_the_packet() -> None:
    probe = IPv6(src="2001:db8::1", dst="2001:db8:9::9", hlim=1) / ICMPv6EchoRequest(data=b"x" * 1400)
    answer = time_exceeded(bytes(Ether(src=MA, dst="00:00:5e:00:01:01") / probe), GATEWAY, G4, G6)
    assert answer is not None
    got = Ether(answer)
    assert (got[IPv6].src, got[IPv6].dst, got[IPv6].nh) == ("2001:db8::fffe", "2001:db8::1", 58)
    assert got[IPv6].payload.type == 3 and len(answer) <= 14 + 1280
    sum_ = got[IPv6].payload.cksum
    del got[IPv6].payload.cksum
    assert Ether(bytes(got))[IPv6].payload.cksum == sum_


@pytest.mark.parametrize(
    "packet",
    [
        IP(src="10.0.0.1", dst="10.9.0.9", ttl=1) / ICMP(type=11),
        IP(src="10.0.0.1", dst="10.9.0.9", ttl=1, frag=64) / UDP(),
        IP(src="0.0.0.0", dst="10.9.0.9", ttl=1) / UDP(),
        IP(src="224.0.0.1", dst="10.9.0.9", ttl=1) / UDP(),
        IPv6(src="::", dst="2001:db8:9::9", hlim=1) / UDP(),
        b"\0\0",
    ],
)
def test_no_error_is_said_where_the_standards_forbid_it(packet: object) -> None:
    frame = bytes(Ether(src=MA, dst="00:00:5e:00:01:01") / packet)
    assert time_exceeded(frame, GATEWAY, G4, G6) is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_time_exceeded_never_fails_on_garbage(garbage: bytes) -> None:
    for kind in (b"\x08\x00", b"\x86\xdd", b""):
        time_exceeded(bytes(12) + kind + garbage, GATEWAY, G4, G6)
