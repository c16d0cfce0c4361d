"""Trunks: each VLAN is an interface of its own, and all of them are one wire at one switch."""

from __future__ import annotations

import pytest

import topologies
from topologies.edit import move
from topologies.model.kinds import DhcpServer
from topologies.model.topology import Topology
from topologies.model.trunks import trunks
from topologies.saving import brief_text, text
from topologies.saving.unwritable import Unwritable

FILE = """\
networks:
  lan: {vlan: 10, subnet4: 10.1.0.0/24}
  sales: {vlan: 20, subnet4: 10.2.0.0/24}
switches: [s1, s2]
links: [s1 -- s2]
hosts:
  pc: {switch: s1, vlan: 10, gateway: r1}
  r1: {kind: router, switch: s1, trunk: [10, sales]}
  h1: {interfaces: [{switch: s2, network: lan}, {switch: s2, trunk: {20: {mtu: 1400}, lan: }, mtu: 1300}]}
  h2: {interfaces: {up: {switch: s2, trunk: {lan: {switch: "s2:33"}}}, side: {switch: s1, network: sales}}}
"""


def load(text: str, running: Topology | None = None) -> Topology:
    return topologies.loads(text.encode(), "lab.yaml", running)


def test_each_vlan_of_a_trunk_is_an_interface() -> None:
    lab = load(FILE)
    assert {host.name: (host.interface, host.network, host.vlan, host.mtu) for host in lab.hosts} == {
        "h1": ("h1-eth0", "lan", None, 1500),
        "h1-lan": ("h1-eth1.10", "lan", 10, 1300),
        "h1-sales": ("h1-eth1.20", "sales", 20, 1400),
        "h2": ("up.10", "lan", 10, 1500),
        "h2-side": ("side", "sales", None, 1500),
        "pc": ("pc-eth0", "lan", None, 1500),
        "r1": ("r1-eth0.10", "lan", 10, 1500),
        "r1-sales": ("r1-eth0.20", "sales", 20, 1500),
    }
    assert [(trunk.name, trunk.node, trunk.switch, trunk.tags) for trunk in trunks(lab)] == [
        ("h1-eth1", "h1", "s2", (10, 20)),
        ("h2-up", "h2", "s2", (10,)),
        ("r1-eth0", "r1", "s1", (10, 20)),
    ]
    by_name = {host.name: host for host in lab.hosts}
    assert by_name["h2"].port.number == 33
    assert [route.via for route in by_name["pc"].routes] == [by_name["r1"].ipv4 and by_name["r1"].ipv4.ip]


def test_all_vlans_of_a_trunk_move_together() -> None:
    lab = load(FILE)
    moved = move(lab, "r1-sales", "s2")
    assert {host.name: host.port.switch for host in moved.hosts if host.node == "r1"} == {
        "r1": "s2",
        "r1-sales": "s2",
    }
    ports = [str(host.port) for host in moved.hosts]
    assert len({*ports}) == len(ports)
    assert move(moved, "r1", "s2") == moved
    # an interface beside a trunk moves alone
    assert {host.name for host in move(lab, "h1", "s1").hosts if host.port.switch == "s2"} == {
        "h1-lan",
        "h1-sales",
        "h2",
    }


def test_it_saves_and_loads_again() -> None:
    lab = load(FILE)
    for topology in (lab, move(lab, "r1", "s2"), move(lab, "h1", "s1")):
        assert load(text(topology)) == topology
    with pytest.raises(Unwritable):
        brief_text(lab)


def test_what_stays_of_a_running_lab_keeps_its_addresses() -> None:
    before = load(FILE.replace("[10, sales]", "[10]"))
    after = load(FILE, before)
    old = {host.name: host for host in before.hosts}
    assert {host.name for host in after.hosts} - old.keys() == {"r1-sales"}
    assert all(old[host.name] == host for host in after.hosts if host.name in old)


def test_problems_name_the_vlan_in_the_file() -> None:
    wrong = FILE.replace("{20: {mtu: 1400}", "{20: {ipv4: 10.9.0.1}").replace(
        "switch: s1, trunk", "switch: s7, trunk"
    )
    with pytest.raises(topologies.Invalid) as caught:
        load(wrong)
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (8, "hosts.r1.switch"),
        (9, "hosts.h1.interfaces.1.trunk.20.ipv4"),
    ]


def test_a_network_may_have_the_name_of_a_vlan_id() -> None:
    lab = load(
        FILE.replace("sales:", "10:", 1)
        .replace("sales", "'10'")
        .replace("trunk: [10, '10']", "trunk: [lan, 10]")
    )
    assert {host.network for host in lab.hosts if host.node == "r1"} == {"lan", "10"}


def test_a_network_of_vlan_ports_and_trunks_has_its_dhcp_server() -> None:
    lab = load(
        "networks: {a: {}, b: {vlan: 2, dhcp: true}, c: {vlan: 3, dhcp: true}, d: {dhcp: true}}\n"
        "switches: [s1, s2]\n"
        "hosts: {h1: {switch: s1, network: a}, h2: {switch: s2, vlan: 2}, h3: {switch: s2, trunk: [3]},"
        " h4: {interfaces: [{switch: s1, network: a}, {switch: s2, network: d}]}}\n"
    )
    servers = [function for function in lab.functions if isinstance(function, DhcpServer)]
    assert {(server.dhcp.network, server.dhcp.at.switch) for server in servers} == {
        ("b", "s2"), ("c", "s2"), ("d", "s2"),
    }  # fmt: skip


def test_all_trunks_of_a_host_have_a_limit_together() -> None:
    vlans = [f"n{tag}" for tag in range(1, 121)]
    networks = ", ".join(f"{name}: {{vlan: {name[1:]}}}" for name in vlans)
    trunks = [f"{{switch: s1, trunk: [{', '.join(some)}]}}" for some in (vlans[:60], vlans[60:])]
    text = f"networks: {{{networks}}}\nswitches: [s1]\nhosts: {{h1: {{interfaces: [{', '.join(trunks)}]}}}}\n"
    with pytest.raises(topologies.Invalid) as caught:
        load(text)
    assert "the host has 120 interfaces, each VLAN of a trunk one; allowed: up to 100" in str(caught.value)


def test_each_vlan_id_can_be_a_network() -> None:
    # with 256 subnets to choose from, they are not looked through again for each further network
    networks = ", ".join(f"n{tag}: {{vlan: {tag}}}" for tag in range(1, 4095))
    lab = load(f"networks: {{{networks}}}\nswitches: [s1]\nhosts: {{h1: {{switch: s1, vlan: 4094}}}}\n")
    assert {network.vlan for network in lab.networks} == {*range(1, 4095)}
    assert len({network.subnet4 for network in lab.networks}) == 256
