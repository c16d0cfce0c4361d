"""From frames to packets: tunnels, fragments, captures, and bytes that make no sense."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.geneve import GENEVE
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, fragment6
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, PcapWriter

from nfv.ids.counters import fresh
from nfv.ids.decode.defrag import Defragmenter
from nfv.ids.decode.frames import Decoder, plain_segment
from nfv.ids.decode.packet import Packet, text
from nfv.ids.language import load_text
from nfv.ids.run import offline
from nfv.ids.settings import Settings
from nfv.ids.sources.pcap import BLOCK, BadCapture, records
from tests.unit.nfv.ids.ids_values import MACS, Talk, fired, of, run

E = Ether(src=MACS[0], dst=MACS[1])
INNER = IP(src="172.16.0.1", dst="172.16.0.2") / UDP(sport=7, dport=9) / Raw(b"inside EVIL")
OUTER = E / IP(src="10.0.0.1", dst="10.0.0.2")
FRAME6 = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=7, dport=9) / Raw(b"inside EVIL")


@pytest.mark.parametrize(
    "frame",
    [
        E / Dot1Q(vlan=5) / INNER,
        E / Dot1AD(vlan=5) / Dot1Q(vlan=6) / INNER,
        E / MPLS(label=100, s=0) / MPLS(label=200, s=1) / INNER,
        E / PPPoE(code=0, sessionid=1) / PPP(proto=0x21) / INNER,
        OUTER / GRE() / INNER,
        OUTER / GRE(key_present=1, key=7, seqnum_present=1) / INNER,
        OUTER / GRE(proto=0x6558) / E / INNER,
        OUTER / INNER,
        OUTER / UDP(sport=1, dport=4789) / VXLAN(vni=7, flags=8) / E / INNER,
        OUTER / UDP(sport=1, dport=6081) / GENEVE(vni=7, proto=0x6558) / E / INNER,
        OUTER / FRAME6,
        E / IPv6(src="fd00::8", dst="fd00::9") / INNER,
        E
        / IPv6(src="fd00::1", dst="fd00::2")
        / IPv6ExtHdrHopByHop()
        / IPv6ExtHdrDestOpt()
        / UDP()
        / Raw(b"EVIL"),
        Ether(src=MACS[0], dst=MACS[1], type=0x894F)
        / Raw(struct.pack("!HBBI", 0x0FC2, 2, 1, 0x000001FF))
        / INNER,
    ],
)
def test_what_is_in_a_tunnel_is_inspected(frame: Any) -> None:
    assert fired('content:"EVIL"', [bytes(frame)], "udp any any -> any any")


def test_fragments_in_any_order_and_twice() -> None:
    whole = (
        IP(src="10.0.0.1", dst="10.0.0.2", id=7)
        / UDP(sport=7, dport=9)
        / Raw(b"x" * 1500 + b"EVIL" + b"y" * 900)
    )
    pieces = [bytes(E / piece) for piece in fragment(whole, 400)]
    six = (
        IPv6(src="fd00::1", dst="fd00::2")
        / IPv6ExtHdrFragment(id=9)
        / UDP(sport=7, dport=9)
        / Raw(b"x" * 1500 + b"EVIL")
    )
    pieces6 = [bytes(E / piece) for piece in fragment6(six, 500)]
    assert len(pieces) > 4 and len(pieces6) > 2
    for seed in range(4):
        for one in (pieces, pieces6):
            order = [*one, random.Random(seed).choice(one)]
            random.Random(seed).shuffle(order)
            assert fired('content:"EVIL"', order, "udp any any -> any any"), seed
            without = [piece for piece in order if piece != one[0]]
            assert not fired('content:"EVIL"', without, "udp any any -> any any")


def test_fragments_that_wait_are_bounded() -> None:
    defrag = Defragmenter(max_trackers=20, memory=100_000)
    decoder = Decoder(fresh(), defrag)
    for at in range(500):
        piece = E / IP(src="10.0.0.1", dst="10.0.0.2", id=at, flags="MF") / Raw(b"x" * 1400)
        decoder.frame(bytes(piece), at / 1000, 1)
    assert len(defrag) <= 20 and defrag.memory <= 100_000 + 1400


def test_what_is_wrong_with_a_packet_is_told() -> None:
    broken = bytearray(bytes(E / INNER))
    broken[16:18] = b"\xff\xff"
    events = run("alert ip any any -> any any (sid:1;)", [bytes(broken), bytes(E / INNER)[:30]])
    assert [event["anomaly"]["event"] for event in of(events, "anomaly")] == [
        "decoder.ipv4.trunc_pkt",
        "decoder.ipv4.pkt_too_small",
    ]
    assert not of(events, "alert")


def test_addresses_as_text() -> None:
    assert text(ip_address("192.0.2.1").packed) == "192.0.2.1"
    assert text(ip_address("fd00::1").packed) == "fd00:0000:0000:0000:0000:0000:0000:0001"


def test_too_many_layers_end() -> None:
    frame: Any = INNER
    for _ in range(40):
        frame = IP(src="10.0.0.1", dst="10.0.0.2") / GRE() / frame
    run("alert ip any any -> any any (sid:1;)", [bytes(E / frame)])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([0, 1, 9, 12, 101, 104, 113, 276, 999]))
def test_no_bytes_upset_a_decoder(data: bytes, linktype: int) -> None:
    Decoder(fresh()).frame(data, 0.0, 1, linktype)


SEEDS = [
    bytes(OUTER / GRE() / INNER),
    bytes(OUTER / UDP(dport=4789) / VXLAN(vni=7, flags=8) / E / INNER),
    bytes(E / FRAME6),
    bytes(E / IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment() / UDP()),
    bytes(E / MPLS(s=1) / INNER),
    *Talk().exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
]

FUZZ_RULES = """
alert tcp any any -> any any (content:"a"; distance:0; within:9; sid:1;)
alert http any any -> any any (http.uri; content:"/"; sid:2;)
alert ip any any -> any any (ttl:64; ipopts:any; fragbits:M; sid:3;)
drop udp any any -> any any (content:"EVIL"; sid:4;)
alert tcp any any -> any any (flags:S; stream_size:server,>,0; sid:5;)
"""


def mutated(rng: random.Random, frames: list[bytes]) -> list[bytes]:
    """Frames with bytes changed, cut, repeated, swapped."""
    out = []
    for frame in frames:
        data = bytearray(frame)
        for _ in range(rng.randint(0, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        out += [bytes(data)] * (2 if rng.random() < 0.1 else 1)
    if rng.random() < 0.5:
        rng.shuffle(out)
    return out


@pytest.mark.parametrize("seed", range(60))
def test_mutated_traffic_is_survived(seed: int) -> None:
    rng = random.Random(seed)
    options = Settings(ips=seed % 3 == 0)
    options.stream.checksums = False
    options.stream.midstream = seed % 2 == 0
    options.stream.async_oneside = seed % 5 == 0
    run(FUZZ_RULES, mutated(rng, SEEDS * 3), options)


def capture(path: Path, writer: Callable[..., Any], **options: Any) -> bytes:
    pen = writer(str(path), **options)
    for at in range(3):
        packet = E / INNER
        packet.time = 1000 + at
        pen.write(packet)
    pen.close()
    return path.read_bytes()


class Dripping(io.BytesIO):
    """A file that gives a few bytes at a time, and no more than is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 7, 7))


