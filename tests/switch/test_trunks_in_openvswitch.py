"""Trunks in a real Open vSwitch: on any graph, each member gets a broadcast once, with its VLAN's tag on a
trunk and without one at an access port, as the evaluator says of the switches' ports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.simulate.network import Fabric, Frame
from controller.update.difference import bundle, difference
from dataplane.ovs import ovsdb
from dataplane.plan.lab import Plan, plan
from dataplane.plan.trunks import TrunkPlan
from tests.switch.ovs import Vswitch
from tests.switch.tracing import flow_text
from tests.unit.controller.made_frames import ipv4, multicast
from topologies.model.topology import Host, Topology
from wire.mac import BROADCAST, mac_number

TAGS = {"red": 10, "blue": 20, "green": 4094}


class Copy(NamedTuple):
    """A frame that leaves by a device; its ``tag``: None without one."""

    device: str
    tag: int | None


def drawn(random: Random) -> Topology:
    """A lab of a random graph, with hosts at access ports and trunks in random networks."""
    switches = [f"s{number}" for number in range(1, random.randint(2, 5) + 1)]
    pairs = [(a, b) for index, a in enumerate(switches) for b in switches[:index]]
    links = random.sample(pairs, random.randint(1, len(pairs)))
    hosts = []
    for number in range(1, random.randint(5, 8)):
        some = random.sample(list(TAGS), random.randint(1, 3))
        what = f"network: {some[0]}" if random.random() < 0.5 else f"trunk: [{', '.join(some)}]"
        hosts.append(f"  h{number}: {{switch: {random.choice(switches)}, {what}}}")
    networks = "".join(
        f"  {name}: {{vlan: {tag}, subnet4: 10.{number}.0.0/24}}\n"
        for number, (name, tag) in enumerate(TAGS.items(), 1)
    )
    wires = ", ".join(f"{a} -- {b}" for a, b in links)
    text = f"networks:\n{networks}switches: [{', '.join(switches)}]\nlinks: [{wires}]\nhosts:\n" + "\n".join(
        hosts
    )
    return topologies.loads(text)


class Built:
    """The bridges of a lab in an Open vSwitch, with its tables; devices are dummies."""

    def __init__(self, vswitch: Vswitch, topology: Topology) -> None:
        self.vswitch, self.plan = vswitch, plan(topology)
        self.tables = compile_topology(topology)
        (domain,) = self.plan.domains
        operations = ovsdb.bridge_operations(domain.bridges, "dummy", None)
        operations += ovsdb.trunk_operations(self.plan.trunks, "dummy")
        for operation in operations:
            if operation.get("table") == "Interface":
                operation["row"].setdefault("type", "dummy")
        self.client = ovsdb.Client(str(vswitch.directory / "db.sock"))
        self.client.wait(self.client.order(operations, "built"))
        for bridge in domain.bridges:
            with vswitch.channel(bridge.device) as channel:
                channel.send(bundle(difference((), (), self.tables[bridge.switch])))
        self.devices = {
            int(number): device
            for device, number in re.findall(r"^\s+(\S+) \d+/(\d+):", vswitch.appctl("dpif/show"), re.M)
        }

    def remove(self) -> None:
        rows = [row["_uuid"][1] for row in self.client.select("Bridge", ["_uuid"])]
        operations = [operation for row in rows for operation in ovsdb.remove_bridge(row)]
        self.client.wait(self.client.order(operations, "removed"))
        self.client.close()

    def copies(self, bridge: str, port: int, frame: Frame, tag: int | None = None) -> list[Copy] | None:
        """What leaves by devices when a frame comes in by a port, in the order of names. None: one of several
        equal paths is chosen in the datapath, where a trace ends."""
        text = flow_text(frame, port) + (f",dl_vlan={tag}" if tag is not None else "")
        said = self.vswitch.appctl("ofproto/trace", bridge, text)
        (actions,) = re.findall(r"^Datapath actions: (.*)$", said, re.M)
        if "hash(" in actions:
            return None
        copies = []
        for action in re.findall(r"[a-z_0-9]+(?:\([^()]*\))?", actions):
            if action == "pop_vlan":
                tag = None
            elif match := re.match(r"push_vlan\(vid=(\d+)", action):
                assert tag is None, said
                tag = int(match[1])
            elif action.isdigit():
                copies.append(Copy(self.devices[int(action)], tag))
        return sorted(copies, key=str)


def trunk_of(planned: Plan, host: Host) -> TrunkPlan:
    return next(trunk for trunk in planned.trunks if host.name in trunk.members)


@pytest.fixture(scope="module", params=range(12))
def lab(vswitch: Vswitch, request: pytest.FixtureRequest) -> Iterator[tuple[Topology, Built]]:
    topology = drawn(Random(request.param))
    built = Built(vswitch, topology)
    yield topology, built
    built.remove()


def entry(built: Built, host: Host) -> tuple[str, int, int | None]:
    """Where a host's frames enter its switch's side: bridge, port, tag."""
    if not host.trunk:
        return host.port.switch, host.port.number, None
    return trunk_of(built.plan, host).bridges[0].device, 1, host.vlan


def place(built: Built, host: Host) -> Copy:
    """The last device of the switch's side on the way to a host."""
    if host.trunk:
        return Copy(trunk_of(built.plan, host).tagged.far.device, host.vlan)
    return Copy(next(plan.far.device for plan in built.plan.hosts if plan.name == host.name), None)


