"""``sdnlab trace`` in running labs: what is seen is what is predicted, and a broken switch is named."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import TOPOLOGIES, running
from tests.waiting import until

SOCKETS = ("cat", "/proc/net/packet")


def traced(line: CommandLine, *words: str, code: int | None = 0) -> Any:
    """The answer as JSON."""
    return json.loads(line("trace", *words, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def firewall() -> Iterator[CommandLine]:
    with running(TOPOLOGIES / "firewall.yaml") as line:
        yield line


@pytest.fixture(scope="module")
def two() -> Iterator[CommandLine]:
    with running(TOPOLOGIES / "two-domains.yaml") as line:
        yield line


def test_a_packet_through_a_function_is_seen_everywhere(firewall: CommandLine) -> None:
    state = traced(firewall, "h1", "h2")
    assert state["observed"] and state["reached"] and state["differences"] == []
    for way, names in (("way", ["s1", "s2", "s2"]), ("back", ["s2", "s2", "s1"])):
        assert [(step["switch"], step["seen"]) for step in state[way]["steps"]] == [
            (name, "yes") for name in names
        ]
    assert (state["way"]["delivered"], state["back"]["delivered"]) == (["h2"], ["h1"])


def test_a_function_that_drops_is_named(firewall: CommandLine) -> None:
    state = traced(firewall, "h1", "h2", "--tcp", "22", code=1)
    assert state["differences"] == [] and not state["reached"] and state["back"] is None
    (stop,) = state["way"]["stops"]
    assert stop["why"] == "edge.1 stops it: default drop of firewall edge" and stop["place"] is not None
    assert [step["seen"] for step in state["way"]["steps"]] == ["yes", "yes", "no"]


def test_flows_with_connection_tracking_are_those_that_are_predicted(firewall: CommandLine) -> None:
    state = traced(firewall, "app", "db", "--tcp", "5432")
    assert state["differences"] == [] and state["reached"]
    state = traced(firewall, "db", "app", code=1)
    assert state["differences"] == [] and "default: reject" in state["way"]["stops"][0]["why"]
    assert "db got an answer: ICMP destination unreachable 10.1.0.1 -> 10.1.0.2" in state["remarks"]


def test_a_described_packet(firewall: CommandLine) -> None:
    state = traced(firewall, "h1", "h2", "--packet", 'IP(ttl=9)/ICMP(id=5)/Raw(b"hello")')
    assert state["reached"] and state["differences"] == []
    failed = traced(firewall, "h1", "h2", "--packet", "IP(ttl=open('x'))", code=1)
    assert "column 8" in failed["failed"]


def test_a_missing_flow_is_named_first(firewall: CommandLine) -> None:
    """Whoever deletes a flow by hand is told which one is missing, with its line of the file."""
    flows = [
        flow
        for flow in firewall.json("flows", "s2")
        if flow["why"] == "to db on s2, if its firewall admits it"
    ]
    cookies = [flow["cookie"] for flow in flows]
    assert cookies
    for cookie in cookies:
        firewall(
            "exec", "s2", "--", "ovs-ofctl", "-O", "OpenFlow15", "del-flows", "s2", f"cookie={cookie}/-1"
        )
    try:
        state = traced(firewall, "app", "db", code=1)
        (difference,) = state["differences"]
        assert difference["where"] == "s2"
        assert 'should match its flow "to db on s2, if its firewall admits it"' in difference["text"]
        assert difference["place"]["line"] == flows[0]["place"]["line"]
        text = firewall("trace", "app", "db", code=1).stdout
        assert text.startswith('! s2: table FORWARD should match its flow "to db on s2')
    finally:
        firewall("controller", "restart")
        until(lambda: traced(firewall, "app", "db", code=None)["reached"], "the controller mends the flow")


def test_a_packet_in_a_tunnel(two: CommandLine) -> None:
    state = traced(two, "blue1", "blue3")
    assert state["reached"] and state["differences"] == []
    assert [step["seen"] for step in state["way"]["steps"]] == ["yes"] * 4
    (tunnel,) = (
        copy for step in state["way"]["steps"] for copy in step["copies"] if copy["kind"] == "tunnel"
    )
    assert (tunnel["vni"], tunnel["vteps"]) == (100, ["198.19.0.1", "198.19.0.2"])
    assert any(remark.startswith("seen on underlay link d1-r1: VXLAN 100") for remark in state["remarks"])


def test_a_cut_underlay_link_is_noticed(two: CommandLine) -> None:
    two("link", "down", "d1", "r1")
    try:
        state = traced(two, "blue1", "blue3", code=1)
        assert not state["reached"]
        assert any("did not arrive" in difference["text"] for difference in state["differences"])
    finally:
        two("link", "up", "d1", "r1")
        until(lambda: traced(two, "blue1", "blue3", code=None)["reached"], "the tunnel carries again")


def test_a_trace_that_is_killed_leaves_nothing(two: CommandLine) -> None:
    """Neither devices nor sockets: /proc/net/packet lists those that see frames (packet(7))."""

    def left() -> tuple[int, int]:
        devices, sockets = (
            two("exec", "s1", "--", *words).stdout for words in (("ip", "-o", "link"), SOCKETS)
        )
        return devices.count("\n"), sockets.count("\n")

    before = left()
    packet = "Ether(dst='02:00:00:00:00:99')/IP(dst='10.0.0.99')/UDP()"
    one = two.start("trace", "blue1", "blue3", "--packet", packet)
    one.send_signal(signal.SIGKILL)
    one.communicate()
    assert traced(two, "blue1", "blue3")["reached"]
    until(lambda: left() == before, "all is as it was")


def test_the_path_that_a_packet_took_of_several_is_known() -> None:
    with running(TOPOLOGIES / "leaf-spine.yaml") as line:
        before = through_spines(line)
        state = traced(line, "h1", "h8", "--tcp", "4711", "--no-back")
        chosen = next(note for note in state["way"]["steps"][0]["notes"] if note["kind"] == "group")
        assert chosen["ways"] == 1 and ", which it took of 4 ways" in chosen["text"]
        spine = state["way"]["steps"][1]["switch"]
        # the spine itself has counted it, and no other one
        until(lambda: through_spines(line)[spine] > before[spine], "the spine's counters show the packet")
        assert [name for name, count in through_spines(line).items() if count > before[name]] == [spine]
        again = traced(line, "h1", "h8", "--tcp", "4711", "--no-back")
        assert again["way"]["steps"][1]["switch"] == spine


def through_spines(line: CommandLine) -> dict[str, int]:
    """Spine -> packets that it has sent on to h8, as its flows count them."""
    return {
        spine: sum(
            flow["packets"] or 0
            for flow in line.json("flows", spine)
            if flow["table"].upper() == "FORWARD" and flow["why"] == "to h8 on leaf4"
        )
        for spine in ("spine1", "spine2", "spine3", "spine4")
    }