def test_a_capture_is_read_as_a_stream() -> None:
    """Whatever its size, no more of it is in memory than a block and a packet."""
    head = b"\xd4\xc3\xb2\xa1\2\0\4\0" + bytes(12) + b"\1\0\0\0"
    packet = struct.pack("<IIII", 1, 0, 1400, 1400) + bytes(1400)

    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1, /) -> bytes:
            begin, self.given = self.given, self.given + size
            whole = packet * (size // len(packet) + 2)
            at = (begin - len(head)) % len(packet) if begin else 0
            return head + whole[: size - len(head)] if not begin else whole[at : at + size]

    source: Any = Endless()
    for number, (_, data, _) in enumerate(records(source), 1):
        assert data == packet[16:]
        assert source.given <= number * len(packet) + 2 * BLOCK
        if number == 5000:
            break


def test_captures_of_both_kinds_and_orders(tmp_path: Path) -> None:
    for number, (writer, options) in enumerate(
        [
            (PcapWriter, {}),
            (PcapWriter, {"endianness": ">"}),
            (PcapWriter, {"nano": True}),
            (PcapNgWriter, {}),
        ]
    ):
        data = capture(tmp_path / str(number), writer, **options)
        packets = list(records(data))
        assert packets == list(records(Dripping(data)))
        assert [round(ts) for ts, _, _ in packets] == [1000, 1001, 1002]
        assert {frame for _, frame, _ in packets} == {bytes(E / INNER)}


def test_a_capture_that_is_cut_gives_what_was_before(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(capture(path, PcapWriter)[:-5])
    summary = offline.run(Settings(), load_text(""), [path], lambda event: None)
    assert summary.packets == 2 and "cut short" in summary.damage
    path.write_bytes(b"no capture at all")
    with pytest.raises(BadCapture, match="neither pcap nor pcapng"):
        offline.run(Settings(), load_text(""), [path], lambda event: None)


@pytest.mark.parametrize("writer", [PcapWriter, PcapNgWriter])
def test_a_cut_is_told_wherever_it_is(writer: Any, tmp_path: Path) -> None:
    """But between two packets, where there is nothing to see it by."""
    data = capture(tmp_path / "whole", writer)
    told = 0
    for end in range(len(data)):
        for source in (data[:end], Dripping(data[:end])):
            try:
                assert len(list(records(source))) < 3
            except BadCapture:
                told += 1
    assert told >= 2 * (len(data) - 5)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b""]), st.binary(max_size=120))
def test_no_file_upsets_the_reader(magic: bytes, rest: bytes) -> None:
    try:
        for _ in records(magic + rest):
            pass
    except BadCapture:
        pass


def test_flows_are_bounded_and_end() -> None:
    options = Settings(flow_limit=50)
    frames = [bytes(OUTER / UDP(sport=port, dport=9) / Raw(b"x")) for port in range(1, 200)]
    events = run("", frames, options)
    reasons = [event["flow"]["reason"] for event in of(events, "flow")]
    assert reasons.count("forced") == 149 and reasons.count("shutdown") == 50


def test_plain_segments_are_decoded_as_all_frames_are() -> None:
    options = [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)]
    for data, more in (
        (b"", {}),
        (b"abc", {}),
        (b"abc", {"options": options}),
        (b"x" * 1400, {"options": []}),
    ):
        header = TCP(sport=4000, dport=80, flags="PA", seq=5, ack=7, window=99, **more)
        frame = bytes(
            Ether() / IP(src="10.0.0.1", dst="10.0.0.2", ttl=9, tos=4, flags="DF") / header / Raw(data)
        )
        for padding in (b"", bytes(6)):
            wanted = Decoder(fresh(False), Defragmenter(), 4789).frame(frame + padding, 1.5, 3)
            packet = plain_segment(frame + padding, 1.5, 3)
            names = [name for name in Packet.__slots__ if getattr(packet, name) != getattr(wanted, name)]
            assert names == []
