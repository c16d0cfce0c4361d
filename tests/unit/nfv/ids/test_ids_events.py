"""Rules about what is wrong with packets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import nfv.ids
from nfv.ids.language import load_text
from nfv.ids.language.events import DECODE
from nfv.ids.settings import Settings
from tests.unit.nfv.ids.ids_values import MACS, Talk, of, run, sids

ETHER = Ether(src=MACS[0], dst=MACS[1])
ATOMIC = bytes(ETHER / IPv6(src="fd00::1", dst="fd00::2", hlim=9) / IPv6ExtHdrFragment() / UDP() / Raw(b"x"))


def test_those_that_can_be_named_are_those_that_are_found() -> None:
    written = {"too_many_layers"}
    for path in Path(nfv.ids.__file__).parent.glob("decode/*.py"):
        written |= set(re.findall(r'"decoder\.(\w+\.\w+)"', path.read_text()))
    computed = {f"gre.version{version}_hdr_too_big" for version in (0, 1)}
    computed |= {f"ipv6.exthdr_dupl_{kind}" for kind in ("hh", "rh", "ah", "eh")}
    computed |= {"icmpv4.pkt_too_small", "icmpv6.pkt_too_small"}
    assert written | computed == DECODE


@pytest.mark.parametrize(
    ("head", "event", "frame", "told"),
    [
        ("pkthdr", "ipv4.trunc_pkt", bytes(ETHER / IP(len=500) / UDP()), True),
        ("ip", "ipv4.trunc_pkt", bytes(ETHER / IP(len=500) / UDP()), False),  # it is no valid IP packet
        ("pkthdr", "decoder.ipv4.hlen_too_small", bytes(ETHER / IP(ihl=2) / UDP()), True),
        ("pkthdr", "ethernet.pkt_too_small", bytes(ETHER)[:10], True),
        ("pkthdr", "udp.hlen_too_small", bytes(ETHER / IP(proto=17) / Raw(b"abc")), True),
        ("pkthdr", "udp.hlen_too_small", bytes(ETHER / IP() / UDP() / Raw(b"abc")), False),
        ("pkthdr", "ipv6.exthdr_useless_fh", ATOMIC, True),
        ("udp", "ipv6.exthdr_useless_fh", ATOMIC, True),
        ("tcp", "ipv6.exthdr_useless_fh", ATOMIC, False),
        ("pkthdr", "tcp.pkt_too_small", bytes(ETHER / IP(proto=17) / Raw(b"abc")), False),
    ],
)
def test_events_of_decoders(head: str, event: str, frame: bytes, told: bool) -> None:
    rules = f'alert {head} any any -> any any (msg:"m"; decode-event:{event}; sid:1;)'
    events = run(rules, [frame, *Talk().exchange(b"x")])
    assert sids(events) == [1] * told
    for alert in of(events, "alert"):
        assert alert["pcap_cnt"] == 1


def test_a_frame_that_is_no_packet_can_be_dropped() -> None:
    rules = "drop pkthdr any any -> any any (decode-event:ethernet.pkt_too_small; sid:1;)"
    events = run(rules, [bytes(ETHER)[:10]], Settings(ips=True))
    assert [event["alert"]["action"] for event in of(events, "alert")] == ["blocked"]


def test_other_conditions_count_too() -> None:
    rule = "alert ip {} any -> any any (decode-event:ipv6.exthdr_useless_fh; ttl:{}; sid:1;)"
    for source, ttl, told in (("fd00::1", 9, [1]), ("fd00::2", 9, []), ("fd00::1", 8, [])):
        assert sids(run(rule.format(source, ttl), [ATOMIC])) == told


@pytest.mark.parametrize(
    "rule",
    [
        "alert pkthdr any any -> any any (decode-event:ipv4.nothing; sid:1;)",
        "alert pkthdr any any -> any any (decode-event; sid:1;)",
        "alert pkthdr any any -> any any (sid:1;)",
    ],
)
def test_what_could_never_match_is_refused(rule: str) -> None:
    assert load_text(rule).refused
