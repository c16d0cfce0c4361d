"""Changes of a running lab, tried on a model of the world: they lead there, and touch nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
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
    SetEnds,
    SetMtu,
    SetPorts,
    SetShaped,
    SetTimeouts,
    undone,
)
from dataplane.change.steps import Steps, renamed, steps, unchangeable
from dataplane.plan.lab import Plan, WirePlan, plan
from dataplane.plan.wiring import Wiring, wiring
from tests.unit.dataplane.changing_labs import lab, labs
from topologies.model.topology import Topology

NOBODY: frozenset[str] = frozenset()
MANY = settings(max_examples=100, deadline=None)


class World:
    """What exists, and the laws that nothing may break at any time."""

    def __init__(self, planned: Plan, wired: Wiring) -> None:
        self.netns = {b.switch: d.netns for d in planned.domains for b in d.bridges}
        self.fixed = {d.netns for d in planned.domains} | set(planned.underlay.nodes.values())
        self.undoing = False
        self.spaces = {h.netns for h in planned.hosts} | {i.netns for i in planned.instances}
        self.wires = set(planned.wires.values())
        self.ports = {switch: set(some) for switch, some in wired.ports.items()}
        self.down = set(wired.down)
        self.timeouts = {d.name: d.udp_timeouts for d in planned.domains}
        self.tunnels = {(d.netns, d.device): _told(d) for d in planned.underlay.devices}
        self.births: dict[tuple[str, str], int] = {}
        self.held = {(switch, port): 0 for switch, some in self.ports.items() for port in some}

    def born(self, *ends: tuple[str, str]) -> None:
        """A device of this name is another than before, if there was one."""
        for end in ends:
            self.births[end] = self.births.get(end, 0) + 1

    def check_held(self) -> None:
        """Open vSwitch has every device that is there now, and none that only had its name."""
        for switch, some in self.ports.items():
            for port in some:
                there = self.births.get((self.netns[switch], port.device), 0)
                assert not port.is_device or self.held[switch, port] == there, f"{switch} lost {port}"

    def state(self) -> object:
        ports = {switch: frozenset(some) for switch, some in self.ports.items()}
        return self.spaces, self.wires, ports, self.down, self.tunnels, self.timeouts

    def devices(self) -> list[tuple[str, str]]:
        return [(e.netns, e.device) for wire in self.wires for e in (wire.near, wire.far)] + list(
            self.tunnels
        )

    def do(self, operation: Operation) -> None:
        if isinstance(operation, AddSpace):
            assert operation.netns not in self.spaces
            self.spaces.add(operation.netns)
        elif isinstance(operation, RemoveSpace):
            assert not [device for netns, device in self.devices() if netns == operation.netns]
            self.spaces.remove(operation.netns)
        elif isinstance(operation, AddWire):
            self._add(operation.wire)
        elif isinstance(operation, RemoveWire):
            self._remove(operation.wire)
        elif isinstance(operation, (MoveWire, ConfigureWire)):
            self.wires.remove(operation.old)
            if isinstance(operation, MoveWire):
                self.down.discard((operation.old.far.netns, operation.old.far.device))
                self.born((operation.new.far.netns, operation.new.far.device))
            else:
                assert operation.old.far == operation.new.far
                self._check_shaped(operation.new)
            assert operation.old.near == operation.new.near
            self.wires.add(operation.new)
        elif isinstance(operation, SetEnds):
            assert set(self.devices()) >= {e for e in operation.up | operation.down if "d1-d2" not in e}
            self.down = self.down - operation.up | operation.down
        elif isinstance(operation, SetPorts):
            assert operation.lost <= self.ports[operation.switch], "a port that was not there"
            assert not operation.gained & (self.ports[operation.switch] - operation.lost)
            self.ports[operation.switch] -= operation.lost
            self.ports[operation.switch] |= operation.gained
            for port in operation.gained:
                there = (self.netns[operation.switch], port.device)
                self.held[operation.switch, port] = self.births.get(there, 0)
        elif isinstance(operation, SetShaped):
            assert operation.lost <= self.ports[operation.switch], "a port that was not there"
            self.ports[operation.switch] -= operation.lost
            self.ports[operation.switch] |= operation.gained
            for port in operation.gained:
                (was,) = (one for one in operation.lost if one.device == port.device)
                self.held[operation.switch, port] = self.held[operation.switch, was]
        elif isinstance(operation, SetTimeouts):
            assert self.timeouts[operation.domain] == operation.old
            self.timeouts[operation.domain] = operation.new
        elif isinstance(operation, AddTunnel):
            self.tunnels[operation.device.netns, operation.device.device] = _told(operation.device)
        elif isinstance(operation, RemoveTunnel):
            del self.tunnels[operation.device.netns, operation.device.device]
        elif isinstance(operation, Forward):
            mtu, unicast, flood = self.tunnels[operation.end]
            assert operation.lost <= unicast and operation.flood_lost <= flood
            unicast = unicast - operation.lost | operation.gained
            flood = flood - operation.flood_lost | operation.flood_gained
            self.tunnels[operation.end] = mtu, unicast, flood
        elif isinstance(operation, SetMtu):
            assert self.tunnels[operation.end][0] == operation.old
            self.tunnels[operation.end] = (operation.new, *self.tunnels[operation.end][1:])
        self.check(operation)

    def _check_shaped(self, wire: WirePlan) -> None:
        """Open vSwitch leaves the queueing disciplines of a shaped wire alone from the moment when it has
        them."""
        ends = {(end.netns, end.device) for end, _ in wire.ends}
        for switch, some in self.ports.items():
            for port in some:
                if port.is_device and (self.netns[switch], port.device) in ends and wire.shaping:
                    assert port.shaped, f"{switch} would unshape {port}"

    def _add(self, wire: WirePlan) -> None:
        for end in (wire.near, wire.far):
            assert end.netns in self.spaces | self.fixed, "no such namespace"
            self.born((end.netns, end.device))
        self.wires.add(wire)

    def _remove(self, wire: WirePlan) -> None:
        self.wires.remove(wire)
        self.down -= {(e.netns, e.device) for e in (wire.near, wire.far)}

    def check(self, operation: Operation) -> None:
        """On the way back a port may be there before its device: Open vSwitch takes that up when it comes."""
        devices = self.devices()
        assert len(set(devices)) == len(devices), f"two devices of a name after {operation}"
        for some in self.ports.values():
            assert len({port.number for port in some}) == len(some), f"two ports of a number: {operation}"
        names = [(self.netns[s], p.device) for s, some in self.ports.items() for p in some]
        assert len(set(names)) == len(names), f"two ports of a name after {operation}"
        if isinstance(operation, SetPorts) and not self.undoing:
            for port in operation.gained:
                there = (self.netns[operation.switch], port.device)
                assert not port.is_device or there in devices, f"port without a device: {port}"


def _told(device):  # type: ignore[no-untyped-def]
    return device.mtu, frozenset(device.unicast), frozenset(device.flood)


def change(
    old: Topology, new: Topology, links: frozenset[str] = NOBODY, switches: frozenset[str] = NOBODY
) -> tuple[World, Steps, World]:
    """The world before, what to do, and the world that is wanted."""
    a, b = plan(old), plan(new)
    before, after = wiring(a, links, switches), wiring(b, renamed(links, a, b), switches)
    return World(a, before), steps(a, b, before, after), World(b, after)


cuts = st.sets(st.sampled_from(["s1-s2", "s1-s2#2", "h1-s1", "h1-s2", "h2-s1", "d1-d2"])).map(frozenset)
failures = st.sets(st.sampled_from(["s1", "s2", "s3", "vtep-d1"]), max_size=1).map(frozenset)


@MANY
@given(labs(), labs(), cuts, failures)
def test_the_steps_lead_from_any_lab_to_any_other_and_back(
    old: Topology, new: Topology, links: frozenset[str], switches: frozenset[str]
) -> None:
    world, taken, wanted = change(old, new, links, switches)
    was = World(plan(old), wiring(plan(old), links, switches))
    for operation in taken.all:
        world.do(operation)
    assert world.state() == wanted.state()
    world.check_held()
    world.undoing = True
    for operation in undone(taken.all):
        world.do(operation)
    back = world.state()
    assert back[:3] == was.state()[:3] and back[4] == was.state()[4]  # type: ignore[index]


@MANY
@given(labs(), labs())
def test_what_is_made_first_leaves_all_that_was_as_it_was(old: Topology, new: Topology) -> None:
    world, taken, _ = change(old, new)
    spaces, wires, ports, _, tunnels, _ = World(plan(old), wiring(plan(old), NOBODY, NOBODY)).state()  # type: ignore[misc]
    for operation in taken.extend:
        world.do(operation)
    assert world.spaces >= spaces
    # but that packets may have to be whole from now on, which nobody on their way notices
    assert {replace(wire, whole=False) for wire in world.wires} >= {replace(w, whole=False) for w in wires}
    assert all(world.ports[switch] >= some for switch, some in ports.items())
    for end, (_, unicast, flood) in tunnels.items():
        assert world.tunnels[end][1] >= unicast and world.tunnels[end][2] >= flood


@MANY
@given(labs(), labs())
def test_nothing_that_is_equal_in_both_is_touched(old: Topology, new: Topology) -> None:
    _, taken, _ = change(old, new)
    a, b = plan(old), plan(new)
    same_wires = {wire for key, wire in a.wires.items() if b.wires.get(key) == wire}
    spaces = {h.netns for h in a.hosts} & {h.netns for h in b.hosts}
    ends = {(e.netns, e.device) for wire in same_wires for e in (wire.near, wire.far)}
    tunnels = set(a.underlay.devices) & set(b.underlay.devices)
    home = {br.switch: d.netns for d in a.domains for br in d.bridges}
    for operation in taken.all:
        assert not set(_wires(operation)) & same_wires
        if isinstance(operation, (AddSpace, RemoveSpace)):
            assert operation.netns not in spaces
        elif isinstance(operation, SetEnds):
            assert not (operation.up | operation.down) & ends
        elif isinstance(operation, SetPorts):
            assert not operation.lost & operation.gained
            for port in operation.lost | operation.gained:
                equal = any(
                    port in p.ports for d in a.domains for p in d.bridges if p.switch == operation.switch
                )
                equal = equal and any(
                    port in p.ports for d in b.domains for p in d.bridges if p.switch == operation.switch
                )
                # the same number and name, but another wire behind it
                assert not equal or (port.is_device and (home[operation.switch], port.device) not in ends)
        elif isinstance(operation, (AddTunnel, RemoveTunnel)):
            assert operation.device not in tunnels
        elif isinstance(operation, (Forward, SetMtu)):
            assert operation.end not in {(d.netns, d.device) for d in tunnels}


def _wires(operation: Operation) -> Iterable[WirePlan]:
    if isinstance(operation, (AddWire, RemoveWire)):
        return [operation.wire]
    return [operation.old, operation.new] if isinstance(operation, (MoveWire, ConfigureWire)) else []


@MANY
@given(labs(), labs())
def test_who_must_send_whole_packets_before_or_after_does_so_meanwhile(old: Topology, new: Topology) -> None:
    """From before the switches are told (the second part) until the last packet of before has arrived."""
    world, taken, _ = change(old, new)
    keys = plan(old).wires.keys() & plan(new).wires.keys()
    unaided = {
        wire.near
        for some in (plan(old).wires, plan(new).wires)
        for key, wire in some.items()
        if key in keys and wire.whole
    }
    for operation in taken.extend:
        world.do(operation)
    # a wire that has to be another one is cut meanwhile
    remade = {op.wire.near for op in taken.all if isinstance(op, (AddWire, RemoveWire))}
    assert all(wire.whole for wire in world.wires if wire.near in unaided - remade)
    for operation in taken.shift:
        world.do(operation)
        assert all(wire.whole for wire in world.wires if wire.near in unaided - remade)


@MANY
@given(labs())
def test_a_lab_that_stays_as_it_is_needs_nothing(same: Topology) -> None:
    assert not change(same, same)[1].all


def test_one_more_instance_touches_only_what_is_its_own() -> None:
    hosts = {"h1": ("s1", 1, "blue", None), "h2": ("s3", 1, "blue", None)}
    old = lab(hosts, {"fw": ("s1", "inline", [2, 3])}, {}, {"blue": 10})
    new = lab(hosts, {"fw": ("s1", "inline", [2, 3, 4, 5])}, {}, {"blue": 10})
    _, up, _ = change(old, new)
    assert [type(operation) for operation in up.extend] == [AddSpace, AddWire, AddWire, SetPorts]
    assert not up.shift and not up.finish
    _, down, _ = change(new, old)
    assert not down.extend and not down.shift
    assert [type(operation) for operation in down.finish] == [SetPorts, RemoveWire, RemoveWire, RemoveSpace]


def test_a_host_keeps_its_interface_when_it_moves_or_gets_a_gateway() -> None:
    old = lab({"h1": ("s1", 1, "blue", None)}, {}, {}, {"blue": 10})
    moved = lab({"h1": ("s2", 4, "blue", None)}, {}, {}, {"blue": 10})
    _, taken, _ = change(old, moved)
    assert [type(operation) for operation in taken.all] == [MoveWire, SetPorts, SetPorts]
    routed = old.model_copy(
        update={"networks": (old.networks[0].model_copy(update={"gateway4": old.hosts[0].ipv4}),)}
    )
    _, taken, _ = change(old, routed)
    assert [type(operation) for operation in taken.all] == [ConfigureWire]


def test_a_host_that_goes_to_a_new_namespace_has_both_places_until_the_end() -> None:
    old = plan(lab({"h1": ("s1", 1, "blue", None)}, {}, {}, {"blue": 10}))
    new = plan(lab({"h1": ("s2", 4, "blue", None)}, {}, {}, {"blue": 10}), moves={"h1": 2})
    before, after = wiring(old, NOBODY, NOBODY), wiring(new, NOBODY, NOBODY)
    taken = steps(old, new, before, after)
    assert [type(operation) for operation in taken.extend] == [AddSpace, AddWire, SetPorts]
    assert taken.shift == ()
    assert [type(operation) for operation in taken.finish] == [SetPorts, RemoveWire, RemoveSpace]
    assert (old.hosts[0].netns, new.hosts[0].netns) == ("h1", "h1@2")
    world, wanted = World(old, before), World(new, after)
    for operation in taken.all:
        world.do(operation)
    assert world.state() == wanted.state()


def test_a_host_takes_the_place_that_another_leaves_in_the_same_change() -> None:
    def hosts(**where: str) -> Topology:
        text = f"name: lab\nswitches: [s1, s2]\nlinks: [s1 -- s2]\nhosts: {json.dumps(where)}\n"
        return topologies.loads(text.encode(), "lab.yaml")

    world, taken, wanted = change(hosts(h2="s1"), hosts(h2="s2", h4="s1"))
    for operation in taken.all:
        world.do(operation)
    assert world.state() == wanted.state()
    world.check_held()


def test_a_link_that_becomes_a_device_is_swapped_at_once() -> None:
    old = lab({}, {}, {"s1-s2": (1, None)}, {"blue": 10})
    a, b = plan(old), plan(old, frozenset({"s1-s2"}))
    taken = steps(a, b, wiring(a, NOBODY, NOBODY), wiring(b, NOBODY, NOBODY))
    assert [type(operation) for operation in taken.extend] == [AddWire]
    assert {operation.switch for operation in taken.shift if isinstance(operation, SetPorts)} == {"s1", "s2"}
    assert not taken.finish


@pytest.mark.parametrize("kind", ["domain", "switch", "underlay"])
def test_what_can_not_change_while_a_lab_runs_is_named(kind: str) -> None:
    old = lab({}, {}, {}, {"blue": 10})
    assert not unchangeable(old, lab({"h1": ("s1", 1, "blue", None)}, {}, {}, {"blue": 11}))
    changed = {
        "domain": {"domains": (*old.domains, old.domains[0].model_copy(update={"name": "d9"}))},
        "switch": {"switches": old.switches[1:]},
        "underlay": {"underlay": None},
    }[kind]
    words = {"domain": "domain d9 would be added", "switch": "switch s1 would be removed"}
    differences = unchangeable(old, old.model_copy(update=changed))
    assert differences == [words.get(kind, "the underlay between domains would be removed")]


def test_the_model_world_notices_a_broken_law() -> None:
    """The oracle itself can fail."""
    old = lab({"h1": ("s1", 1, "blue", None)}, {}, {}, {"blue": 10})
    planned = plan(old)
    world = World(planned, wiring(planned, NOBODY, NOBODY))
    (wire,) = planned.wires.values()
    with pytest.raises(AssertionError, match="two devices"):
        world.do(AddWire(replace(wire, mtu=1)))


def test_how_long_datagrams_are_remembered_changes_in_place_new_zones_first() -> None:
    bare = plan(lab({}, {}, {}, {"lan": 1}))
    first, second = bare.domains
    old, new = (
        replace(bare, domains=(replace(first, udp_timeouts=some), second))
        for some in (((5, 120), (9, 60)), ((7, 120), (9, 300)))
    )
    taken = steps(old, new, wiring(old, NOBODY, NOBODY), wiring(new, NOBODY, NOBODY))
    both = ((5, 120), (7, 120), (9, 300))
    assert taken.extend == (SetTimeouts(first.name, ((5, 120), (9, 60)), both),)
    assert taken.finish == (SetTimeouts(first.name, both, ((7, 120), (9, 300))),) and not taken.shift
    assert undone(taken.extend) == [SetTimeouts(first.name, both, ((5, 120), (9, 60)))]
    assert not steps(old, old, wiring(old, NOBODY, NOBODY), wiring(old, NOBODY, NOBODY)).all
