"""What is planned for functions: a namespace each, their devices, and the ports at the other ends."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given, settings

import topologies
from dataplane.plan.lab import DEVICE_NAME_LIMIT, plan
from dataplane.plan.wiring import wiring
from tests.unit.dataplane.changing_labs import lab, labs
from topologies.model.functions import Chain
from topologies.model.overlay import overlay
from topologies.model.topology import Topology

NOBODY: frozenset[str] = frozenset()


def test_every_kind_of_function_has_its_devices() -> None:
    functions = {"fw": ("s1", "inline", [2, 3, 4, 5]), "ids": ("s2", "tap", [7]), "lb": ("s3", "host", [1])}
    planned = plan(lab({"h1": ("s1", 1, "blue", None)}, functions, {}, {"blue": 10}))  # type: ignore[arg-type]
    devices = {
        instance.name: (instance.netns, [(w.near.device, w.far.netns, w.far.device) for w in instance.wires])
        for instance in planned.instances
    }
    assert devices == {
        "fw.1": ("function-fw.1", [("in", "domain-d1", "s1-eth2"), ("out", "domain-d1", "s1-eth3")]),
        "fw.2": ("function-fw.2", [("in", "domain-d1", "s1-eth4"), ("out", "domain-d1", "s1-eth5")]),
        "ids.1": ("function-ids.1", [("tap", "domain-d1", "s2-eth7")]),
        "lb": ("function-lb", [("eth0", "domain-d2", "s3-eth1")]),
    }
    numbers = {b.switch: {p.device: p.number for p in b.ports} for d in planned.domains for b in d.bridges}
    assert numbers["s1"]["s1-eth4"] == 4 and numbers["s3"]["s3-eth1"] == 1


def test_a_balancer_is_a_host_and_the_others_are_silent() -> None:
    functions = {"fw": ("s1", "inline", [2, 3]), "lb": ("s1", "host", [4])}
    topology = lab({"h1": ("s1", 1, "blue", None)}, functions, {}, {"blue": 10})  # type: ignore[arg-type]
    routed = topology.networks[0].model_copy(update={"gateway4": topology.hosts[0].ipv4})
    planned = plan(topology.model_copy(update={"networks": (routed,)}))
    firewall, balancer = planned.instances
    (eth0,) = balancer.wires
    assert eth0.near.mac and [str(a) for a in eth0.addresses] == ["10.0.200.1/16"]
    assert [str(gateway) for gateway in eth0.gateways] == ["10.0.0.1"]
    assert eth0.mtu == 1450 and not balancer.quiet
    assert firewall.quiet and all(w.thick and w.mtu == 1500 and not w.addresses for w in firewall.wires)


def test_wires_of_functions_take_the_largest_host() -> None:
    topology = lab({"h1": ("s1", 1, "blue", None)}, {"fw": ("s1", "inline", [2, 3])}, {}, {"blue": 10}, 9000)
    assert {wire.mtu for wire in plan(topology).instances[0].wires} == {9000}


def test_a_failed_switch_takes_down_the_ends_of_its_functions() -> None:
    planned = plan(lab({}, {"fw": ("s1", "inline", [2, 3])}, {}, {"blue": 10}))
    assert wiring(planned, NOBODY, frozenset({"s1"})).down == {("domain-d1", f"s1-eth{n}") for n in (2, 3)}


@settings(max_examples=50, deadline=None)
@given(labs())
def test_names_are_unique_and_fit(topology: Topology) -> None:
    planned = plan(topology)
    spaces = list(planned.namespaces)
    assert len(set(spaces)) == len(spaces)
    ends = [(end.netns, end.device) for wire in planned.wires.values() for end in (wire.near, wire.far)]
    assert len(set(ends)) == len(ends)
    assert all(len(device) <= DEVICE_NAME_LIMIT for _, device in ends)


def test_transports_of_chains_are_patch_ports_and_vxlan_devices_of_their_own() -> None:
    hosts = {"h1": ("s1", 1, "blue", None), "h2": ("s2", 1, "blue", None)}
    topology = lab(hosts, {"fw": ("s3", "inline", [2, 3])}, {}, {"blue": 10})  # type: ignore[arg-type]
    chain = Chain(name="c", path=1, network="blue", far_network="blue", functions=("fw",))
    topology = topology.model_copy(update={"chains": (chain,)})
    (transport,) = overlay(topology).transports
    planned = plan(topology)
    before = plan(topology.model_copy(update={"chains": ()}))
    more = set(planned.underlay.devices) - set(before.underlay.devices)
    assert {(d.netns, d.vni, d.flood) for d in more if d.vni == transport.vni} == {
        ("domain-d1", transport.vni, (IPv4Address("198.19.0.2"),)),
        ("domain-d2", transport.vni, ()),
    }
    assert {d.mtu for d in more if d.vni == transport.vni} == {1500}
    ports = {b.switch: {p.number: p for p in b.ports} for d in planned.domains for b in d.bridges}
    for uplink in transport.uplinks:
        near = ports[uplink.near.switch][uplink.near.number]
        far = ports[uplink.far.switch][uplink.far.number]
        assert (near.peer, far.peer) == (far.device, near.device)
    for tunnel in transport.tunnels:
        assert ports[tunnel.port.switch][tunnel.port.number].device == f"_vx{transport.vni}"


def test_a_balancer_has_no_way_to_a_gateway_of_a_family_that_it_has_no_address_of() -> None:
    text = """
networks: {lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}, out: {subnet4: 10.1.0.0/24}}
switches: [s1]
routers: {gw: [lan, out]}
hosts: {web: {switch: s1, network: lan}, far: {switch: s1, network: out}}
functions: {lb: {kind: load-balancer, switch: s1, ipv4: 10.0.0.100, port: 80, backends: [web]}}
"""
    (instance,) = plan(topologies.loads(text)).instances
    (wire,) = instance.wires
    assert (
        [address.version for address in wire.gateways]
        == [address.version for address in wire.addresses]
        == [4]
    )
