"""Broadcasts on random graphs: each reaches every member of its network exactly once, and nobody else."""

from __future__ import annotations

import networkx as nx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.compiler.broadcast import FLOOD, ON_A_TREE
from controller.compiler.compile import compile_topology
from controller.flow.tables import Field, SwitchTables, Table
from controller.simulate.network import Fabric, Outcome, wire
from tests.properties.controller.test_compiled_forwarding import graph, labs
from tests.unit.controller.made_frames import arp_request, ipv4, multicast, solicitation
from tests.unit.controller.made_labs import lab
from topologies.model.topology import Host, Topology
from wire.mac import BROADCAST, mac_number

NOBODY4, NOBODY6 = 0x0A01FFFE, 0x20010DB8 << 96 | 0xFFFF


def said_to_all(host: Host) -> list[dict[str, int]]:
    """mDNS, DHCP's first message, questions for strangers, a group of one's own, what is not IP."""
    discover = {**ipv4(host, host), "eth_dst": BROADCAST, "ip_src": 0, "ip_dst": 0xFFFFFFFF, "ip_proto": 17}
    group = {**ipv4(host, host), "eth_dst": 0x01005E010203, "ip_dst": 0xEF010203}
    other = {"eth_src": mac_number(host.mac), "eth_dst": 0x0180C2000020, "eth_type": 0x88B5}
    asked = [arp_request(host, NOBODY4), solicitation(host, NOBODY6)]
    return [multicast(host), discover | {"udp_src": 68, "udp_dst": 67}, group, other, *asked]


def drawn(data: st.DataObject, topology: Topology) -> frozenset[str]:
    links = [link.name for link in topology.links]
    return data.draw(st.frozensets(st.sampled_from(links), max_size=6) if links else st.just(frozenset()))


def members(topology: Topology, host: Host) -> list[Host]:
    return [other for other in topology.hosts if other.network == host.network and other is not host]


def reached(outcome: Outcome, frame: dict[str, int]) -> list[str]:
    assert not outcome.loop and not outcome.punted
    assert {arrival.fields for arrival in outcome.delivered} <= {wire(frame)}
    return sorted(str(arrival.at) for arrival in outcome.delivered)


def once_at_each_switch(outcome: Outcome) -> bool:
    """So it passed each wire once, in one direction."""
    return len({step.switch for step in outcome.steps}) == len(outcome.steps)


@settings(max_examples=200, deadline=None)
@given(labs(networks=3), st.data())
def test_each_broadcast_reaches_each_member_exactly_once_and_nobody_else(
    topology: Topology, data: st.DataObject
) -> None:
    dead = drawn(data, topology)
    fabric = Fabric(topology, compile_topology(topology, down_links=dead), dead)
    paths = graph(topology, dead)
    for host in topology.hosts:
        for frame in said_to_all(host):
            (outcome,) = fabric.outcomes(frame, host.port)
            there = [
                other
                for other in members(topology, host)
                if nx.has_path(paths, host.port.switch, other.port.switch)
            ]
            assert reached(outcome, frame) == sorted(str(other.port) for other in there)
            assert once_at_each_switch(outcome)


def tags(tables: dict[str, SwitchTables]) -> set[tuple[Field, ...]]:
    return {
        entry.match[2:]
        for held in tables.values()
        for entry in held.flows
        if entry.table is Table.CLASSIFY and entry.priority == ON_A_TREE
    }


RING = lab(4, [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (1, 3)], [0, 1, 2, 3])


@settings(max_examples=300, deadline=None)
@given(labs(dense=True), st.data())
def test_while_links_die_and_switches_change_one_by_one_no_broadcast_circles_or_comes_twice(
    topology: Topology, data: st.DataObject
) -> None:
    """Whichever switches have the new tables already, and whether the links are dead or live again."""
    dead, now = drawn(data, topology), drawn(data, topology)
    old, new = compile_topology(topology), compile_topology(topology, down_links=now)
    changed = data.draw(st.frozensets(st.sampled_from(sorted(old))))
    if not tags(old) & tags(new):
        old |= {name: new[name] for name in changed}
    fabric = Fabric(topology, old, dead)
    for host in topology.hosts:
        for frame in said_to_all(host):
            (outcome,) = fabric.outcomes(frame, host.port)
            ports = reached(outcome, frame)
            assert len(set(ports)) == len(ports) and once_at_each_switch(outcome)
            assert set(ports) <= {str(other.port) for other in members(topology, host)}


@settings(max_examples=100, deadline=None)
@example(RING)
@given(labs(networks=2))
def test_flows_are_few_whatever_the_number_of_hosts(topology: Topology) -> None:
    """Of each network a switch has two, and one for each of its links in the tree."""
    tables = compile_topology(topology)
    for held in tables.values():
        along = [entry for entry in held.flows if entry.priority == ON_A_TREE]
        links = sum(held.switch in (link.a.switch, link.b.switch) for link in topology.links)
        assert len(along) <= links * len(topology.networks)
        assert sum(group.id >= FLOOD for group in held.groups) <= len(topology.networks)
    edges = sum(entry.priority == ON_A_TREE for held in tables.values() for entry in held.flows)
    assert edges <= 2 * (len(topology.switches) - 1) * len(topology.networks)


def test_an_unknown_address_is_flooded_nowhere() -> None:
    fabric = Fabric(RING, compile_topology(RING))
    host = RING.hosts[0]
    (outcome,) = fabric.outcomes({**ipv4(host, host), "eth_dst": 0x02BBBBBBBBBB}, host.port)
    assert outcome == Outcome()


def test_a_tag_of_a_tree_is_no_way_into_a_network_for_a_host() -> None:
    topology = lab(3, [(0, 1), (1, 2), (2, 0)], [0, 1, 2, 0, 1, 2], networks=2)
    for free in (False, True):
        hosts = tuple(host.model_copy(update={"allow_spoofing": free}) for host in topology.hosts)
        some = topology.model_copy(update={"hosts": hosts})
        tables = compile_topology(some)
        fabric = Fabric(some, tables)
        for _, vid, pcp in {(None, *match) for match in tags(tables)}:
            for host in some.hosts:
                frame = {**multicast(host), "vlan_vid": vid.value, "vlan_pcp": pcp.value}
                outcomes = fabric.outcomes(frame, host.port)
                assert all(not outcome.delivered for outcome in outcomes)
