"""Checks by frames against a network of socket pairs: what they say is what happened there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

import topologies
from lab.checks import frames
from lab.checks.frames import NOBODY, Seen
from lab.checks.loop import Loop
from lab.checks.matching import TooSlow, found
from lab.checks.reachability import known_ports, plan
from lab.checks.ways import Ways
from lab.probe.frames import Station, station
from lab.probe.loop import Pace
from tests.unit.lab.checked_network import Network, network, run
from topologies import shipped
from wire.ip import read
from wire.protocol import TCP
from wire.refusal import refusal


def tcp_to(port: int, verdict: str) -> object:
    def rule(source: str, target: str, frame: bytes) -> str:
        packet = read(frame[14:])
        matches = packet is not None and packet.protocol == TCP and packet.ports is not None
        return (
            verdict if matches and packet is not None and packet.ports and packet.ports[1] == port else "pass"
        )

    return rule


def verdicts(net: Network) -> list[str]:
    return [judgement.verdict for judgement in run(net)]


def test_what_an_ideal_network_does() -> None:
    checks = """
- reachable: {from: all, to: all}
- reachable: {from: h1, to: h2, tcp: 80}
- reachable: {from: h1, to: h2, tcp: 81}
- reachable: {from: h1, to: h2, udp: 53}
- tcp: {from: h1, to: h2, port: 80}
- tcp: {from: h1, to: h2, port: 81, result: refused}
"""
    with network(checks) as net:
        net.listening.add(("h2", 80))
        judgements = run(net)
    assert [(j.verdict, j.tried) for j in judgements] == [("passed", 12)] + [("passed", 2)] * 5


@pytest.mark.parametrize(
    ("verdict", "held"),
    [
        ("drop", ["passed", "failed", "passed", "failed", "passed", "failed"]),
        ("reject", ["passed", "passed", "failed", "passed", "failed", "failed"]),
        ("pass", ["failed"] * 5 + ["passed"]),
    ],
)
def test_the_ways_to_stop_a_connection_are_told_apart(verdict: str, held: list[str]) -> None:
    """In a row: blocked, with a reset, without an answer, filtered, timeout, connects."""
    checks = """
