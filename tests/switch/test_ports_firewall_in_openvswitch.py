"""The table of a firewall's cases at the hosts' ports, as the compiler makes tables FIREWALL and ADMIT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.compiler.compile import compile_topology
from controller.compiler.functions.firewall import answering
from controller.compiler.functions.firewall_verdicts import notices
from controller.flow.builders import NETWORK, OUT_PORT, flow
from controller.flow.tables import CONTROLLER, Field, Output, SwitchTables, Table
from controller.openflow import messages
from controller.runtime.refusals import refusal
from tests.cases.firewall_cases import CASES, UNTRACKED, Case, Change, Step, rules
from tests.cases.frames import datagrams, refuses, tcp, turned, udp
from tests.switch.ovs import Vswitch
from tests.switch.traffic import MARKER, Bridge
from tests.unit.controller.made_service import chain_lab, host
from topologies.model.attachment import AtPorts
from topologies.model.functions import Firewall
from topologies.model.kinds import function_of
from topologies.model.topology import Topology

ENGINE = "openflow"
PORTS = {"there": 1, "back": 2}
OWN_SAKE = ("ARP, and what is neither IP nor ARP",)
"""Cases that the rest of the pipeline decides: it answers ARP itself."""


def ports_lab(firewall: Firewall) -> Topology:
    base = chain_lab("firewall", hosts=(host(1), host(2)), firewall=firewall)
    wall = function_of(
        name="w", kind="firewall", engine="openflow", attachment=AtPorts(networks=("n",)),
        firewall=firewall,
    )  # fmt: skip
    return base.model_copy(update={"functions": (wall,), "chains": ()})


def tables(topology: Topology) -> SwitchTables:
    compiled = compile_topology(topology)["s"]
    markers = [
        flow(Table.CLASSIFY, 900, (Field("in_port", here), Field("eth_type", MARKER)), (Output(far),))
        for here, far in ((1, 2), (2, 1))
    ]
    return SwitchTables("s", 1, (*compiled.flows, *markers), compiled.groups, compiled.meters)


@pytest.fixture
def bridge(vswitch: Vswitch, tmp_path: Path) -> Iterator[Bridge]:
    opened = Bridge(vswitch, "pf", (1, 2), tmp_path)
    opened.forget()
    yield opened
    opened.close()


@pytest.mark.parametrize("case", [case for case in CASES if case.name not in OWN_SAKE], ids=lambda c: c.name)
def test_a_case_has_its_verdicts(bridge: Bridge, case: Case) -> None:
    first = case.steps[0]
    tracked = case.name in UNTRACKED and isinstance(first, Step) and bridge.tracks_ports(first.frames[0])
    topology = ports_lab(case.firewall)
    bridge.program(tables(topology))
    for number, step in enumerate(case.steps):
        if isinstance(step, Change):
            topology = ports_lab(step.firewall)
            bridge.program(tables(topology))
            continue
        here, far = PORTS[step.way], PORTS[turned(step.way)]
        out = bridge.send(here, step.frames, far)
        expected = step.verdict if tracked else step.expected(ENGINE)
        told = bridge.packet_ins(1 if expected == "reject" else 0)
        came = datagrams(out[far])
        passed = came == datagrams(step.frames) and bool(came)
        known = notices(topology)
        rejected = not came and bool(told) and known[told[0].cookie].action == "reject"
        got = "accept" if passed else "reject" if rejected else "drop" if not came else f"others: {came}"
        assert (got, out[here]) == (expected, []), f"step {number + 1}: {step.way}"


def test_the_sender_of_a_refused_packet_is_told(bridge: Bridge) -> None:
    """Refused where it is sent, or where it is received: then through the pipeline."""
    topology = ports_lab(rules(default="reject"))
    whole = tables(topology)
    # and again with none at the sender's port
    at_receiver = (
        *(
            entry
            for entry in whole.flows
            if entry.table != Table.FIREWALL or entry.match[:1] != (Field("in_port", 1),)
        ),
        flow(Table.ADMIT, 65500, (Field(OUT_PORT, 1),), (Output(1),)),
    )
    for flows, where in ((whole.flows, Table.FIREWALL), (at_receiver, Table.ADMIT)):
        bridge.program(replace(whole, flows=flows))
        for frame in (tcp("there", "S", 81, seq=7), udp("there", 54), udp("there", 54, version=6)):
            assert bridge.send(1, [frame], 2)[2] == []
            (told,) = bridge.packet_ins(1)
            assert (told.table, told.fields.get(NETWORK)) == (where, 1)
            answer = refusal(told.data)
            assert answer is not None
            bridge.tell(messages.packet_out(CONTROLLER, answering(told.table, told.fields), answer))
            out = bridge.send(2, [], 1)
            assert [refuses(reply, frame) for reply in out[1]] == [True], "told, once"
