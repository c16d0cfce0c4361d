"""What refused senders are told, read by scapy."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from controller.runtime.refusals import refusal

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4, V6 = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")


def checked(answer: bytes) -> Packet:
    """The answer, decoded; its checksums are those that scapy would have put there."""
    got = Ether(answer)
    again = Ether(answer)
    for layer in (IP, TCP, ICMP, ICMPv6DestUnreach):
        if layer in again:
            field = "cksum" if layer is ICMPv6DestUnreach else "chksum"
            delattr(again[layer], field)
    assert bytes(again) == answer
    assert (got.src, got.dst) == (ETHER.dst, ETHER.src)
    return got


@given(
    st.sampled_from([4, 6]), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=50),
    st.sampled_from(["S", "A", "PA", "FA", "F", "SA", ""]),
)  # fmt: skip
def test_a_segment_is_answered_by_the_reset_that_its_sender_takes(
    version: int, seq: int, ack: int, data: bytes, flags: str
) -> None:
    head = V4 if version == 4 else V6
    segment = TCP(sport=1234, dport=80, seq=seq, ack=ack, flags=flags)
    answer = refusal(bytes(ETHER / head / segment / Raw(data)))
    assert answer is not None
    got = checked(answer)
    layer = IP if version == 4 else IPv6
    assert (got[layer].src, got[layer].dst) == (head.dst, head.src)
    assert (got[TCP].sport, got[TCP].dport) == (80, 1234)
    # RFC 9293, 3.10.7.1
    if "A" in flags:
        assert (str(got[TCP].flags), got[TCP].seq) == ("R", ack)
    else:
        length = len(data) + ("S" in flags) + ("F" in flags)
        assert (str(got[TCP].flags), got[TCP].seq, got[TCP].ack) == ("RA", 0, (seq + length) % 2**32)


def test_a_datagram_is_answered_by_an_error_about_it() -> None:
    for size in (0, 100, 1400):
        frame = ETHER / V4 / UDP(sport=5, dport=53) / Raw(bytes(size))
        got = checked(refusal(bytes(frame)) or b"")
        assert (got[ICMP].type, got[ICMP].code, got[IP].src) == (3, 13, "10.0.0.2")
        assert bytes(frame[IP]).startswith(bytes(got[ICMP].payload)) and len(got[IP]) <= 576
        frame = ETHER / V6 / UDP(sport=5, dport=53) / Raw(bytes(size))
        got = checked(refusal(bytes(frame)) or b"")
        error = got[ICMPv6DestUnreach]
        assert (error.code, got[IPv6].src) == (1, "2001:db8::2")
        assert bytes(frame[IPv6]).startswith(bytes(error.payload)) and len(bytes(got[IPv6])) <= 1280


def test_options_do_not_hide_a_segment() -> None:
    frame = ETHER / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TCP(flags="S", seq=7)
    got = checked(refusal(bytes(frame)) or b"")
    assert got[TCP].ack == 8


def test_padding_is_no_data() -> None:
    frame = bytes(ETHER / V4 / TCP(flags="S", seq=7)) + bytes(20)
    assert checked(refusal(frame) or b"")[TCP].ack == 8


SILENT: dict[str, Packet] = {
    "a reset": ETHER / V4 / TCP(flags="R"),
    "a reset, IPv6": ETHER / V6 / TCP(flags="RA"),
    "an error": ETHER / V4 / ICMP(type=3, code=1) / V4 / UDP(),
    "an error, IPv6": ETHER / V6 / ICMPv6DestUnreach() / V6 / UDP(),
    "a later fragment": ETHER / IP(src="10.0.0.1", dst="10.0.0.2", frag=9, proto=17) / Raw(b"x" * 40),
    "a later fragment, IPv6": ETHER / V6 / IPv6ExtHdrFragment(offset=9, nh=17) / Raw(b"x" * 40),
    "to a group": ETHER / IP(src="10.0.0.1", dst="224.0.0.1") / UDP(),
    "to a group by its MAC": Ether(dst="ff:ff:ff:ff:ff:ff") / V4 / UDP(),
    "to a group, IPv6": ETHER / IPv6(src="2001:db8::1", dst="ff02::1") / UDP(),
    "from nobody": ETHER / IP(src="0.0.0.0", dst="10.0.0.2") / UDP(),
    "from nobody, IPv6": ETHER / IPv6(src="::", dst="2001:db8::2") / UDP(),
    "ARP": ETHER / ARP(),
}


def test_nothing_is_said_where_nothing_may_be_said() -> None:
    for name, frame in SILENT.items():
        assert refusal(bytes(frame)) is None, name
    assert refusal(bytes(ETHER / V4 / ICMP(type=8))) and refusal(bytes(ETHER / V6 / ICMPv6EchoRequest()))


SILENT_OCTETS = [bytes(packet) for packet in SILENT.values()]  # once: Scapy builds slowly


@settings(max_examples=300)
@given(st.data())
def test_no_octets_are_too_odd(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(SILENT_OCTETS))
    cut = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if cut:
            cut[data.draw(st.integers(0, len(cut) - 1))] = data.draw(st.integers(0, 255))
    answer = refusal(bytes(cut))
    assert answer is None or len(answer) >= 54