- {blocked: {from: h1, to: h2, tcp: 22}, within: 700ms}
- {blocked: {from: h1, to: h2, tcp: 22, how: reset}, within: 700ms}
- {blocked: {from: h1, to: h2, tcp: 22, how: drop}, within: 700ms}
- {tcp: {from: h1, to: h2, port: 22, result: filtered}, within: 700ms}
- {tcp: {from: h1, to: h2, port: 22, result: timeout}, within: 700ms}
- {tcp: {from: h1, to: h2, port: 22}, within: 700ms}
"""
    with network(checks) as net:
        net.listening.add(("h2", 22))
        net.rule = tcp_to(22, verdict)  # type: ignore[assignment]
        assert verdicts(net) == held


def test_a_host_that_refuses_is_not_blocked() -> None:
    with network("- {blocked: {from: h1, to: h2, tcp: 22}, within: 500ms}\n") as net:
        (judgement,) = run(net)
    assert judgement.verdict == "failed"
    assert "h2 itself refused the connection" in judgement.findings[0]["seen"]
    assert "[SYN]" in judgement.findings[0]["packets"][0]


def test_icmp_errors_are_told_from_silence() -> None:
    checks = "- {blocked: {from: h1, to: h2, how: icmp}, within: 700ms}\n"
    checks += "- {blocked: {from: h1, to: h2, udp: 53, how: icmp}, within: 700ms}\n"
    with network(checks) as net:
        net.rule = lambda source, target, frame: "reject" if target == "h2" and source == "h1" else "pass"
        assert verdicts(net) == ["passed", "passed"]
        net.rule = lambda source, target, frame: "drop" if target == "h2" and source == "h1" else "pass"
    with network(checks) as net:
        net.rule = lambda source, target, frame: "drop" if target == "h2" and source == "h1" else "pass"
        assert verdicts(net) == ["failed", "failed"]


@pytest.mark.parametrize("dead", ["h1", "h2"])
def test_the_silence_of_a_dead_host_proves_nothing(dead: str) -> None:
    """Its port answers nothing, not even to ARP."""
    with network("- {blocked: {from: h1, to: h2}, within: 1s}\n- {isolated: [h1, h2], within: 1s}\n") as net:
        net.dead.add(dead)
        judgements = run(net)
    assert [judgement.verdict for judgement in judgements] == ["error", "error"]
    assert "proves nothing" in judgements[0].findings[0]["seen"]


def test_what_is_delivered_to_another_host_is_not_isolated() -> None:
    with network(
        "- {isolated: [h1, h2], within: 500ms}\n- {reachable: {from: h1, to: h2}, within: 500ms}\n"
    ) as net:
        mac = bytes.fromhex(net.topology.hosts[2].mac.replace(":", ""))
        deliver = net.give

        def astray(name: str, frame: bytes) -> None:
            deliver("h3" if name == "h2" and frame[12:14] != b"\x08\x06" else name, frame)

        net.give = astray  # type: ignore[method-assign]
        judgements = run(net)
    assert mac
    assert [judgement.verdict for judgement in judgements] == ["failed", "failed"]


def nothing_between_h1_and_h2(source: str, target: str, frame: bytes) -> str:
    return "drop" if {source, target} == {"h1", "h2"} else "pass"


def test_hosts_between_which_nothing_passes_are_isolated() -> None:
    with network("- {isolated: [h1, h2], within: 500ms}\n") as net:
        net.rule = nothing_between_h1_and_h2
        assert verdicts(net) == ["passed"]


@pytest.mark.parametrize(
    ("lets", "word"),
    [
        (lambda frame: frame[12:14] == b"\x08\x06", "ARP broadcast"),
        (lambda frame: frame[:6] == b"\xff" * 6 and frame[12:14] == b"\x08\x00", "broadcast"),
        (lambda frame: frame[:2] == b"\x33\x33" and frame[54] == 128, "broadcast"),
        (lambda frame: frame[:6] == NOBODY, "unknown MAC"),
        (
            lambda frame: frame[12:14] == b"\x08\x00" and frame[23] == 6 and frame[36:38] == b"\x00\x50",
            "TCP 80",
        ),
        (lambda frame: frame[12:14] == b"\x08\x00" and frame[23] == 17, "UDP 53"),
    ],
)
def test_what_gets_through_in_another_way_than_a_ping_is_not_isolated(
    lets: Callable[[bytes], bool], word: str
) -> None:
    with network("- {isolated: [h1, h2], within: 500ms}\n") as net:
        net.rule = nothing_between_h1_and_h2
        ordinary = net.switch

        def leaky(src: str, frame: bytes) -> None:
            if src == "h1" and lets(frame):
                net.give("h2", frame)
            ordinary(src, frame)

        net.switch = leaky  # type: ignore[method-assign]
        (judgement,) = run(net)
    assert judgement.verdict == "failed" and judgement.findings
    assert all(f"h1 -> h2, {word}" in one["what"] for one in judgement.findings)
    assert "arrived at h2" in judgement.findings[0]["seen"]
    assert judgement.findings[0]["packets"]


def test_isolated_tries_the_ports_that_the_file_names() -> None:
    lab = topologies.load(shipped.path("firewall"))
    assert known_ports(lab, "tcp") == [80, 5432, 8000] and known_ports(lab, "udp") == [53]


def test_isolation_of_many_sends_few_connections() -> None:
    names = [f"h{number}" for number in range(1, 81)]
    file = {
        "switches": ["s1"],
        "hosts": dict.fromkeys(names, "s1"),
        "groups": {"a": names[:40], "b": names[40:]},
    }
    lab = topologies.loads(json.dumps({**file, "checks": [{"isolated": ["a", "b"]}]}).encode(), "x.yaml")
    probes = plan(lab.checks[0], Ways(lab))
    pings = [probe for probe in probes if (probe.protocol, probe.sort) == ("icmp", "addressed")]
    assert len(pings) == 2 * 40 * 40 * 2
    assert len(probes) - len(pings) == 2 * 80 * 2 + 80 * 5  # a port of each protocol, each family; and strays


def test_a_network_that_converges_late_is_waited_for() -> None:
    with network("- reachable: {from: h1, to: h2}\n- blocked: {from: h2, to: h3}\n") as net:
        began = time.monotonic()

        def rule(source: str, target: str, frame: bytes) -> str:
            late = time.monotonic() - began > 1.0
            if (source, target) == ("h1", "h2"):
                return "pass" if late else "drop"
            return "drop" if late and (source, target) == ("h2", "h3") else "pass"

        net.rule = rule
        assert verdicts(net) == ["passed", "passed"]


def test_a_host_without_an_interface_is_an_error_and_takes_no_other_check_with_it() -> None:
    with network("- reachable: {from: h1, to: h2}\n- reachable: {from: h1, to: h3}\n") as net:
        opens = net.open

        def open_at(name: str) -> object:
            if name == "h3":
                raise OSError(19, "No such device")
            return opens(name)

        net.open = open_at  # type: ignore[assignment, method-assign]
        judgements = run(net)
    assert [judgement.verdict for judgement in judgements] == ["passed", "error"]
    assert "h3 has no interface: No such device" in judgements[1].findings[0]["seen"]


def test_many_pairs_do_not_need_the_kernels_neighbour_tables() -> None:
    """The requests of more than ``STACK_LIMIT`` pairs are answered in the hosts' place."""
    hosts = ", ".join(f"h{number}: s1" for number in range(1, 24))
    with network("- reachable: {from: all, to: all, family: ipv4}\n", hosts) as net:
        net.silent = {host.name for host in net.topology.hosts}
        (judgement,) = run(net)
    assert (judgement.verdict, judgement.tried) == ("passed", 23 * 22)


