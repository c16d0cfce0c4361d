"""Shares of connections that switches treat alike: one of each sort stands for all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.compiler.compile import compile_topology
from controller.compiler.rendezvous import SHARES
from controller.flow.builders import SHARE
from controller.flow.tables import Move, SetField, SwitchTables
from controller.simulate.shares import told_apart
from controller.simulate.switch import Lookup, at_switch, wire
from tests.unit.controller.made_chains import Asked, chain, packet, with_functions
from tests.unit.controller.made_labs import lab
from topologies.model.topology import Topology


def chained(instances: int) -> tuple[Topology, SwitchTables]:
    base = with_functions(lab(1, [], [0, 0]), [Asked("inline", 0, instances)])
    topology = chain(base, *base.hosts, ["f1"])
    return topology, compile_topology(topology)["s1"]


@pytest.mark.parametrize("instances", [1, 2, 5])
def test_each_instance_is_one_way_and_all_shares_together_have_the_same_ways(instances: int) -> None:
    topology, tables = chained(instances)
    source, target = topology.hosts
    frame, lookup = packet(source, target), Lookup(tables)
    ways = [sent for sent, _ in at_switch(lookup, frame, source.port.number)]
    assert len(ways) == instances
    by_share = [
        sent
        for share in range(SHARES)
        for sent, _ in at_switch(
            lookup, frame, source.port.number, chooser=lambda _frame, _ways, this=share: this
        )
    ]
    assert len(by_share) == SHARES

    def seen(some: list) -> set[object]:  # type: ignore[type-arg]
        return {tuple((one.port, wire(one.frame)) for one in sent) for sent in some}

    assert seen(ways) == seen(by_share)


@pytest.mark.parametrize("action", [Move(SHARE, "reg9", 7), Move("reg9", SHARE, 7), SetField(SHARE, 1, 1)])
def test_where_an_action_computes_with_the_share_all_are_told_apart(action: Move | SetField) -> None:
    _, tables = chained(2)
    first, *others = tables.flows
    flows = (replace(first, actions=(*first.actions, action)), *others)
    assert told_apart(tables.flows, (), SHARE, SHARES) != tuple(range(SHARES))
    assert told_apart(flows, (), SHARE, SHARES) == tuple(range(SHARES))
