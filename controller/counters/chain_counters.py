"""Packets through functions and chains: the switches' flow counters, added up by the flows' origins.

Counters belong to flows.  A flow that is replaced (another rule, another share of instances) starts at 0, so
a count begins at the last change of its flows.  Open vSwitch may be half a second late.  Fragments that were
gathered (``controller.compiler.fragments``) count as one frame at a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from controller.counters.tunnel_counters import Counted
from controller.flow.tables import SwitchTables, Table
from controller.origin import AtHop, Classified, Into, Refused, Return
from topologies.model.attachment import InlineInstance, Instance
from topologies.model.service_paths import Hop, Service

Counters = Mapping[str, Mapping[int, Counted]]
"""Switch -> cookie -> counters. A switch that has not answered is missing."""


class Passage(NamedTuple):
    """Frames that went into an instance, and frames that came out of it; both directions together.

    ``left`` is None for a tap: nothing comes out of it."""

    entered: Counted
    left: Counted | None


def through(instance: Instance, tables: SwitchTables, counted: Mapping[int, Counted]) -> Passage:
    """The frames into and out of one instance, on the switch of these tables; probes don't count."""
    ports = {port.number for port in instance.ports}
    entered = left = Counted()
    for flow in tables.flows:
        met = counted.get(flow.cookie, Counted())
        if isinstance(flow.origin, Into) and flow.origin.port in ports:
            entered = entered.plus(met)
        elif isinstance(flow.origin, (Return, Refused)) and flow.origin.port in ports:
            left = left.plus(met)
    return Passage(entered, left if isinstance(instance, InlineInstance) else None)


def arrived(hop: Hop, tables: SwitchTables, counted: Mapping[int, Counted]) -> Counted:
    """Frames that reached a hop; the tables are those of its switch."""
    total = Counted()
    for flow in tables.flows:
        if isinstance(flow.origin, AtHop) and flow.origin.first and flow.origin.hop == hop.number:
            total = total.plus(counted.get(flow.cookie, Counted()))
    return total


def taken(
    service: Service, chain: str, forward: bool, tables: Mapping[str, SwitchTables], counters: Counters
) -> Counted:
    """Frames that a chain's classifiers have taken in one direction, at all switches together."""
    first = {entry.hop for entry in service.entries if (entry.chain, entry.forward) == (chain, forward)}
    total = Counted()
    for name, held in tables.items():
        counted = counters.get(name, {})
        for flow in held.flows:
            if isinstance(flow.origin, Classified) and flow.origin.hop in first:
                total = total.plus(counted.get(flow.cookie, Counted()))
    return total


def switches_with_chains(tables: Mapping[str, SwitchTables]) -> list[str]:
    """Switches that have flows of chains."""
    tell = (Table.CHAIN, Table.STEER)
    return [name for name, held in tables.items() if any(flow.table in tell for flow in held.flows)]
