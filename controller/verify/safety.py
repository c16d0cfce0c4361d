"""What no frame whatever may do, from whichever host: loop, get into another network, vanish by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controller.flow.text import value_text
from controller.verify.lab import Lab
from controller.verify.outcomes import Fabric, Outcome
from controller.verify.packets import Expression, Patched, Store
from controller.verify.report import (
    HOLES,
    INTACT,
    ISOLATION,
    LOOPS,
    Finding,
    Witness,
)
from controller.verify.states import Branch, State
from controller.verify.switch import VANISHING
from controller.verify.values import some_value, width
from topologies.model.places import Entity
from topologies.model.topology import Port
from wire.mac import GROUP_BIT


def witness(known: Store, at: Port, cut: tuple[str, ...] = (), converged: bool = False) -> Witness:
    """One of the packets of which this is known."""
    frame = {}
    for variable, values in known.items():
        value = some_value(values, width(variable))
        if value is not None and ":" not in variable:
            frame[variable] = value
    if not frame.get("vlan_vid"):
        frame.pop("vlan_vid", None)
    return Witness(tuple(sorted(frame.items())), at, cut, converged)


def check_outcome(lab: Lab, fabric: Fabric, at: Port, outcome: Outcome, cut: bool) -> Iterator[Finding]:
    """What is wrong with one outcome of frames that come in at a host's port."""
    source = lab.at[at]
    entity = source.entity
    if outcome.loop:
        yield Finding(LOOPS, f"frames of {source.name} go round in a loop", "they end somewhere", entity)
    allowed = lab.open_to[source.network]
    for port, written in () if _is_in_order(lab, fabric, source.network, outcome) else outcome.delivered:
        target = lab.at.get(port)
        if target is None:
            if port in lab.taps or port in lab.instance_of:
                continue
            link = fabric.space.wiring.link.get(port)
            yield Finding(
                HOLES, f"{port.switch} sends frames out of port {port.number}, where nothing is",
                "only ports of the file are used", entity if link is None else Entity("link", link),
            )  # fmt: skip
            continue
        if target.network not in allowed:
            yield Finding(
                ISOLATION, f"a frame of {source.name} (network {source.network}) reaches {target.name}"
                f" (network {target.network})", "networks are isolated", target.entity,
            )  # fmt: skip
        fields = dict(written)
        if _has_bit(fields.get("eth_src"), GROUP_BIT):
            yield Finding(
                INTACT, f"{target.name} gets a frame with the mark of a detour in its source address",
                "the mark is taken off", target.entity,
            )  # fmt: skip
        tag = fields.get("vlan_vid", 0)
        if tag != 0:
            yield Finding(
                INTACT, f"{target.name} gets a frame with a chain's tag", "it is taken off", target.entity
            )
    for switch, way in outcome.ends:
        for lost in way.lost:
            if lost.why.startswith(VANISHING) and not (cut and lost.why.startswith("no bucket")):
                place = "" if lost.table is None else f", table {lost.table.name}"
                last = way.flows[-1].origin.entity if way.flows else None
                yield Finding(
                    HOLES, f"frames of {source.name} vanish at {switch}{place}: {lost.why}",
                    "each table and group says what becomes of a frame", last or Entity("switch", switch),
                )  # fmt: skip


def _is_in_order(lab: Lab, fabric: Fabric, network: str, outcome: Outcome) -> bool:
    """Whether it is plain that all frames get only where those of a network may, without marks and tags."""
    parts = outcome.delivered.parts
    if not parts:
        return True
    allowed = lab.open_to[network]

    def may_be_reached(port: Port) -> bool:
        target = lab.at.get(port)
        return target is not None and target.network in allowed

    right = fabric.space.outlets.those(network, may_be_reached)
    for written, ports in parts.items():
        fields = dict(written)
        if ports & ~right or fields.get("vlan_vid", 0) != 0 or _has_bit(fields.get("eth_src"), GROUP_BIT):
            return False
    return True


def _has_bit(expression: Expression | None, bit: int) -> bool:
    if isinstance(expression, int):
        return bool(expression & bit)
    return isinstance(expression, Patched) and bool(expression.value & bit)


class _Unit(NamedTuple):
    """A branch of a state whose outcomes are looked at; ``lead``: the branch of frames from outside that
    leads to the state, when it is not one of those itself."""

    state: State
    branch: Branch
    lead: Branch | None


def _units(fabric: Fabric, start: State) -> Iterator[_Unit]:
    """All that frames of a port can do, without repeating those that go on as the same state."""
    seen: set[State] = set()
    fabric.outcomes(start)
    for branch in fabric.branches(start):
        onward = branch.sends[0].state if len(branch.sends) == 1 and branch.way.onward else None
        if onward is None:
            yield _Unit(start, branch, None)
        elif onward not in seen:
            seen.add(onward)
            for further in fabric.branches(onward):
                yield _Unit(onward, further, branch)


def check_port(
    lab: Lab, fabric: Fabric, at: Port, cut: tuple[str, ...] = (), converged: bool = False
) -> Iterator[Finding]:
    """All that is wrong with frames that come in at a host's port."""
    start = fabric.space.from_port(at)
    for state, branch, lead in _units(fabric, start):
        for outcome in fabric.of_branch(state, branch):
            for finding in check_outcome(lab, fabric, at, outcome, bool(cut)):
                known = _from_outside(fabric, start, state, lead, outcome)
                yield finding._replace(witness=witness(known, at, cut, converged))


def _from_outside(fabric: Fabric, start: State, state: State, lead: Branch | None, outcome: Outcome) -> Store:
    """What is known of the frames, as they came in, that have this outcome at a state."""
    if lead is None:
        return {**start.packets.known, **outcome.known}
    for whole in fabric.of_branch(start, lead):
        send = lead.sends[0]
        assert send.state is state
        if (whole.loop, whole.visited, len(whole.delivered)) != (
            outcome.loop, outcome.visited, len(outcome.delivered),
        ) or [one.at for one in whole.delivered] != [one.at for one in outcome.delivered]:  # fmt: skip
            continue
        destination = outcome.known.get("eth_dst")
        if destination is None or whole.known.get("eth_dst") == destination:
            return {**start.packets.known, **lead.known, **whole.known}
    return {**start.packets.known, **lead.known}


def described(frame: tuple[tuple[str, int], ...]) -> str:
    """A witness's frame in one line, as flows are written."""
    return ", ".join(f"{name}={value_text(name, value)}" for name, value in frame)