def test_silent_frames_do_not_wait_for_each_other_behind_a_slow_start() -> None:
    """The first packets of a lab are slow, so few may be on the way; what nobody answers changes that."""
    with network("- {blocked: {from: h1, to: [h2, h3]}, within: 1s}\n") as net:
        net.rule = lambda source, target, frame: "drop"
        ways, pace = Ways(net.topology), Pace(window=16, latency=0.05)
        probes = plan(net.topology.checks[0], ways) * 10
        outcomes = Loop(ways, net.open, pace=pace).run(probes)
    assert all(outcome.silent for outcome in outcomes)
    assert pace.window == 256


def ends() -> tuple[Station, Station]:
    from ipaddress import IPv4Address, IPv6Address

    a = station("a", "02:00:00:00:00:01", IPv4Address("10.0.0.1"), IPv6Address("fd00::1"))
    b = station("b", "02:00:00:00:00:02", IPv4Address("10.0.0.2"), IPv6Address("fd00::2"))
    return a, b


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
def test_requests_answers_and_refusals_are_recognised(family: int, protocol: str) -> None:
    a, b = (frames.with_family(end, family) for end in ends())
    frame = frames.request(a, b, protocol, 80, 0xFFFFFFF0, 77)
    assert frames.recognise(frame, 0xFFFFFFF0, 78) == Seen(77, "request")
    assert frames.recognise(frame, 0xFFFFFFF0, 77) is None
    answer = frames.answer_to(frame, 0xFFFFFFF0, 77)
    assert answer is not None and answer[:12] == frame[6:12] + frame[:6]
    kind = "reset" if protocol == "tcp" else "reply"
    assert frames.recognise(answer, 0xFFFFFFF0, 78) == Seen(77, kind)  # type: ignore[arg-type]
    refused = refusal(frame[:14], frame[14:])
    assert refused is not None
    kind = "reset" if protocol == "tcp" else "icmp"
    assert frames.recognise(refused, 0xFFFFFFF0, 78) == Seen(77, kind)  # type: ignore[arg-type]
    assert "10.0.0.1" in frames.decoded(frame) or "fd00::1" in frames.decoded(frame)


def test_an_icmp_error_may_quote_eight_octets_only() -> None:
    a, b = (frames.with_family(end, 4) for end in ends())
    for protocol, seen in (("tcp", Seen(5, "icmp")), ("udp", Seen(-1, "icmp", frames.source_port(5)))):
        frame = frames.request(a, b, protocol, 80, 9, 5)
        from wire import icmp

        error = icmp.error((3, 13), b.ip4 or b"", a.ip4 or b"", frame[14 : 14 + 28])
        assert frames.recognise(frame[6:12] + frame[:6] + frame[12:14] + error, 9, 6) == seen


def test_other_traffic_is_no_probe() -> None:
    for junk in (
        b"",
        b"\0" * 60,
        bytes(12) + b"\x08\x00" + bytes(range(60)),
        bytes(12) + b"\x86\xdd" + b"\x60" * 80,
    ):
        assert frames.recognise(junk, 0, 10) is None
        assert frames.decoded(junk + bytes(20))


def test_patterns_are_searched_with_a_limit_of_time() -> None:
    assert found("^web[12]$", "hello\nweb2\n")
    assert not found("^web$", "web2")
    with pytest.raises(TooSlow):
        found("(a+)+$", "a" * 60 + "b")
