"""The parts of verbs that need no lab: messages, comparisons, retries."""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

import topologies
from lab.checks import dns_messages
from lab.checks.diagnosis import Ailing
from lab.checks.dns_messages import Answer, BadMessage
from lab.checks.failing import survives_act
from lab.checks.frames import decoded, unwrapped
from lab.checks.judgement import Judgement, finding
from lab.checks.measuring import uneven, within
from lab.checks.passing import passed
from lab.checks.probes import Outcome, Sighting
from lab.checks.retrying import Impossible, until_right
from lab.checks.room import Cancelled, Visit
from lab.checks.sending import matches
from lab.checks.watching import holds
from lab.checks.ways import Ways
from lab.packets import build
from lab.packets.expression import parse
from topologies.model.checks import Check
from topologies.model.checks_of_ways import Survives
from wire.ip import packet
from wire.protocol import UDP

LAB = "switches: [s1]\nhosts: {h1: s1, h2: s1}\nchecks:\n"


def visit_of(room: Any = None, **more: Any) -> Visit:
    topology = topologies.loads(LAB + "- isolated: [h1, h2]\n")
    return Visit(room, Ways(topology), lambda: False, **more)


def check_of(text: str) -> Any:
    return topologies.loads(LAB + text).checks[0]


# DNS


def reply(flags: int, records: bytes, number: int, identifier: int = 7) -> bytes:
    asked = dns_messages.query(7, "www.example.org", "A")[12:]
    return struct.pack("!HHHHHH", identifier, flags, 1, number, 0, 0) + asked + records


def test_dns_answers_are_read() -> None:
    a = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes((10, 0, 0, 9))
    alias = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 60, 4) + b"\x01b\xc0\x10"
    text = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, 6) + b"\x02ab\x02cd"
    answer = dns_messages.read(reply(0x8180, a + alias + text, 3), 7)
    assert answer == Answer("NOERROR", (("A", "10.0.0.9"), ("CNAME", "b.example.org"), ("TXT", "abcd")))
    assert dns_messages.read(reply(0x8183, b"", 0), 7) == Answer("NXDOMAIN", ())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\7\x81\x80",
        reply(0x8180, b"", 1),
        reply(0x8180, b"\xc0\x21" + bytes(10), 1),  # a name that is itself
        reply(0x0100, b"", 0),
        reply(0x8180, b"", 0, 8),
        reply(0x8180, b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 400), 1),
    ],
)
def test_bad_dns_messages_are_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        dns_messages.read(data, 7)


# Retries


def test_what_is_right_later_is_waited_for_and_what_is_impossible_is_not() -> None:
    tries: Counter[str] = Counter()

    def attempt(item: str, _seconds: float) -> str:
        tries[item] += 1
        if item == "never":
            raise Impossible("no way")
        return "" if tries[item] > 2 or item == "now" else "not yet"

    check = check_of("- isolated: [h1, h2]\n")
    judgement = until_right(check, visit_of(), ["now", "later", "never"], str, attempt)
    assert (judgement.verdict, judgement.tried) == ("error", 3)
    assert [told["seen"] for told in judgement.findings] == ["it could not be tried: no way"]
    assert tries == {"now": 1, "later": 3, "never": 1}


def test_many_that_hang_end_when_the_time_is_over() -> None:
    check = check_of("- {isolated: [h1, h2], within: 100ms}\n")
    began = time.monotonic()

    def attempt(_item: int, seconds: float) -> str:
        threading.Event().wait(seconds)
        return "it hangs"

    judgement = until_right(check, visit_of(), list(range(500)), str, attempt)
    assert len(judgement.findings) == 500 and judgement.verdict == "failed"
    assert judgement.findings[-1]["seen"] == "it was not tried: the time was over"
    assert time.monotonic() - began < 60


def test_a_cancelled_retry_ends() -> None:
    cancelled = threading.Event()
    visit = Visit(None, visit_of().ways, cancelled.is_set)  # type: ignore[arg-type]
    cancelled.set()
    with pytest.raises(Cancelled):
        until_right(check_of("- isolated: [h1, h2]\n"), visit, ["x"], str, lambda item, seconds: "no")


# What is seen


def test_the_functions_that_a_packet_passed_in_the_order_of_time() -> None:
    outcome = Outcome()
    outcome.sightings = [
        Sighting(2.0, "ids.1:in", False),
        Sighting(1.0, "fw.2:in", False),
        Sighting(3.0, "ids.1:out", True),
        Sighting(4.0, "fw.2:out", True),
        Sighting(4.5, "fw.2:out", True),
        Sighting(5.0, "switch s1", False),
    ]
    assert passed(outcome, False) == ["fw", "ids"]
    assert passed(outcome, True) == ["ids", "fw"]


def test_frames_in_tunnels_are_unwrapped() -> None:
    inner = b"\2" * 12 + b"\x08\x00" + packet(bytes(4), bytes(4), UDP, bytes(12))
    vxlan = b"\x08\0\0\0" + (200).to_bytes(3, "big") + b"\0"
    datagram = struct.pack("!HHHH", 40000, 4789, 16 + len(inner), 0) + vxlan + inner
    outer = bytes(12) + b"\x08\x00" + packet(bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), UDP, datagram)
    assert unwrapped(outer) == (inner, 200, ("10.0.0.1", "10.0.0.2"))
    assert unwrapped(inner) == (inner, None, None)
    assert "UDP" in decoded(outer)


