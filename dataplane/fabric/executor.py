"""Operations on a running lab: add, move and remove namespaces, wires, ports and tunnels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from dataplane.change.operations import (
    AddSpace,
    AddTunnel,
    AddWire,
    ConfigureWire,
    Forward,
    MoveWire,
    Operation,
    RemoveSpace,
    RemoveTunnel,
    RemoveWire,
    SetController,
    SetEnds,
    SetMtu,
    SetPorts,
    SetShaped,
    SetTimeouts,
    SetTrunks,
)
from dataplane.fabric.parts import Parts
from dataplane.fabric.wires import GONE

Job = Callable[[Sequence[Any]], None]
Jobs = Mapping[type[Operation], Job]
"""Kind of operation -> the function that does operations of this kind."""
UNCERTAIN = (AddSpace, AddWire, AddTunnel, SetPorts, SetTrunks, SetController)
"""Kinds that may be done in part, or done although they failed. They can be undone in each case."""


class Executor:
    """Does operations, each kind by its function in ``jobs``."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    def carry_out(self, operations: Sequence[Operation], done: list[Operation] | None = None) -> None:
        """Do the operations in order; successive operations of one kind are done together.

        Each finished operation is added to ``done``. Raises the first error.
        """
        for kind, group in groupby(operations, type):
            some = list(group)
            if done is not None and kind in UNCERTAIN:
                done += some
            self.jobs[kind](some)
            if done is not None and kind not in UNCERTAIN:
                done += some


def jobs(parts: Parts) -> Jobs:
    """The functions that do each kind of operation on a lab with these parts."""
    spaces, hosts, wires = parts.spaces, parts.hosts, parts.wires
    switches, underlay = parts.switches, parts.underlay

    def add_spaces(some: Sequence[AddSpace]) -> None:
        hosts.expect(operation.host for operation in some if operation.host is not None)
        spaces.make({operation.netns: operation.kind for operation in some})

    def remove_space(operation: RemoveSpace) -> None:
        try:
            hosts.remove(operation.netns)
        finally:
            spaces.remove(operation.netns)

    def add_wires(some: Sequence[AddWire]) -> None:
        wires.make([operation.wire for operation in some])
        wires.address(o.wire for o in some if o.wire.near.netns not in spaces.domains)

    def set_ends(operation: SetEnds) -> None:
        wires.set_ends(operation.down, False, GONE)
        wires.set_ends(operation.up, True, GONE)

    return {
        AddSpace: add_spaces,
        RemoveSpace: _each(remove_space),
        AddWire: add_wires,
        RemoveWire: _each(lambda operation: wires.remove(operation.wire)),
        MoveWire: _each(lambda operation: wires.move(operation.old, operation.new)),
        ConfigureWire: _each(lambda operation: wires.configure(operation.old, operation.new)),
        SetEnds: _each(set_ends),
        SetPorts: switches.exchange_ports,
        SetShaped: _each(switches.set_shaped),
        SetTrunks: _each(lambda operation: switches.set_trunks(operation.lost, operation.gained)),
        SetController: switches.give,
        SetTimeouts: _each(lambda operation: switches.set_timeouts(operation.domain, operation.new)),
        AddTunnel: _each(lambda operation: underlay.add_device(operation.device)),
        RemoveTunnel: _each(lambda operation: underlay.remove_device(operation.device)),
        Forward: _each(underlay.forward),
        SetMtu: _each(lambda operation: underlay.set_mtu(operation.end, operation.new)),
    }


def _each(job: Callable[[Any], None]) -> Job:
    def one_by_one(some: Sequence[Any]) -> None:
        for operation in some:
            job(operation)

    return one_by_one
