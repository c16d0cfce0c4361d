"""Pairs that are proven by computation, against each frame evaluated by itself; also with faulty tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.flow.builders import cookie_of
from controller.flow.tables import Flow, Output, SetField, SwitchTables, Table, ToGroup
from controller.proof.links import crossings
from controller.proof.pairs import Proof, prove, ring
from controller.simulate.network import Fabric, Outcome
from tests.unit.controller.made_frames import arp_request, solicitation
from topologies import generate, shipped
from topologies.model.endpoints import endpoints
from topologies.model.topology import Host, Topology
from wire.mac import mac_number

PLAIN = b"""
switches: [s1, s2, s3]
links: [s1 -- s2, s2 -- s3, s1 -- s3]
networks: {red: {}, blue: {}}
hosts:
  r1: {switch: s1, network: red}
  r2: {switch: s2, network: red}
  r3: {switch: s3, network: red}
  b1: {switch: s1, network: blue}
  b2: {switch: s2, network: blue}
"""
ROUTED = PLAIN.replace(b"hosts:", b"routers: {r: [red, blue]}\nhosts:")
SEVERAL = PLAIN.replace(
    b"{switch: s1, network: blue}",
    b"{interfaces: [{switch: s1, network: blue}, {switch: s2, network: blue}, {switch: s2, network: red}]}",
)
SEVERAL_ROUTED = SEVERAL.replace(b"hosts:", b"routers: {r: [red, blue]}\nhosts:")
TUNNELS = b"""
domains: [d1, d2]
switches: {s1: {domain: d1}, s2: {domain: d2}}
networks: {red: {}, blue: {}}
hosts:
  r1: {switch: s1, network: red}
  r2: {switch: s2, network: red}
  b1: {switch: s1, network: blue}
  b2: {switch: s2, network: blue}
