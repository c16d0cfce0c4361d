"""Changes of running labs with trunks, on the model of the world: no bridge of a trunk loses a device."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from dataplane.change.operations import MoveWire, Operation, RemoveWire, SetTrunks, undone
from dataplane.change.steps import renamed, steps
from dataplane.plan.lab import Plan, plan
from dataplane.plan.wiring import Wiring, wiring
from tests.properties.dataplane.test_steps import World, cuts, failures
from topologies.model.topology import Topology

NOBODY: frozenset[str] = frozenset()


NETWORKS = ("blue", "green", "red")


@st.composite
def files(draw: st.DrawFn) -> str:
    """A lab of two hosts, each at an access port or a trunk of any VLANs, at any of three switches."""
    first = draw(st.sampled_from([10, 10, 10, 20]))
    hosts = ["h0: {switch: s1, network: red}"]
    for name in ("h1", "h2"):
        switch = draw(st.sampled_from(["s1", "s2", "s3"]))
        some = draw(st.sampled_from([["blue"], ["blue", "red"], ["red", "blue"], list(NETWORKS)]))
        mac = draw(st.sampled_from(["", "", f'mac: "02:aa:00:00:00:0{name[1]}"']))
        trunk = ", ".join([f"{vlan}: {{}}" for vlan in some[:-1]] + [f"{some[-1]}: {{{mac}}}"])
        what = draw(st.sampled_from(["", f"network: {some[0]}", *[f"trunk: {{{trunk}}}"] * 4]))
        shaped = draw(st.sampled_from(["", "", "mtu: 1400, "]))
        hosts += [f"{name}: {{switch: {switch}, {shaped}{what}}}"] if what else []
    lines = [
        "domains: [d1, d2]",
        "networks:",
        *(
            f"  {name}: {{vlan: {first + index}, subnet4: 10.{index}.0.0/24}}"
            for index, name in enumerate(NETWORKS)
        ),
        "switches: {s1: {domain: d1}, s2: {domain: d1}, s3: {domain: d2}}",
        "links: [s1 -- s2]",
        "underlay: {}",
        "hosts:",
        *(f"  {host}" for host in hosts),
    ]
    return "\n".join(lines)


@st.composite
def changes(draw: st.DrawFn) -> tuple[Topology, Topology]:
    """A lab, and another one that a file makes of it."""
    old = topologies.loads(draw(files()))
    return old, topologies.loads(draw(files()), running=old)


class TrunkWorld(World):
    """What exists, and which devices the bridges of trunks hold."""

    def __init__(self, planned: Plan, wired: Wiring) -> None:
        super().__init__(planned, wired)
        self.trunks = set(planned.trunks)
        self.of_trunks = {end: 0 for trunk in planned.trunks for end in trunk.ends}

    def do(self, operation: Operation) -> None:
        super().do(operation)
        if isinstance(operation, SetTrunks):
            assert self.trunks.issuperset(operation.lost), "a trunk that was not there"
            self.trunks -= {*operation.lost}
            assert not self.trunks & {*operation.gained}
            self.trunks |= {*operation.gained}
            for trunk in operation.gained:
                assert self.undoing or trunk.ends <= {*self.devices()}, "a bridge without its devices"
                self.of_trunks |= {end: self.births.get(end, 0) for end in trunk.ends}
        held = {end for trunk in self.trunks for end in trunk.ends}
        if isinstance(operation, (RemoveWire, MoveWire)) and not self.undoing:
            wire = operation.wire if isinstance(operation, RemoveWire) else operation.old
            assert not held & {(end.netns, end.device) for end in (wire.near, wire.far)}, operation
        names = [(t.netns, port.port.device) for t in self.trunks for b in t.bridges for port in b.ports]
        names += [(self.netns[s], port.device) for s, some in self.ports.items() for port in some]
        # while a wire moves, the switch's old port waits for its end, and no bridge of a trunk has it
        assert self.undoing or len({*names}) == len(names), f"two ports of a name after {operation}"

    def check_trunks(self) -> None:
        for trunk in self.trunks:
            assert all(self.of_trunks[end] == self.births.get(end, 0) for end in trunk.ends), trunk


@settings(max_examples=200, deadline=None)
@given(changes(), cuts, failures)
def test_the_steps_lead_from_any_lab_with_trunks_to_any_other_and_back(
    labs: tuple[Topology, Topology], links: frozenset[str], switches: frozenset[str]
) -> None:
    old, new = labs
    a, b = plan(old), plan(new)
    before, after = wiring(a, links, switches), wiring(b, renamed(links, a, b), switches)
    world, wanted, taken = TrunkWorld(a, before), TrunkWorld(b, after), steps(a, b, before, after).all
    for operation in taken:
        world.do(operation)
    assert world.state() == wanted.state() and world.trunks == wanted.trunks
    world.check_held()
    world.check_trunks()
    world.undoing = True
    for operation in undone(taken):
        world.do(operation)
    assert world.trunks == {*a.trunks} and world.ports == TrunkWorld(a, before).ports


@settings(max_examples=100, deadline=None)
@given(changes())
def test_a_trunk_of_which_nothing_changes_is_not_touched(labs: tuple[Topology, Topology]) -> None:
    old, new = labs
    a, b = plan(old), plan(new)
    taken = steps(a, b, wiring(a, NOBODY, NOBODY), wiring(b, NOBODY, NOBODY)).all
    wires = {wire for key, wire in a.wires.items() if b.wires.get(key) == wire}
    same = {
        trunk
        for trunk in {*a.trunks} & {*b.trunks}
        if trunk.ends <= {(end.netns, end.device) for wire in wires for end in (wire.near, wire.far)}
    }
    for operation in taken:
        if isinstance(operation, SetTrunks):
            assert not same & {*operation.lost, *operation.gained}
