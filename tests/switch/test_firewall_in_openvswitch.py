"""The table of a firewall's cases, run against the flows in a real Open vSwitch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.compiler.functions.firewall_verdicts import notices
from controller.runtime.refusals import refusal
from tests.cases.firewall_cases import CASES, UNTRACKED, Case, Change, Step, rule, rules
from tests.cases.frames import datagrams, refuses, tcp, turned, udp
from tests.switch.ovs import Vswitch
from tests.switch.traffic import MARKER, Bridge
from tests.unit.controller.made_service import chain_lab, surrounded
from topologies.model.functions import Firewall

ENGINE = "openflow"
PORTS = {"there": 1, "back": 2}


@pytest.fixture
def bridge(vswitch: Vswitch, tmp_path: Path) -> Iterator[Bridge]:
    opened = Bridge(vswitch, "fw", (1, 2), tmp_path)
    opened.forget()
    yield opened
    opened.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_has_its_verdicts(bridge: Bridge, case: Case) -> None:
    first = case.steps[0]
    tracked = case.name in UNTRACKED and isinstance(first, Step) and bridge.tracks_ports(first.frames[0])
    topology = chain_lab("firewall", firewall=case.firewall)
    bridge.program(surrounded(topology, MARKER))
    for number, step in enumerate(case.steps):
        if isinstance(step, Change):
            topology = chain_lab("firewall", firewall=step.firewall)
            bridge.program(surrounded(topology, MARKER))
            continue
        here, far = PORTS[step.way], PORTS[turned(step.way)]
        out = bridge.send(here, step.frames, far)
        expected = step.verdict if tracked else step.expected(ENGINE)
        told = bridge.packet_ins(1 if expected == "reject" else 0)
        came = datagrams(out[far])
        passed = came == datagrams(step.frames) and bool(came)
        known = notices(topology)
        if passed:
            got = "accept"
        elif not came and told and all(known[packet.cookie].action == "reject" for packet in told):
            answers = [refusal(packet.data) for packet in told]
            assert answers[0] is not None and refuses(answers[0], step.frames[0])
            got = "reject"
        else:
            got = "drop" if not came else f"other frames: {came}"
        assert (got, out[here]) == (expected, []), f"step {number + 1}: {step.way}"


def test_the_rule_is_named_that_tells(bridge: Bridge) -> None:
    firewall: Firewall = rules(
        rule("accept", name="web", protocol="tcp", destination_ports=[80], log=True),
        rule("drop", name="dns", protocol="udp", log=True),
        default="reject",
    )
    topology = chain_lab("firewall", firewall=firewall)
    bridge.program(surrounded(topology, MARKER))
    known = notices(topology)
    heard = []
    for frame, count in ((tcp("there", "S"), 1), (tcp("there", "A", seq=1), 0), (udp("there"), 1),
                         (tcp("there", "S", 81), 1)):  # fmt: skip
        bridge.send(1, [frame], 2)
        heard += [known[packet.cookie] for packet in bridge.packet_ins(count)]
    assert [(notice.function, notice.rule, notice.action, notice.logged) for notice in heard] == [
        ("f", "web", "accept", True),
        ("f", "dns", "drop", True),
        ("f", None, "reject", False),
    ]


def test_no_more_new_connections_than_the_rate(bridge: Bridge) -> None:
    limited = rules(rule("accept", name="web", protocol="tcp", destination_ports=[80], rate=10))
    bridge.program(surrounded(chain_lab("firewall", firewall=limited), MARKER))
    came = bridge.send(1, [tcp("there", "S", client=1000 + n) for n in range(80)], 2)[2]
    assert 1 <= len(came) < 40, "a burst, and what a moment lets pass"
    (known,) = came[:1]
    # what belongs to an accepted connection is not counted
    client = int.from_bytes(known[34:36], "big")
    more = [tcp("there", "A", seq=1, client=client) for n in range(80)]
    assert len(bridge.send(1, more, 2)[2]) == 80
