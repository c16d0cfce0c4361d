"""What flows are there for, as a value: the same as their match fields say, which nobody has to look at."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import topologies
from controller.compiler.chain_order import GATHER, NEVER, TAKEN, TO_CONTROLLER
from controller.compiler.compile import compile_topology
from controller.compiler.sff.returns import PROBE
from controller.compiler.stations import Learned
from controller.flow.builders import HOP, flow
from controller.flow.tables import Action, Clone, Field, Output, SetField, Table
from controller.origin import AtHop, ByChain, Classified, Into, Origin, Probe, Refused, Return
from controller.update.difference import difference, stages
from controller.update.joining import joining
from tests.unit.controller.made_chains import chain_labs
from topologies import shipped
from topologies.model.attachment import Inline
from topologies.model.kinds import FirewallFunction
from topologies.model.topology import Topology


def assert_origins_are_true(topology: Topology) -> None:
    ports = {
        (port.switch, port.number): function.attachment
        for function in topology.functions
        for instance in function.instances
        for port in instance.ports
    }
    for switch, tables in compile_topology(topology).items():
        for entry in tables.flows:
            here, origin = dict((field.name, field.value) for field in entry.match), entry.origin
            at = ports.get((switch, here.get("in_port", -1)))
            if entry.table is Table.CLASSIFY and isinstance(at, Inline):
                assert isinstance(origin, Probe | Return | Refused) and origin.port == here["in_port"]
                assert isinstance(origin, Probe) is (entry.priority == PROBE)
                assert isinstance(origin, Return) is (entry.priority < PROBE)
            else:
                assert not isinstance(origin, Probe | Return | Refused)
            if entry.table in (Table.CHAIN, Table.CLASSIFY) and entry.actions != TO_CONTROLLER:
                chosen = TAKEN <= entry.priority < (GATHER if entry.table is Table.CHAIN else PROBE)
                gathered = entry.table is Table.CHAIN and GATHER <= entry.priority < NEVER
                assert isinstance(origin, ByChain) is chosen or gathered
            else:
                assert isinstance(origin, ByChain) <= (entry.table is Table.CHAIN)
            steered = entry.table is Table.STEER and HOP in here
            assert isinstance(origin, AtHop) is steered
            if isinstance(origin, AtHop):
                assert origin.hop == here[HOP]
            into = {one.port for one in entry.actions if isinstance(one, Output)} if steered else set()
            mine = {port for port in into if (switch, port) in ports}
            assert mine == ({origin.port} if isinstance(origin, Into) else set())
            if isinstance(origin, Classified):
                assert entry.table is Table.CHAIN and SetField(HOP, origin.hop) in entry.actions
            elif entry.table is Table.CHAIN:
                assert not any(isinstance(one, SetField) and one.field == HOP for one in entry.actions)


@settings(max_examples=40)
@given(chain_labs())
def test_origins_of_any_chains(topology: Topology) -> None:
    assert_origins_are_true(topology)


@pytest.mark.parametrize(
    "name", ["service-chain", "firewall", "nat", "load-balancer", "ids", "python-function"]
)
def test_origins_of_what_comes_with_the_project(name: str) -> None:
    assert_origins_are_true(topologies.load(shipped.path(name)))


def named_in(topology: Topology) -> set[str]:
    """Names of all that entries of the file describe."""
    parts = (topology.hosts, topology.links, topology.networks, topology.chains, topology.functions)
    rules = {
        rule.name
        for function in topology.functions
        if isinstance(function, FirewallFunction)
        for rule in function.firewall.rules
    }
    names = {entry.name for part in (*parts, topology.routers) for entry in part} | rules
    return names - {"count", "source"}  # two functions' and hosts' names that are also words of origins


@pytest.mark.parametrize("name", shipped.names())
def test_what_comes_from_an_entry_of_the_file_has_its_line(name: str) -> None:
    topology = topologies.load(shipped.path(name))
    names = named_in(topology)
    for tables in compile_topology(topology).values():
        for element in (*tables.flows, *tables.groups, *tables.meters):
            origin = element.origin
            assert origin.text
            if origin.entity is None:  # then nothing that the file describes is the reason
                assert not names & set(re.findall(r"[\w.@#-]+", origin.text)), origin
            else:
                assert topology.places.of(origin.entity), origin


def test_what_teaches_a_function_comes_from_the_chain_that_it_joins() -> None:
    text = Path(shipped.path("service-chain")).read_text(encoding="utf-8")
    shorter = text.replace("functions: [fw, limit, lb]", "functions: [limit, lb]")
    old, new = topologies.loads(shorter, "lab.yaml"), topologies.loads(text, "lab.yaml")
    steps = stages(compile_topology(old), compile_topology(new), joining(old, new))
    copies = {
        (entry.origin.text, str(entry.origin.entity))
        for step in steps
        for tables in step.values()
        for entry in tables.flows
        if "copy" in entry.origin.text
    }
    assert ("functions that join the chain are given a copy first", "chain web") in copies
    assert ("a copy for a function that joins ends here", "chain web") in copies
    assert "None" not in {entity for _, entity in copies}, copies
    entries = [entry for step in steps for tables in step.values() for entry in tables.flows]
    assert (
        {entry.cookie for entry in entries if entry.origin.teaches}
        == {entry.cookie for entry in entries if makes_copies(entry.actions)}
        != set()
    )


def makes_copies(actions: tuple[Action, ...]) -> bool:
    """Whether a copy of the frame is marked by one bit of its source, also in a copy of a copy."""
    return any(
        isinstance(action, Clone)
        and (
            makes_copies(action.actions)
            or (isinstance(first := action.actions[0], SetField) and first.field == "eth_src" and first.mask)
        )
        for action in actions
    )


def entities(topology: Topology, text: str, **more: Any) -> set[str]:
    """Of all flows, groups and meters that say ``text``."""
    all_tables = compile_topology(topology, **more).values()
    elements = [
        element for tables in all_tables for element in (*tables.flows, *tables.groups, *tables.meters)
    ]
    return {str(element.origin.entity) for element in elements if text in element.origin.text}


@pytest.mark.parametrize(
    ("name", "text", "entity"),
    [
        ("quickstart", "link s1-s2", "link s1-s2"),
        ("quickstart", "to h1 on s1", "host h1"),
        ("quickstart", "ARP for h1 answered here", "host h1"),
        ("leaf-spine", "to leaf2: equal paths", "switch leaf2"),
        ("multi-domain", "ping of router store", "router store"),
        ("two-domains", "out of a tunnel of network blue", "network blue"),
        ("two-domains", "members of network red", "network red"),
        ("firewall", "firewall guard, rule", "rule guard/"),
        ("firewall", "firewall guard, default", "default guard"),
        ("service-chain", "chain web, load balancer lb: to web1", "backend lb/web1"),
        ("service-chain", "load balancer lb, IPv4", "function lb"),
        ("nat", "is forwarded to nas", "forward gate/tcp:8080"),
        ("ids", "copies for taps that look at", "mirror watch/"),
    ],
)
def test_an_entity_is_the_nearest_reason(name: str, text: str, entity: str) -> None:
    names = entities(topologies.load(shipped.path(name)), text)
    assert names and all(name.startswith(entity) for name in names), names


def test_a_learned_station_comes_from_the_host_at_its_port() -> None:
    topology = topologies.loads("switches: [s1]\nhosts: {h1: s1, h2: {switch: s1, allow-spoofing: true}}\n")
    learned = (Learned("lan", 0x02AA00000001, topology.hosts[1].port, IPv4Address("10.0.0.9")),)
    assert entities(topology, "02:aa:00:00:00:01", learned=learned) == {"host h2"}


def test_entries_that_move_change_no_flow() -> None:
    text = Path(shipped.path("service-chain")).read_text(encoding="utf-8")
    here, there = (topologies.loads(described, "lab.yaml") for described in (text, "\n\n" + text))
    assert here.places != there.places
    before, after = compile_topology(here), compile_topology(there)
    for switch, tables in before.items():
        cookies = [flow.cookie for flow in tables.flows]
        assert cookies == [flow.cookie for flow in after[switch].flows]
        assert not difference(cookies, tables.groups, after[switch], tables.meters)
        for one, other in zip(tables.flows, after[switch].flows, strict=True):
            assert one.origin == other.origin
            if one.origin.entity is not None:
                lines = here.places.of(one.origin.entity), there.places.of(one.origin.entity)
                assert lines[0] and lines[1] and lines[1].line == lines[0].line + 2


def test_an_origin_is_no_part_of_what_a_flow_does() -> None:
    one, other = (
        flow(Table.STEER, 1, (Field(HOP, 1),), why=why) for why in ("text", AtHop("hop", hop=1, first=True))
    )
    assert one == other and one.cookie == other.cookie
    assert (one.why, one.origin) == ("text", Origin("text"))
    assert other.origin.noted(", marked") == AtHop("hop, marked", hop=1, first=True)
