"""The shared table of cases, in the nftables engine: frames go in at one side, others come out."""

from __future__ import annotations

import pytest

from tests.cases.firewall_cases import CASES, Case, Change, Step
from tests.cases.frames import datagrams, raw, refuses
from tests.nfv.programs import firewall
from tests.nfv.spaces import Row, Wire

ENGINE = "nftables"
MARKER = 0x88B6


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_becomes_of_it(case: Case, quiet: Row) -> None:
    running = quiet.start(firewall(case.firewall))
    left, right = quiet.wires()
    for number, step in enumerate(case.steps):
        if isinstance(step, Change):
            assert running.replace(firewall(step.firewall)).get("message") is None
        else:
            at = f"step {number}: {step.verdict}"
            ends = (left, right) if step.way == "there" else (right, left)
            _try(step, *ends, at)


def _try(step: Step, near: Wire, far: Wire, at: str) -> None:
    for frame in step.frames:
        near.send(frame)
    # Frames stay in order, so what comes before the marker is all that comes.
    marker = raw(step.way, MARKER)
    near.send(marker)
    out = far.until(lambda frame: frame == marker)[:-1]
    verdict = step.expected(ENGINE)
    if verdict == "accept":
        assert datagrams(out) == datagrams(step.frames), at
        return
    assert datagrams(out) == [], at
    if verdict == "reject":
        near.until(lambda answer: refuses(answer, step.frames[0]))
    else:
        answer = near.receive(0.05)
        assert answer is None, f"{at}: {answer!r}"
