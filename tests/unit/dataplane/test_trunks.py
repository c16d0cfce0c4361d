"""Trunks in the plan of a lab, and how a running lab changes them."""

from __future__ import annotations

import topologies
from dataplane.change.operations import MoveWire, Operation, SetPorts, SetTrunks, undone
from dataplane.change.steps import steps
from dataplane.ovs.ovsdb import trunk_operations
from dataplane.plan.lab import Plan, plan
from dataplane.plan.wiring import wiring
from topologies.edit import move
from topologies.model.topology import Topology

NONE: frozenset[str] = frozenset()
FILE = """\
networks:
  lan: {{vlan: 10, subnet4: 10.1.0.0/24}}
  sales: {{vlan: {tag}, subnet4: 10.2.0.0/24}}
switches: [s1, s2]
links: [s1 -- s2]
hosts:
  h1: {{switch: s1, trunk: {one}}}
  h2: {{switch: s1, trunk: [lan, sales]}}
  h3: {{switch: s2, network: lan}}
"""


def lab(one: str = "[lan, sales]", tag: int = 20, running: Topology | None = None) -> Topology:
    return topologies.loads(FILE.format(one=one, tag=tag), running=running)


def change(old: Topology, new: Topology) -> tuple[list[Operation], Plan, Plan]:
    a, b = plan(old), plan(new)
    return [*steps(a, b, wiring(a, NONE, NONE), wiring(b, NONE, NONE)).all], a, b


def trunks(operations: list[Operation]) -> tuple[set[str], set[str]]:
    """Names of the trunks whose bridges go, and of those whose bridges come."""
    some = [operation for operation in operations if isinstance(operation, SetTrunks)]
    lost = {trunk.name for operation in some for trunk in operation.lost}
    return lost, {trunk.name for operation in some for trunk in operation.gained}


def test_each_vlan_is_a_patch_port_of_the_switch_and_a_wire_of_the_host() -> None:
    planned = plan(lab())
    (domain,) = planned.domains
    ports = {bridge.switch: bridge.ports for bridge in domain.bridges}
    trunk = planned.trunks[0]
    outer, inner = trunk.bridges
    patches = {port.port.device: port for port in outer.ports if port.port.peer}
    of_switch = {port.device: port for port in ports["s1"] if port.peer}
    assert {port.tag for port in patches.values()} == {10, 20} and len(of_switch) == 5
    for device, port in patches.items():
        assert port.port.peer is not None and of_switch[port.port.peer].peer == device
    hosts = {host.name: host for host in planned.hosts}
    assert hosts["h1"].near.device == "h1-eth0.10" and hosts["h1-sales"].near.device == "h1-eth0.20"
    assert {port.port.device: port.tag for port in inner.ports} == {
        trunk.tagged.near.device: None,
        trunk.wire.far.device: None,
        hosts["h1"].far.device: 10,
        hosts["h1-sales"].far.device: 20,
    }
    names = [name for some in ports.values() for name in (port.device for port in some)]
    names += [
        port.port.device for trunk in planned.trunks for bridge in trunk.bridges for port in bridge.ports
    ]
    assert len({*names}) == len(names) and all(len(name) < 16 for name in names)


def test_a_trunk_is_loose_when_all_its_vlans_are_cut() -> None:
    planned = plan(lab())
    far = planned.trunks[0].wire.far
    assert (far.netns, far.device) not in wiring(planned, frozenset({"h1-s1"}), NONE).down
    assert (far.netns, far.device) in wiring(planned, frozenset({"h1-s1", "h1-sales-s1"}), NONE).down
    assert (far.netns, far.device) in wiring(planned, NONE, frozenset({"s1"})).down


def test_only_trunks_that_change_are_made_anew() -> None:
    before = lab()
    assert trunks(change(before, lab(running=before))[0]) == (set(), set())
    assert trunks(change(before, lab("[lan]", running=before))[0]) == ({"h1-eth0"}, {"h1-eth0"})
    both = {"h1-eth0", "h2-eth0"}
    assert trunks(change(before, lab(tag=21, running=before))[0]) == (both, both)
    text = FILE.format(one="", tag=20).replace("trunk: }", "network: lan}")
    access = topologies.loads(text, running=before)
    assert trunks(change(before, access)[0]) == ({"h1-eth0"}, set())
    assert trunks(change(access, lab(running=access))[0]) == (set(), {"h1-eth0"})


def test_a_trunk_gets_a_device_that_is_made_anew() -> None:
    before = lab()
    after = lab('{lan: {}, sales: {mac: "02:aa:00:00:00:01"}}', running=before)
    operations, a, b = change(before, after)
    assert a.trunks == b.trunks and trunks(operations) == ({"h1-eth0"}, {"h1-eth0"})


def test_the_bridges_go_before_their_devices_move_and_come_after_that() -> None:
    operations, _, _ = change(lab(), move(lab(), "h1", "s2"))
    places = {type(operation): index for index, operation in enumerate(operations)}
    kinds = [type(operation) for operation in operations]
    assert kinds.index(SetTrunks) < kinds.index(MoveWire) < places[SetTrunks]
    (lost,) = [operation for operation in operations if isinstance(operation, SetTrunks) and operation.lost]
    (back,) = undone([lost])
    assert back == SetTrunks(gained=lost.lost)
    # Open vSwitch knows a port by its name: no switch gets one that another one still has
    sets = [operation for operation in operations if isinstance(operation, SetPorts)]
    gained = {port.device for operation in sets if operation.switch == "s2" for port in operation.gained}
    lost_names = {port.device for operation in sets if operation.switch == "s1" for port in operation.lost}
    assert gained and lost_names and not gained & lost_names


def test_the_bridges_of_a_trunk_drop_what_is_not_theirs() -> None:
    rows = [
        operation["row"] for operation in trunk_operations(plan(lab()).trunks[:1], "netdev")
        if operation.get("table") == "Port"
    ]  # fmt: skip
    modes = sorted((row["vlan_mode"], str(row.get("tag", row.get("trunks")))) for row in rows)
    both = "['set', [10, 20]]"
    assert modes == sorted(
        [("access", "10"), ("access", "20"), ("access", "4095")] * 2 + [("trunk", both)] * 3
    )
    assert trunk_operations([], "netdev") == []
