"""Hops that a switch does itself, by flows (stand-in: functions of mode ``flows`` pass everything)."""

from __future__ import annotations

from collections.abc import Mapping

from controller.flows import HOP, flow
from controller.tables import Field, Flow, Group, Meter, Resubmit, SetField, Table
from topologies.functions import Function
from topologies.model import Topology
from topologies.service import OUT, Hop


def flow_hop(
    topology: Topology, function: Function, hop: Hop, numbers: Mapping[str, int], failed: frozenset[str]
) -> tuple[list[Flow], list[Group], list[Meter]]:
    """Everything of one hop in STEER of ``hop.switch``.

    A frame is here with HOP = ``hop.number``, NETWORK = the number of ``hop.network``, untracked.  It goes on
    as ``controller.steering.onward`` has it.
    """
    match = (Field(HOP, hop.number),)
    why = f"{function.name} (chain {hop.chain}): not there yet"
    network = SetField("reg0", numbers[hop.leaves])
    if hop.next == OUT:
        done = (network, SetField(HOP, 0))
        return [flow(Table.STEER, 300, match, done, Table.RESOLVE, why=why)], [], []
    done_ = (network, SetField(HOP, hop.next), Resubmit(Table.STEER))
    return [flow(Table.STEER, 300, match, done_, why=why)], [], []
