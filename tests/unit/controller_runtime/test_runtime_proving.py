"""The controller's proof: whatever comes first, one computation belongs to the tables that switches list."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace

import pytest

from controller.compiler.compile import compile_topology
from controller.flow.tables import SwitchTables
from controller.messages import Computed, Event, TablesHeld, decode, encode
from controller.openflow import messages
from controller.proof.held import reported
from controller.runtime.exchange import Parts
from controller.runtime.proving import Answered, Failed, Proving
from tests.unit.controller.made_labs import lab

TOPOLOGY = lab(2, [(0, 1)], [0, 1], 1)
TABLES = compile_topology(TOPOLOGY)
_STATS = b"\x80\x02\x00\x04\x00\x00\x00\x00"


def listed(tables: SwitchTables) -> Parts:
    """A switch's answer about its flows, in one part."""
    body = b""
    for flow in tables.flows:
        oxm = b"".join(reported(flow.match))
        match = b"\x00\x01" + (4 + len(oxm)).to_bytes(2, "big") + oxm
        match, rest = match + bytes(-len(match) % 8), messages.instructions(flow)
        head = bytes((0, 0, 0, 0, flow.table, 0)) + flow.priority.to_bytes(2, "big")
        head += flow.idle_timeout.to_bytes(2, "big") + bytes(6) + flow.cookie.to_bytes(8, "big")
        entry = head + match + _STATS + rest
        body += len(entry).to_bytes(2, "big") + entry[2:]
    return [body]


class Lab:
    """Switches that hold ``tables``, and what the controller says of them."""

    def __init__(self, tables: Mapping[str, SwitchTables] = TABLES) -> None:
        self.tables = tables
        self.events: list[Event] = []
        self.both = threading.Event()
        self.over = threading.Event()
        self.proving = Proving(self.hear, self.over.set)

    def hear(self, event: Event) -> None:
        self.events.append(decode(json.loads(json.dumps({**encode(event), "number": 9, "time": 1.0}))))
        computed, held = self.last(Computed), self.last(TablesHeld)
        if computed is not None and held is not None and computed.attempt == held.attempt:
            self.both.set()

    def last(self, kind: type[Computed] | type[TablesHeld]) -> Computed | TablesHeld | None:
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    def ask(self, switch: str, answered: Answered, failed: Failed) -> None:
        held = self.tables[switch]
        answered(switch, listed(held), held.groups)

    def computed(self) -> None:
        self.proving.compute(TOPOLOGY, TABLES, frozenset())

    def programmed(self, wanted: Mapping[str, SwitchTables] = TABLES) -> None:
        self.proving.programmed(TOPOLOGY, wanted, frozenset(), self.ask)


def answers(some: Lab) -> tuple[Computed, TablesHeld]:
    assert some.both.wait(20) and some.over.wait(20)
    computed, held = some.last(Computed), some.last(TablesHeld)
    assert isinstance(computed, Computed) and isinstance(held, TablesHeld)
    return computed, held


@pytest.mark.parametrize("first", ["computed", "programmed"])
def test_in_any_order(first: str) -> None:
    some = Lab()
    for step in (some.computed, some.programmed)[:: 1 if first == "computed" else -1]:
        step()
    computed, held = answers(some)
    assert (computed.proven4, computed.wrong, computed.left) == (2, (), ())
    assert held.differences == () and held.flows == sum(len(t.flows) for t in TABLES.values())
    assert [type(event) for event in some.events].count(TablesHeld) == 1


def test_tables_that_changed_meanwhile_are_computed_on_again() -> None:
    some = Lab()
    some.computed()
    broken = {**TABLES, "s1": replace(TABLES["s1"], flows=TABLES["s1"].flows[:-3])}
    some.tables = broken
    some.programmed(broken)
    computed, held = answers(some)
    assert computed.attempt == held.attempt == 2 and held.differences == ()


def test_flows_that_a_switch_lacks_or_holds_otherwise_are_told() -> None:
    flows = TABLES["s1"].flows
    lost, twisted = flows[0], replace(flows[1], priority=flows[1].priority + 1)
    strange = replace(flows[2], cookie=12345)
    held = replace(TABLES["s1"], flows=(twisted, strange, *flows[2:]))
    some = Lab({**TABLES, "s1": held})
    some.computed()
    some.programmed()
    _, said = answers(some)
    assert set(said.differences) == {
        f"s1: it does not hold the flow: {lost.why}",
        f"s1: it holds another flow than: {flows[1].why}",
        f"s1: it holds a flow in table {int(strange.table)} that nobody wants",
    }
    assert "don't hold" in said.text(None)  # type: ignore[arg-type]


def test_a_switch_that_does_not_answer_is_told() -> None:
    some = Lab()
    some.ask = lambda switch, answered, failed: failed(switch, "it is not connected")  # type: ignore[method-assign]
    some.computed()
    some.programmed()
    _, said = answers(some)
    assert said.differences[0] == "s1: it did not say what it holds: it is not connected"


def test_what_can_not_be_computed_is_told() -> None:
    some = Lab()
    broken = {**TABLES, "s1": replace(TABLES["s1"], flows=(None,))}  # type: ignore[arg-type]
    some.proving.compute(TOPOLOGY, broken, frozenset())
    computed = some.last(Computed)
    assert isinstance(computed, Computed) and computed.failed and not computed.proven4