def test_each_member_gets_what_is_evaluated_once_with_the_right_tag(lab: tuple[Topology, Built]) -> None:
    topology, built = lab
    fabric = Fabric(topology, built.tables)
    at = {str(host.port): host for host in topology.hosts}
    for host in topology.hosts:
        others = [other for other in topology.hosts if other is not host]
        everybody = {"eth_src": mac_number(host.mac), "eth_dst": BROADCAST, "eth_type": 0x88B5}
        to_all = [everybody, multicast(host)]
        for frame in (*to_all, *(ipv4(host, other) for other in others)):
            (outcome,) = fabric.outcomes(frame, host.port)
            wanted = [place(built, at[str(arrival.at)]) for arrival in outcome.delivered]
            bridge, port, tag = entry(built, host)
            copies = built.copies(bridge, port, frame, tag)
            assert copies == sorted(wanted, key=str) or (copies is None and frame not in to_all)
            assert len({*wanted}) == len(wanted)
            members = {other.name for other in others if other.network == host.network}
            assert {at[str(arrival.at)].name for arrival in outcome.delivered} <= members


def test_a_hosts_side_tags_for_the_wire_and_shows_the_trunks_device_everything(
    lab: tuple[Topology, Built],
) -> None:
    topology, built = lab
    devices = {plan.name: plan.far.device for plan in built.plan.hosts}
    for host in topology.hosts:
        if not host.trunk:
            continue
        trunk, frame = trunk_of(built.plan, host), multicast(host)
        bridge, ports = (
            trunk.bridges[1].device,
            {p.port.device: p.port.number for p in trunk.bridges[1].ports},
        )
        inner, whole, wire = devices[host.name], trunk.wire.far.device, trunk.tagged.near.device
        tagged = {device: Copy(device, host.vlan) for device in (whole, wire)}
        access = Copy(inner, None)
        ways = [
            (inner, None, [tagged[whole], tagged[wire]]),
            (whole, host.vlan, [access, tagged[wire]]),
            (wire, host.vlan, [access, tagged[whole]]),
        ]
        for source, tag, wanted in ways:
            assert built.copies(bridge, ports[source], frame, tag) == sorted(wanted, key=str)


def test_what_has_no_tag_or_another_one_passes_no_trunk(lab: tuple[Topology, Built]) -> None:
    topology, built = lab
    for host in topology.hosts:
        frame = multicast(host)
        if not host.trunk:
            for tag in (0, *TAGS.values(), 4095):
                assert built.copies(host.port.switch, host.port.number, frame, tag) == []
            continue
        trunk = trunk_of(built.plan, host)
        for tag in (None, 0, 30, 4095, *(set(TAGS.values()) - set(trunk.bridges[0].tags))):
            for bridge in trunk.bridges:
                assert built.copies(bridge.device, 1, frame, tag) == []
        # an access port takes none, not even its own
        number = next(p.port.number for p in trunk.bridges[1].ports if p.tag == host.vlan)
        for tag in TAGS.values():
            assert built.copies(trunk.bridges[1].device, number, frame, tag) == []
