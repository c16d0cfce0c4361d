"""Changes of running labs with trunks, on the model of the world: no bridge of a trunk loses a device."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.change.operations import MoveWire, Operation, RemoveWire, SetTrunks, undone
from dataplane.change.steps import renamed, steps
from dataplane.plan.lab import Plan, plan
from dataplane.plan.wiring import Wiring, wiring
from tests.properties.dataplane.test_steps import World, cuts, failures
from tests.unit.dataplane.changing_labs import labs
from topologies.model.topology import Host, Topology

NOBODY: frozenset[str] = frozenset()


@st.composite
def trunk_labs(draw: st.DrawFn) -> Topology:
    """Any lab of ``labs`` in which some hosts are at trunks, and some are further VLANs of h1."""
    topology = draw(labs())
    first = draw(st.sampled_from([10, 20]))
    tags = {network.name: first + index for index, network in enumerate(topology.networks)}
    hosts: list[Host] = []
    h1 = next((host for host in topology.hosts if host.name == "h1"), None)
    taken = {h1.network} if h1 is not None else set()
    for host in topology.hosts:
        node = host.name
        if not draw(st.booleans()) and node != "h1":
            hosts.append(host)
            continue
        joins = h1 is not None and host.port.switch == h1.port.switch and host.network not in taken
        if joins:
            node = "h1"
            taken.add(host.network)
        of = node if node != host.name else ""
        trunk = {"of": of, "trunk": f"{node}-eth0", "vlan": tags[host.network]}
        hosts.append(host.model_copy(update=trunk))
    networks = [network.model_copy(update={"vlan": tags[network.name]}) for network in topology.networks]
    return topology.model_copy(update={"hosts": tuple(hosts), "networks": tuple(networks)})


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
@given(trunk_labs(), trunk_labs(), cuts, failures)
def test_the_steps_lead_from_any_lab_with_trunks_to_any_other_and_back(
    old: Topology, new: Topology, links: frozenset[str], switches: frozenset[str]
) -> None:
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
@given(trunk_labs(), trunk_labs())
def test_a_trunk_of_which_nothing_changes_is_not_touched(old: Topology, new: Topology) -> None:
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
