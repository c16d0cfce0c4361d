"""The table of a firewall's cases, by evaluation: so the evaluator tracks connections as the engines do."""

from __future__ import annotations

import pytest

from controller.flow.tables import CONTROLLER
from controller.simulate.switch import Lookup, at_switch, wire
from controller.simulate.tracking import Connections
from tests.cases.fields import read
from tests.cases.firewall_cases import CASES, FRAGMENT_CASES, Case, Change
from tests.cases.frames import turned
from tests.unit.controller.made_service import chain_lab, surrounded

ENGINE = "openflow"
PORTS = {"there": 1, "back": 2}
UNKNOWN = {
    "a segment far outside of the window": "it knows no sequence numbers",
    "a reset outside of the window does not end a connection": "it knows no sequence numbers",
    "a wrong checksum": "it knows no checksums",
    "flags that exclude each other": "it knows only those that Open vSwitch tells",
    **{case.name: "it knows no fragments" for case in FRAGMENT_CASES},
}
"""What the evaluator knows nothing of."""


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name not in UNKNOWN], ids=lambda case: case.name
)
def test_a_case_has_its_verdicts(case: Case) -> None:
    tables, connections = Lookup(surrounded(chain_lab("firewall", firewall=case.firewall))), Connections()
    for number, step in enumerate(case.steps):
        if isinstance(step, Change):
            tables = Lookup(surrounded(chain_lab("firewall", firewall=step.firewall)))
            continue
        here, far = PORTS[step.way], PORTS[turned(step.way)]
        for octets in step.frames:
            frame = read(octets)
            ((sent, _),) = at_switch(tables, frame, here, connections=connections)
            ports = [output.port for output in sent]
            got = {(far,): "accept", (CONTROLLER,): "reject", (): "drop"}[tuple(ports)]
            assert got == step.expected(ENGINE), f"step {number + 1}: {step.way}"
            assert got != "accept" or wire(sent[0].frame) == wire(frame)
