"""What went through functions and chains: flow counters of switches, read as the compiler meant the flows.

Counters belong to flows: one that is replaced (another rule, another share of instances) starts at 0, so
these are numbers since the last change of what they count, and Open vSwitch may be half a second behind.
Fragments that were gathered (``controller.fragments``) count as one frame at a classifier, that of the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from controller.flows import HOP, SHARE, Priority
from controller.fragments import gathers
from controller.mesh import Counted
from controller.tables import Field, Flow, Output, SetField, SwitchTables, Table
from controller.tracking import TRACKED
from topologies.functions import Function, Instance
from topologies.service import Hop, Service
from wire import ethertype

Counters = Mapping[str, Mapping[int, Counted]]
"""Switch -> cookie -> counters. A switch that is missing has not said."""


class Passage(NamedTuple):
    """Frames that went into an instance, and that came out of it at its other side; both directions together.

    ``left`` None: nothing comes out of a tap."""

    entered: Counted
    left: Counted | None


def through(
    function: Function, instance: Instance, tables: SwitchTables, counted: Mapping[int, Counted]
) -> Passage:
    """What one instance on the switch of these tables was given, and what it gave back, without probes."""
    ports = {port.number for port in (instance.inward, instance.outward) if port is not None}
    entered = left = Counted()
    for flow in tables.flows:
        met = counted.get(flow.cookie, Counted())
        if flow.table is Table.STEER and any(
            isinstance(action, Output) and action.port in ports for action in flow.actions
        ):
            entered = entered.plus(met)
        elif flow.table is Table.CLASSIFY and _comes_from(flow, ports):
            left = left.plus(met)
    return Passage(entered, left if function.mode == "inline" else None)


def _comes_from(flow: Flow, ports: Iterable[int]) -> bool:
    return any(Field("in_port", port) in flow.match for port in ports) and (
        Field("eth_type", ethertype.PROBE) not in flow.match
    )


def arrived(hop: Hop, tables: SwitchTables, counted: Mapping[int, Counted]) -> Counted:
    """Frames that reached a hop; the tables are those of its switch."""
    total = Counted()
    for flow in tables.flows:
        if flow.table is Table.STEER and _looks_first(flow, hop.number):
            total = total.plus(counted.get(flow.cookie, Counted()))
    return total


def _looks_first(flow: Flow, hop: int) -> bool:
    """Whether a flow of STEER is one of those of which a frame meets exactly one when it gets to the hop:
    later it is looked up again, with its share known, or its connection."""
    if Field(HOP, hop) not in flow.match or gathers(flow):
        return False
    for field in flow.match:
        if field.name == SHARE or (field.name == "ct_state" and field.value & TRACKED):
            return False
        if field.name == "ct_state" and field.mask is not None and not field.mask & TRACKED:
            return False
    return flow.priority > Priority.MISS


def taken(
    service: Service, chain: str, forward: bool, tables: Mapping[str, SwitchTables], counters: Counters
) -> Counted:
    """Frames that a chain's classifiers have taken in one direction, at all switches together."""
    first = {entry.hop for entry in service.entries if (entry.chain, entry.forward) == (chain, forward)}
    wanted = {SetField(HOP, hop) for hop in first}
    total = Counted()
    for name, each in tables.items():
        counted = counters.get(name, {})
        for flow in each.flows:
            if flow.table is Table.CHAIN and any(
                isinstance(action, SetField) and action in wanted for action in flow.actions
            ):
                total = total.plus(counted.get(flow.cookie, Counted()))
    return total


def concerned(tables: Mapping[str, SwitchTables]) -> list[str]:
    """Switches that count anything of chains."""
    tell = (Table.CHAIN, Table.STEER)
    return [name for name, each in tables.items() if any(flow.table in tell for flow in each.flows)]