"""
EQUAL = b"""
switches: [l1, l2, p1, p2]
links: [l1 -- p1, l1 -- p2, l2 -- p1, l2 -- p2]
hosts: {h1: l1, h2: l2}
"""
LABS = {"plain": PLAIN, "routed": ROUTED, "tunnels": TUNNELS, "equal paths": EQUAL}
LABS |= {"several interfaces": SEVERAL, "several interfaces, routed": SEVERAL_ROUTED}


def load(text: bytes) -> Topology:
    return topologies.loads(text, "lab.yaml")


class OneByOne:
    """Which pairs reach each other, by evaluating every frame of every pair by itself."""

    def __init__(self, topology: Topology, tables: Mapping[str, SwitchTables]) -> None:
        self.topology, self.fabric = topology, Fabric(topology, tables)
        self.gateways = {e.network: e for e in endpoints(topology) if e.kind == "router"}

    def proven(self) -> set[tuple[str, str, int]]:
        hosts = self.topology.hosts
        return {
            (a.name, b.name, family)
            for a in hosts
            for b in hosts
            if a.node != b.node and (a.network == b.network or a.network in self.gateways)
            for family in (4, 6)
            if self.pair(a, b, family)
        }

    def pair(self, a: Host, b: Host, family: int) -> bool:
        return (
            self.resolved(a, b, family)
            and self.resolved(b, a, family)
            and self.arrives(a, b, family, 8 if family == 4 else 128)
            and self.arrives(b, a, family, 0 if family == 4 else 129)
        )

    def resolved(self, asking: Host, asked: Host, family: int) -> bool:
        who = asked if asked.network == asking.network else self.gateways[asking.network]
        address = who.ipv4 if family == 4 else who.ipv6
        assert address is not None
        make: Callable[[Host, int], dict[str, int]] = arp_request if family == 4 else solicitation
        frame = make(asking, int(address.ip))
        mac = mac_number(who.mac)
        wanted = (
            {"arp_op": 2, "arp_sha": mac, "arp_spa": int(address.ip), "eth_src": mac}
            if family == 4
            else {"icmpv6_type": 136, "nd_tll": mac, "eth_src": mac, "ipv6_src": int(address.ip)}
        )
        wanted["eth_dst"] = mac_number(asking.mac)
        if family == 6:
            frame |= {"nw_ttl": 255}
        return all(self.well(outcome, asking, wanted) for outcome in self.fabric.outcomes(frame, asking.port))

    def arrives(self, a: Host, b: Host, family: int, kind: int) -> bool:
        routed = a.network != b.network
        to = self.gateways[a.network].mac if routed else b.mac
        assert a.ipv4 and b.ipv4 and a.ipv6 and b.ipv6
        frame = {"eth_src": mac_number(a.mac), "eth_dst": mac_number(to), "nw_ttl": 64}
        if family == 4:
            frame |= {"eth_type": 0x0800, "ip_proto": 1, "ip_src": int(a.ipv4.ip), "ip_dst": int(b.ipv4.ip)}
            frame |= {"icmp_type": kind, "icmp_code": 0}
        else:
            frame |= {"eth_type": 0x86DD, "ip_proto": 58}
            frame |= {"ipv6_src": int(a.ipv6.ip), "ipv6_dst": int(b.ipv6.ip)}
            frame |= {"icmpv6_type": kind, "icmpv6_code": 0}
        by = self.gateways[b.network].mac if routed else a.mac
        wanted = {"eth_src": mac_number(by), "eth_dst": mac_number(b.mac), "nw_ttl": 63 if routed else 64}
        wanted["ip_dst" if family == 4 else "ipv6_dst"] = int((b.ipv4 if family == 4 else b.ipv6).ip)
        return all(self.well(outcome, b, wanted) for outcome in self.fabric.outcomes(frame, a.port))

    @staticmethod
    def well(outcome: Outcome, host: Host, wanted: Mapping[str, int]) -> bool:
        if outcome.loop or outcome.punted or [one.at for one in outcome.delivered] != [host.port]:
            return False
        fields = dict(outcome.delivered[0].fields)
        return (
            all(fields.get(name, 0) == value for name, value in wanted.items()) and "vlan_vid" not in fields
        )


def judged(topology: Topology, tables: Mapping[str, SwitchTables]) -> tuple[set[tuple[str, str, int]], Proof]:
    """The pairs that the computation refutes, and the proof."""
    proof, _ = prove(topology, tables)
    return {(pair.src, pair.dst, pair.family) for pair in proof.wrong}, proof


def all_pairs(topology: Topology) -> set[tuple[str, str, int]]:
    routed = bool(topology.routers)
    return {
        (a.name, b.name, family)
        for a in topology.hosts
        for b in topology.hosts
        if a.node != b.node and (a.network == b.network or routed)
        for family in (4, 6)
    }


@pytest.mark.parametrize("name", LABS)
def test_all_pairs_of_good_tables_are_proven(name: str) -> None:
    topology = load(LABS[name])
    tables = compile_topology(topology)
    wrong, proof = judged(topology, tables)
    assert not wrong and not proof.left and not proof.apart
    assert sum(proof.proven.values()) == len(all_pairs(topology))
    assert OneByOne(topology, tables).proven() == all_pairs(topology)


def remade(flow: Flow, **changes: object) -> Flow:
    other = replace(flow, **changes)  # type: ignore[arg-type]
    cookie = cookie_of(
        other.table, other.priority, other.match, other.actions, other.goto, other.idle_timeout
    )
    return replace(other, cookie=cookie)


def faults(flow: Flow, rng: random.Random) -> list[Flow | None]:
    """The flow in other forms; None: it is not there."""
    forms: list[Flow | None] = [None, remade(flow, actions=(), goto=None)]
    if any(isinstance(action, Output) for action in flow.actions):
        port = rng.randint(1, 5)
        moved = tuple([Output(port) if isinstance(a, Output) else a for a in flow.actions])
        forms.append(remade(flow, actions=moved))
    for at, action in enumerate(flow.actions):
        if isinstance(action, SetField):
            other = action._replace(value=action.value ^ 1)
            forms.append(remade(flow, actions=(*flow.actions[:at], other, *flow.actions[at + 1 :])))
    if flow.goto is not None:
        forms.append(remade(flow, goto=Table.FORWARD if flow.table < Table.FORWARD else None))
    forms.append(remade(flow, priority=flow.priority + 1000, match=flow.match[:1]))
    return forms


@pytest.mark.parametrize("name", LABS)
def test_a_fault_of_the_tables_is_found_for_the_pairs_that_it_harms(name: str) -> None:
    """What the computation refutes is what goes wrong when each frame is evaluated by itself; where it can't
    tell, packets do."""
    topology = load(LABS[name])
    good = compile_topology(topology)
    rng = random.Random(name)
    harmful = 0
    for _ in range(60):
        switch = rng.choice(sorted(good))
        held = good[switch]
        at = rng.randrange(len(held.flows))
        fault = rng.choice(faults(held.flows[at], rng))
        flows = (*held.flows[:at], *(() if fault is None else (fault,)), *held.flows[at + 1 :])
        tables = {**good, switch: replace(held, flows=flows)}
        wrong, proof = judged(topology, tables)
        harmed = all_pairs(topology) - OneByOne(topology, tables).proven()
        told = {key for key in harmed if key[:2] not in set(proof.left)}
        assert {key for key in wrong if key[:2] not in set(proof.left)} == told, (
            switch,
            held.flows[at],
            fault,
        )
        harmful += bool(harmed)
    assert harmful > 10


def test_every_bucket_of_equal_paths_must_lead_there() -> None:
    topology = load(EQUAL)
    tables = compile_topology(topology)
    leaf = tables["l1"]
    group = leaf.groups[0]
    dead_end = group.buckets[1]._replace(actions=(Output(99),), watch_port=None)
    broken = replace(group, buckets=(group.buckets[0], dead_end))
    tables["l1"] = replace(leaf, groups=(broken, *leaf.groups[1:]))
    assert any(isinstance(a, ToGroup) and a.group == group.id for f in leaf.flows for a in f.actions)
    wrong, _ = judged(topology, tables)
    assert ("h1", "h2", 4) in wrong and ("h2", "h1", 6) in wrong


def test_pairs_that_no_link_joins_are_apart_and_must_stay_so() -> None:
    topology = load(b"switches: [s1, s2]\nhosts: {a: s1, b: s1, c: s2}\n")
    proof, batches = prove(topology, compile_topology(topology))
    assert proof.apart == 8 and proof.proven == {4: 2, 6: 2} and not proof.wrong and not proof.left
    assert sorted(ring(topology, batches, proof)) == [("a", "b"), ("b", "a")]


def test_what_functions_do_is_left_to_packets() -> None:
    topology = topologies.load(shipped.path("firewall"))
    proof, _ = prove(topology, compile_topology(topology))
    assert len(proof.left) == 4 and not proof.wrong and not proof.proven


def test_switches_of_another_controller_are_left_to_packets() -> None:
    topology = load(EQUAL)
    tables = compile_topology(topology)
    del tables["p2"]
    proof, _ = prove(topology, tables)
    assert proof.left == [("h1", "h2"), ("h2", "h1")] and not proof.wrong


def test_links_that_are_down_lead_nowhere() -> None:
    topology = load(b"switches: [s1, s2]\nlinks: [s1 -- s2]\nhosts: {a: s1, b: s2}\n")
    proof, _ = prove(topology, compile_topology(topology), frozenset(("s1-s2",)))
    assert {pair.reason for pair in proof.wrong} >= {"port 2 of s1 is dead"}
    assert not sum(proof.proven.values())


@pytest.mark.parametrize("name", LABS)
def test_each_link_and_tunnel_is_crossed_in_both_directions(name: str) -> None:
    topology = load(LABS[name])
    _, batches = prove(topology, compile_topology(topology))
    frames = crossings(topology, batches)
    assert not frames.unused
    links = [(one.link, one.switch, one.port) for one in frames.all if not one.tunnel]
    ends = [(link.name, end.switch, end.number) for link in topology.links for end in (link.a, link.b)]
    assert links == ends
    tunnels = {one.link for one in frames.all if one.tunnel}
    wanted = {f"{n}: {way}" for n in ("red", "blue") for way in ("d1 to d2", "d2 to d1")}
    assert tunnels == (wanted if name == "tunnels" else set())


def test_work_grows_with_the_hosts_and_not_with_their_pairs() -> None:
    """By the number of states that were looked at: they don't depend on how many hosts a switch has."""

    def states(hosts: int) -> int:
        topology = generate.single(hosts)
        proof, batches = prove(topology, compile_topology(topology))
        assert proof.proven == dict.fromkeys((4, 6), hosts * (hosts - 1))
        return batches.walk.states

    assert states(40) == states(10)
