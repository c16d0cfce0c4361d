"""What is told of address translators whose ports have run out."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

import topologies
from controller.compiler.functions.nat import exhausted
from controller.compiler.functions.nat_hairpin import widest_gap
from controller.messages import Nameless
from controller.runtime.commands import Emit
from controller.runtime.exhausted import EVERY, Exhausted
from controller.runtime.verdicts import Punt
from topologies.model.topology import Port

FILE = """
networks: [home, outside]
switches: [s1]
routers: {gw: [home, outside]}
hosts: {pc: {switch: s1, network: home}, server: {switch: s1, network: outside}}
functions: {gate: {kind: nat, switch: s1, network: outside}}
chains: {out: {network: home, functions: [gate]}}
"""
AT = Port(switch="s1", number=1)
HEAD = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.1.0.1")


def test_it_is_told_once_in_a_while_with_what_was_dropped_between() -> None:
    topology = topologies.loads(FILE)
    cookie, *_ = exhausted(topology)
    told = Exhausted(topology)

    def event(body: Any, now: float) -> str | None:
        commands = told.packet(Punt(AT, cookie, bytes(HEAD / body), {}), now)
        assert commands is not None
        return commands[0].event.text(Nameless()) if commands and isinstance(commands[0], Emit) else None

    udp = UDP(sport=5000, dport=53)
    assert event(udp, 5.0) == "gate has no port free for a new connection, which is dropped"
    assert event(udp, 5.1) is None and event(udp, 5.0 + EVERY / 2) is None
    said = event(ICMP(type=8, id=7), 5.0 + EVERY)
    assert said is not None and "no identifier for an echo free" in said and "2 packets since" in said
    assert told.packet(Punt(AT, cookie + 1, b"", {}), 6.0) is None


@pytest.mark.parametrize(
    ("taken", "gap"),
    [
        ([], (1024, 65535)),
        ([80], (1024, 65535)),
        ([8080], (8081, 65535)),
        ([60000], (1024, 59999)),
        ([1024, 65535], (1025, 65534)),
        (range(1024, 65536), (1024, 65535)),
    ],
)
def test_hairpins_get_ports_that_are_not_forwarded(taken: list[int], gap: tuple[int, int]) -> None:
    assert widest_gap(taken, (1024, 65535)) == gap