def test_shares_of_backends() -> None:
    lab = """switches: [s1]
hosts: {h1: s1, web1: s1, web2: s1}
functions:
  lb: {kind: load-balancer, switch: s1, ipv4: 10.0.0.100, port: 80, backends: [web1, {host: web2, weight: 3}]}
chains: {c: {source: h1, destination: lb, functions: [lb]}}
checks:
- balanced: {from: h1, to: lb, connections: 100}
- balanced: {from: h1, to: lb, connections: 100, sticky: true}
"""
    even, sticky = topologies.loads(lab).checks
    assert not uneven(even, {"h1": Counter(web1=25, web2=75)}, 100)  # type: ignore[arg-type]
    assert len(uneven(even, {"h1": Counter(web1=50, web2=50)}, 100)) == 2  # type: ignore[arg-type]
    (lost,) = uneven(even, {"h1": Counter(web1=25, web2=25)}, 100)  # type: ignore[arg-type]
    assert lost["seen"] == "50 of 100 connections arrived at a backend: web1 25, web2 25"
    assert not uneven(sticky, {"h1": Counter(web1=100)}, 100)  # type: ignore[arg-type]
    assert uneven(sticky, {"h1": Counter(web1=99, web2=1)}, 100)  # type: ignore[arg-type]


def test_bounds() -> None:
    assert within(5, None, None) and within(5, 5, 5)
    assert not within(5, 6, None) and not within(5, None, 4)


def test_flows_are_compared_by_whole_fields() -> None:
    flow: Any = {"match": "in_port=3,eth_dst=02:00:00:00:00:01", "actions": "output:12"}
    held = check_of("- flow: {switch: s1, table: FORWARD, match: in_port=3, actions: output:12}\n")
    assert holds(held, flow)
    assert not holds(check_of("- flow: {switch: s1, table: FORWARD, actions: output:1}\n"), flow)
    assert not holds(check_of("- flow: {switch: s1, table: FORWARD, match: [in_port=3, ip]}\n"), flow)


def test_packets_are_compared_by_the_fields_that_are_named() -> None:
    from scapy.layers.l2 import Ether

    sent = parse('IP(dst="10.0.0.2")/UDP(dport=99)/Raw(b"hello")')
    defaults = build.Defaults("02:00:00:00:00:01", "02:00:00:00:00:02", "10.0.0.1", None, None, None)
    seen = Ether(build.packet(sent, defaults))
    for text, fits in (
        ("IP()/UDP()", True),
        ('IP(src="10.0.0.1", ttl=64)', True),
        ('UDP(dport=99)/Raw(b"hello")', True),
        ('Ether(src="02:00:00:00:00:01")/IP()', True),
        ("UDP(dport=98)", False),
        ("TCP()", False),
        ('Raw(b"hell")', False),
        ("UDP()/IP()", False),
    ):
        assert matches(parse(text), seen) is fits, text


# Failures


class Breakable:
    """A room in which something is broken and repaired."""

    def __init__(self, refuses: bool = False, cut: str = "") -> None:
        self.did: list[str] = []
        self.refuses, self.cut = refuses, cut

    def ailing(self) -> Ailing:
        return Ailing(links=frozenset((self.cut,)))

    def break_(self, action: str, target: str) -> None:
        self.did.append(f"break {action} {target}")
        if self.refuses:
            raise OSError("no")

    def repair(self, action: str, target: str) -> None:
        self.did.append(f"repair {action} {target}")


SURVIVES = "- survives: {cut: h1-s1, check: {command: {host: h1, run: 'true'}}}\n"


@pytest.mark.parametrize(
    ("verdicts", "judged", "words", "broken"),
    [
        (["passed"] * 3, "passed", "", True),
        (["failed"], "failed", "before anything was broken", False),
        (["passed", "failed"], "failed", "after the cut of h1-s1", True),
        (["passed", "passed", "error"], "error", "after it was repaired", True),
    ],
)
def test_what_is_broken_is_repaired_in_any_case(
    verdicts: list[Any], judged: str, words: str, broken: bool
) -> None:
    room, ahead = Breakable(), iter(verdicts)

    def judge(check: Check) -> Judgement:
        verdict = next(ahead)
        return Judgement(verdict, 1, () if verdict == "passed" else (finding("x", "y"),))

    check = check_of(SURVIVES)
    assert isinstance(check, Survives)
    judgement = survives_act(check, visit_of(room, judge=judge))
    assert judgement.verdict == judged
    assert not words or judgement.findings[0]["what"].startswith(words)
    assert room.did == (["break link h1-s1", "repair link h1-s1"] if broken else [])


def test_it_is_repaired_when_the_check_breaks_and_when_the_run_is_cancelled() -> None:
    for error in (ValueError("x"), Cancelled()):
        room, ahead = Breakable(), iter([Judgement("passed"), error])

        def judge(check: Check, ahead: Any = ahead) -> Judgement:
            told = next(ahead)
            if isinstance(told, Exception):
                raise told
            assert isinstance(told, Judgement)
            return told

        with pytest.raises(type(error)):
            survives_act(check_of(SURVIVES), visit_of(room, judge=judge))
        assert room.did[-1] == "repair link h1-s1"


def test_what_can_not_be_broken_is_repaired_all_the_same() -> None:
    room = Breakable(refuses=True)
    with pytest.raises(OSError, match="no"):
        survives_act(check_of(SURVIVES), visit_of(room, judge=lambda check: Judgement("passed")))
    assert room.did == ["break link h1-s1", "repair link h1-s1"]


def test_what_somebody_has_cut_stays_cut() -> None:
    room = Breakable(cut="h1-s1")
    judgement = survives_act(check_of(SURVIVES), visit_of(room, judge=lambda check: Judgement("passed")))
    assert judgement.verdict == "error" and room.did == []
    assert judgement.findings[0]["seen"] == "h1-s1 is cut already, and would be repaired"


def test_nothing_is_judged_outside_of_a_run() -> None:
    with pytest.raises(TypeError):
        visit_of(SimpleNamespace()).judge(check_of(SURVIVES))
