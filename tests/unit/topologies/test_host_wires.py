"""Wires between hosts: who is at their ends, their networks and addresses, and what knows them."""

from __future__ import annotations

from ipaddress import ip_interface
from pathlib import Path

import pytest

import topologies
from controller.compiler.compile import compile_topology
from topologies.edit import Impossible, move, shape
from topologies.model.endpoints import endpoints, plugs
from topologies.model.host_wires import host_wires
from topologies.model.overlay import network_numbers
from topologies.model.parts import parts_now, remark
from topologies.model.routing import Routing
from topologies.model.topology import Topology
from topologies.saving import text

RING = """\
switches: [s1]
hosts:
  r1: {kind: router, routes: {lan: r3}}
  r2: {kind: router}
  r3:
    kind: router
    interfaces: {eth0: s1, eth7: {peer: r2.eth3, ipv4: 10.9.9.1/30, bandwidth: 50mbit, from: {r2: {mtu}}}}
  pc: s1
links:
  - r1 -- r2
  - {ends: [r3, r1], mtu: 9000, delay: 10ms, from: {r3: {loss: 1%}}}
""".replace("{mtu}", "{bandwidth: 5mbit}")


def load(text: str, running: Topology | None = None) -> Topology:
    return topologies.loads(text.encode(), "lab.yaml", running)


def test_ends_become_interfaces_without_a_port() -> None:
    lab = load(RING)
    ends = {host.name: (host.of, host.interface, host.peer, host.network) for host in lab.hosts if host.peer}
    assert ends == {
        "r1": ("", "r1-eth0", "r2-eth1", "r1-r2"),
        "r1-eth1": ("r1", "r1-eth1", "r3-eth2", "r1-r3"),
        "r2": ("", "eth3", "r3-eth7", "r2-r3"),
        "r2-eth1": ("r2", "r2-eth1", "r1", "r1-r2"),
        "r3-eth2": ("r3", "r3-eth2", "r1-eth1", "r1-r3"),
        "r3-eth7": ("r3", "eth7", "r2", "r2-r3"),
    }
    assert [host.name for host in lab.attached] == ["pc", "r3"]
    with pytest.raises(ValueError, match="r1 is on no switch"):
        print(lab.nodes[1].at)


def test_each_wire_is_a_network_with_addresses() -> None:
    lab = load(RING)
    subnets = {network.name: [*map(str, network.subnets)] for network in lab.networks}
    assert subnets == {
        "lan": ["10.0.0.0/16", "fd00::/64"],
        "r1-r2": ["10.255.0.0/30", "fd00:0:ff::/64"],
        "r1-r3": ["10.255.0.4/30", "fd00:0:ff:1::/64"],
        "r2-r3": ["10.9.9.0/30"],
    }
    by_name = {host.name: host for host in lab.hosts}
    assert by_name["r2"].ipv4 == ip_interface("10.9.9.2/30")
    assert by_name["r1-eth1"].mtu == by_name["r3-eth2"].mtu == 9000
    assert max(link.mtu for link in (*lab.links, *lab.hosts) if link.name == "pc") == 1500


def test_each_direction_has_its_own_properties() -> None:
    lab = load(RING)
    wires = {wire.name: wire for wire in host_wires(lab)}
    assert [*wires] == ["r1-r2", "r1-r3", "r2-r3"]
    forth, back = wires["r1-r3"].shaping.ways
    assert (forth.delay, forth.loss, back.delay, back.loss) == (10000, None, 10000, 0.01)
    assert [way.bandwidth for way in wires["r2-r3"].shaping.ways] == [5_000_000, 50_000_000]
    assert wires["r2-r3"].b.shaping.forth.bandwidth == 50_000_000


def test_switches_know_nothing_of_wires() -> None:
    lab = load(RING)
    assert {endpoint.name for endpoint in endpoints(lab)} == {"pc", "r3"}
    assert {plug.key for plug in plugs(lab)} == {("host", "pc"), ("host", "r3")}
    assert network_numbers(lab) == {"lan": 1}
    alone = load("switches: [s1]\nhosts: {h1: s1, h2: {interfaces: {eth0: s1}}}\n")
    wired = load("switches: [s1]\nhosts: {h1: s1, h2: {interfaces: {eth0: s1, up: {peer: h3}}}, h3: {}}\n")
    assert compile_topology(wired)["s1"] == compile_topology(alone)["s1"]


def test_ends_find_each_other() -> None:
    lab = load(
        "hosts:\n"
        "  h1: {interfaces: [{peer: h2}, {peer: h2.wan}, {peer: h2}]}\n"
        "  h2: {interfaces: {lan: {peer: h1}, wan: {peer: h1.eth1}, more: {peer: h1}}}\n"
        "links: [h2 -- h1, h1.x -- h2.y]\n"
    )
    wires = {wire.name: (wire.a.name, wire.b.name) for wire in host_wires(lab)}
    assert wires == {
        "h1-h2": ("h1", "h2"),
        "h1-h2#2": ("h1-eth1", "h2-wan"),
        "h1-h2#3": ("h1-eth2", "h2-more"),
        "h1-h2#4": ("h1-eth3", "h2-eth3"),
        "h1-h2#5": ("h1-x", "h2-y"),
    }


@pytest.mark.parametrize(
    "what", [RING, "hosts: {h1: {}, h2: {peer: h1}, h3: {}}\nlinks: [h1 -- h3, h3 -- h1.b, h1 -- h3]\n"]
)
def test_a_saved_file_says_the_same(what: str) -> None:
    lab = load(what)
    assert load(text(lab)) == lab


def test_a_running_lab_keeps_addresses_of_wires() -> None:
    lab = load(RING)
    more = load(RING + "  - pc -- r1\n", lab)
    was, now = ({host.name: (host.mac, host.ipv4, host.ipv6) for host in one.hosts} for one in (lab, more))
    assert {name: now[name] for name in was} == was


def test_pairs_are_those_of_wires_and_of_routes() -> None:
    lab = topologies.load(Path(topologies.__file__).parent / "router-ring.yaml")
    ways = Routing(lab).ways
    assert ways["left", "right"] == {4: "r1", 6: "r1"}
    assert ("left", "r2") in ways and ("r1-east", "r2") not in ways


def test_parts_follow_cut_wires() -> None:
    lab = load(RING)
    now = parts_now(lab, {"r1-r2"}, ())
    assert now["r1"] != now["r2-eth1"] and now["r2"] == now["r3-eth7"] and now["pc"] == now["r3"]
    joined = "switches: [a, b]\nhosts: {x: {kind: router, switch: a}, y: {kind: router, switch: b}}\n"
    assert "2 parts" in remark(load(joined))
    assert remark(load(joined + "links: [x -- y]\n")) == ""


def test_an_interface_on_a_wire_does_not_move() -> None:
    with pytest.raises(Impossible, match="on a wire to r2-eth1"):
        move(load(RING), "r1", "s1")
    assert move(load(RING), "r3", "s1") == load(RING)


def test_a_wire_changes_in_one_direction() -> None:
    lab = shape(load(RING), "r1-r3", {"bandwidth": "1mbit", "delay": "none", "mtu": "1400"}, "r3")
    wire = next(wire for wire in host_wires(lab) if wire.name == "r1-r3")
    assert [way.bandwidth for way in wire.a.shaping.ways] == [None, 1_000_000]
    assert [way.delay for way in wire.b.shaping.ways] == [None, 10000]
    assert wire.a.mtu == wire.b.mtu == 1400
    with pytest.raises(Impossible, match="IPv6 address, for which MTU 600 is too small"):
        shape(load(RING), "r1-r3", {"mtu": "600"})
