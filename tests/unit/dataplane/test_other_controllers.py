"""A switch of a running lab is given to another controller: the operations, and what Open vSwitch is told."""

from __future__ import annotations

from dataclasses import replace

from dataplane.change.operations import SetController
from dataplane.change.steps import Steps, steps, unchangeable
from dataplane.ovs.ovsdb import FOR_ANYBODY, PROTOCOLS, no_controller, other_controller, ovs_set
from dataplane.plan.lab import plan
from dataplane.plan.wiring import wiring
from tests.unit.dataplane.labs import line
from topologies.model.choices import SDNLAB
from topologies.model.topology import Topology

NOBODY: frozenset[str] = frozenset()


def controlled(by: str, *switches: str) -> Topology:
    """A line of three switches; some of them have another controller."""
    topology = line(3)
    changed = tuple(
        switch.model_copy(update={"controller": by}) if switch.name in switches else switch
        for switch in topology.switches
    )
    return topology.model_copy(update={"switches": changed})


def between(old: Topology, new: Topology) -> Steps:
    a, b = plan(old), plan(new)
    return steps(a, b, wiring(a, NOBODY, NOBODY), wiring(b, NOBODY, NOBODY))


def test_a_switch_changes_hands_when_nothing_else_is_left_to_do() -> None:
    old, new = line(3), controlled("app", "s1", "s3")
    taken = between(old, new)
    assert taken.shift == (SetController("s1", SDNLAB, "app"), SetController("s3", SDNLAB, "app"))
    assert not taken.extend and not taken.finish
    back = [operation.undone() for operation in taken.shift]
    assert back == list(between(new, old).shift)
    without = new.model_copy(update={"hosts": new.hosts[:1]})
    assert isinstance(between(old, without).shift[-1], SetController)
    assert between(controlled("app", "s1"), controlled("other", "s1")).shift == (
        SetController("s1", "app", "other"),
    )


def test_a_controller_can_change_and_nothing_else_of_a_switch() -> None:
    old, new = line(3), controlled("app", "s1")
    assert unchangeable(old, new) == []
    renumbered = new.switches[0].model_copy(update={"dpid": 77})
    other = new.model_copy(update={"switches": (renumbered, *new.switches[1:])})
    assert unchangeable(old, other) == ["switch s1 would change"]


def test_a_bridge_is_without_controller_between_two() -> None:
    bridge = plan(line(1)).domains[0].bridges[0]
    (taken,) = no_controller(bridge.device)
    assert taken["row"] == {"controller": ["set", []]} and taken["where"] == [["name", "==", bridge.device]]
    for controller, spoken in ((SDNLAB, PROTOCOLS), ("app", FOR_ANYBODY)):
        update, insert, link = other_controller(replace(bridge, controller=controller), "tcp:198.18.0.1:6654")
        assert update["row"] == {"protocols": ovs_set(spoken)}
        assert insert["row"]["target"] == "tcp:198.18.0.1:6654" and link["op"] == "mutate"
    assert len(other_controller(bridge, None)) == 1
