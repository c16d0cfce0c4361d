"""Packet-ins of firewalls' rules: what is told, what is answered, and how much of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Ether

from controller.compiler.functions.firewall_verdicts import notices
from controller.flow.builders import NETWORK, OUT_PORT
from controller.messages import encode
from controller.runtime.commands import Emit, Inject, Send
from controller.runtime.endpoints import endpoints
from controller.runtime.verdicts import EVENTS, Punt, Verdicts, registers
from controller.testing import PretendedSwitches
from tests.unit.controller_runtime.small_lab import ring
from topologies.model.attachment import AtPorts
from topologies.model.functions import Firewall, Rule
from topologies.model.kinds import function_of
from topologies.model.topology import Port, Topology

H1, H2 = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"), IP(src="10.0.0.1", dst="10.0.0.2")
SYN = bytes(H1 / H2 / TCP(sport=4000, dport=23, flags="S"))
HOST, TRUNK = Port(switch="s1", number=3), Port(switch="s1", number=1)


def guarded() -> Topology:
    rules = (
        Rule(name="telnet", action="reject", protocol="tcp", destination_ports=((23, 23),), log=True),
        Rule(name="quiet", action="reject", protocol="udp"),
        Rule(name="seen", action="accept", protocol="icmp", log=True, rate=10),
    )
    guard = function_of(
        name="guard",
        kind="firewall",
        engine="openflow",
        attachment=AtPorts(networks=("lan",)),
        firewall=Firewall(rules=rules, default="drop"),
    )
    return ring().model_copy(update={"functions": (guard,)})


@cache
def cookie(rule: str) -> int:
    return next(cookie for cookie, notice in notices(guarded()).items() if notice.rule == rule)


def verdicts() -> Verdicts:
    return Verdicts(guarded())


def events(commands: list[Any] | None) -> list[dict[str, Any]]:
    return [encode(command.event) for command in commands or () if isinstance(command, Emit)]


def test_a_rejected_packet_is_told_and_answered_where_it_came_from() -> None:
    out = verdicts().packet(Punt(HOST, cookie("telnet"), SYN, {}), 1.0)
    assert events(out) == [
        {
            "event": "firewall",
            "function": "guard",
            "rule": "telnet",
            "verdict": "reject",
            "switch": "s1",
            "proto": "tcp",
            "src_ip": "10.0.0.1",
            "src_port": 4000,
            "dest_ip": "10.0.0.2",
            "dest_port": 23,
        }
    ]
    (answer,) = [command for command in out or () if isinstance(command, Send)]
    assert answer.port == HOST
    reset = Ether(answer.frame)
    assert (reset[IP].src, reset[IP].dst, reset[TCP].sport, str(reset[TCP].flags)) == (
        "10.0.0.2",
        "10.0.0.1",
        23,
        "RA",
    )


def test_registers_come_in_pairs() -> None:
    fields = {
        "in_port": 3,
        "xreg0": (7 << 32, 0xFFFFFFFF << 32),
        "xreg2": 5 << 32 | 9,
        "xxreg0": 1,
        "ct_state": 33,
    }
    assert registers(fields) == {"reg0": 7, "reg1": 0, "reg4": 5, "reg5": 9}


def test_what_came_from_another_switch_is_answered_through_the_tables() -> None:
    known = verdicts()
    for some in ({NETWORK: 1}, {OUT_PORT: 3}):
        out = known.packet(Punt(TRUNK, cookie("telnet"), SYN, some), 1.0)
        (answer,) = [command for command in out or () if isinstance(command, Inject)]
        assert (answer.switch, answer.network) == ("s1", 1)
    out = known.packet(Punt(TRUNK, cookie("telnet"), SYN, {}), 1.0)
    assert [type(command) for command in out or ()] == [Emit], "nobody knows where to"


def test_a_rule_that_does_not_log_tells_nothing_and_one_that_accepts_answers_nothing() -> None:
    known = verdicts()
    datagram = bytes(H1 / H2 / UDP(dport=9) / (b"x" * 20))
    out = known.packet(Punt(HOST, cookie("quiet"), datagram, {}), 1.0)
    assert [type(command) for command in out or ()] == [Send]
    ping = bytes(H1 / H2 / ICMP())
    out = known.packet(Punt(HOST, cookie("seen"), ping, {}), 1.0)
    assert [event["icmp_type"] for event in events(out)] == [8]


def test_any_other_cookie_is_somebody_elses() -> None:
    assert verdicts().packet(Punt(HOST, 12345, SYN, {}), 1.0) is None
    assert Verdicts(ring()).packet(Punt(HOST, cookie("telnet"), SYN, {}), 1.0) is None


def test_a_flood_is_counted_and_not_told() -> None:
    known = verdicts()
    told = [
        event for _ in range(1000) for event in events(known.packet(Punt(HOST, cookie("seen"), SYN, {}), 1.0))
    ]
    assert len(told) == EVENTS
    assert known.next_due() == 2.0
    assert known.tick(1.5) == []
    (summary,) = events(known.tick(2.0))
    assert (summary["event"], summary["packets"]) == ("firewall-omitted", 1000 - EVENTS)
    assert known.next_due() is None
    assert events(known.packet(Punt(HOST, cookie("seen"), SYN, {}), 3.0))


def test_answers_to_a_flood_are_limited_by_port() -> None:
    known = verdicts()

    def answers(port: Port) -> int:
        out = [known.packet(Punt(port, cookie("telnet"), SYN, {}), 1.0) for _ in range(1000)]
        return sum(isinstance(command, Send) for commands in out for command in commands or ())

    assert answers(HOST) == 200
    assert answers(Port(switch="s2", number=3)) == 200


def test_what_old_rules_sent_is_known_for_one_more_intent() -> None:
    known, was = verdicts(), cookie("telnet")
    known.replace(ring())
    assert known.packet(Punt(HOST, was, SYN, {}), 1.0) is not None
    known.replace(ring())
    assert known.packet(Punt(HOST, was, SYN, {}), 1.0) is None


def test_in_the_core_they_come_before_learning() -> None:
    lab = PretendedSwitches(guarded())
    for number in range(1, 5):
        lab.connect(f"s{number}")
    lab.run(1)
    lab.take(lab.core.packet(1, 3, 2, SYN, lab.now, cookie("telnet"), {NETWORK: 1}))
    lab.run()
    assert [event["rule"] for event in lab.named("firewall")] == ["telnet"]
    assert [send.port for send in lab.sent] == [HOST]
    assert lab.named("learned") == []
    lab.check()
    assert any(lab.meters.values()), "a rate is a meter"


class TestEndpoints:
    def test_past_extension_headers_and_in_fragments(self) -> None:
        six = IPv6(src="2001:db8::1", dst="2001:db8::2")
        assert endpoints(bytes(H1 / six / IPv6ExtHdrHopByHop() / TCP(sport=1, dport=2))) == {
            "proto": "tcp", "src_ip": "2001:db8::1", "dest_ip": "2001:db8::2", "src_port": 1, "dest_port": 2,
        }  # fmt: skip
        later = endpoints(bytes(H1 / six / IPv6ExtHdrFragment(nh=17, offset=5) / b"12345678"))
        assert later == {"proto": "udp", "src_ip": "2001:db8::1", "dest_ip": "2001:db8::2"}
        assert endpoints(bytes(H1 / six / ICMPv6EchoRequest()))["icmp_type"] == 128
        assert endpoints(bytes(H1 / IP(src="10.0.0.1", dst="10.0.0.2", frag=3, proto=6) / b"12345678")) == {
            "proto": "tcp", "src_ip": "10.0.0.1", "dest_ip": "10.0.0.2",
        }  # fmt: skip
        assert endpoints(bytes(H1 / ARP())) == {}

    @given(st.binary(max_size=120), st.sampled_from([b"\x08\x00\x45", b"\x86\xdd\x60", b""]))
    def test_no_octets_are_too_odd(self, data: bytes, kind: bytes) -> None:
        assert isinstance(endpoints(bytes(12) + kind + data), dict)
        verdicts().packet(Punt(HOST, cookie("telnet"), bytes(12) + kind + data, {}), 1.0)
