"""Firewalls' flows against a direct reading of their rules, by evaluation."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_network
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from controller.compiler.compile import compile_topology
from controller.compiler.functions.firewall_rules import generation
from controller.compiler.functions.firewall_verdicts import FIRST_RULE, NOTICES, Notice, notices
from controller.compiler.tracking import numbered, port_zones
from controller.flow.builders import OUT_PORT, flow
from controller.flow.port_ranges import covering
from controller.flow.tables import CONTROLLER, Flow, SwitchTables, Table
from controller.simulate.network import Fabric
from controller.simulate.switch import Lookup, Sent, at_switch
from controller.simulate.tracking import Connections, Tuple, tuple_of
from tests.unit.controller.made_service import chain_lab, host, surrounded
from tests.unit.strategies import one_of
from topologies.model.attachment import AtPorts
from topologies.model.functions import Firewall, Rule
from topologies.model.kinds import function_of
from topologies.model.topology import Host, Port, Topology
from wire.mac import mac_number
from wire.protocol import NUMBERS, TCP, UDP

compiled = lru_cache(maxsize=200)(compile_topology)
"""Examples often compile the same again."""
# few values, so that rules and packets often meet
SOURCES4 = [IPv4Address(f"10.9.0.{n}") for n in (1, 2, 3)] + [IPv4Address("10.9.64.1")]
SOURCES6 = [IPv6Address(f"2001:db8:9::{n}") for n in (1, 2, 3)] + [IPv6Address("2001:db8:a::1")]
PREFIXES = ["10.9.0.1/32", "10.9.0.2/31", "10.9.0.0/24", "10.8.0.0/15", "0.0.0.0/0",
            "2001:db8:9::1/128", "2001:db8:9::2/127", "2001:db8:8::/46", "::/0"]  # fmt: skip
PORTS = [0, 1, 22, 79, 80, 81, 1023, 1024, 40000, 65535]
PROTOCOLS = ["tcp", "udp", "sctp", "icmp", "icmpv6"]

prefixes = st.lists(st.sampled_from(PREFIXES), max_size=3).map(lambda some: tuple(map(ip_network, some)))
ranges = st.lists(
    st.sampled_from([tuple(sorted(pair)) for pair in product(PORTS, repeat=2)]), max_size=3
).map(tuple)
ACTIONS = ("accept", "drop", "reject")
SORTS = st.sampled_from([*product(ACTIONS, (None, *PROTOCOLS), (False, True), (False, True), (None, 10))])
"""Of a rule: action, protocol, whether it says source ports, whether it logs, its rate."""


@st.composite
def rule_sets(draw: st.DrawFn) -> Firewall:
    rules = []
    for number in range(draw(st.integers(0, 6))):
        action, protocol, source_ports, log, rate = draw(SORTS)
        with_ports = protocol in (None, "tcp", "udp")
        rules.append(
            Rule(
                name=f"r{number}",
                action=action,
                source=draw(prefixes),
                destination=draw(prefixes),
                protocol=protocol,  # type: ignore[arg-type]
                source_ports=draw(ranges) if with_ports and source_ports else (),
                destination_ports=draw(ranges) if with_ports else (),
                log=log,
                rate=rate,
            )
        )
    return Firewall(rules=tuple(rules), default=draw(one_of(*ACTIONS)))


ENDS = st.sampled_from(
    [
        (version, int(a), int(b), protocol)
        for version, addresses, icmp in ((4, SOURCES4, "icmp"), (6, SOURCES6, "icmpv6"))
        for a, b in product(addresses, repeat=2)
        for protocol in (TCP, UDP, NUMBERS[icmp], 47)
    ]
)
PORT_PAIRS = st.sampled_from([*product(PORTS, repeat=2)])


@st.composite
def tuples(draw: st.DrawFn) -> Tuple:
    version, source, destination, protocol = draw(ENDS)
    ports = draw(PORT_PAIRS) if protocol in (TCP, UDP) else (0, 0)
    return Tuple(version, source, destination, protocol, *ports)


def packet(which: Tuple, answer: bool = False) -> dict[str, int]:
    """One of its packets; ``answer``: of an echo, a reply."""
    head = "ip" if which.version == 4 else "ipv6"
    frame = {
        "eth_src": 0x020000000901,
        "eth_dst": 0x020000000902,
        "eth_type": 0x0800 if which.version == 4 else 0x86DD,
        f"{head}_src": which.source,
        f"{head}_dst": which.destination,
        "ip_proto": which.protocol,
    }
    if which.protocol in (TCP, UDP):
        name = "tcp" if which.protocol == TCP else "udp"
        frame |= {f"{name}_src": which.tp_src, f"{name}_dst": which.tp_dst}
        frame |= {"tcp_flags": 16} if which.protocol == TCP else {}
    elif which.protocol in (1, 58):
        icmp = "icmp" if which.version == 4 else "icmpv6"
        kinds = (0, 8) if which.version == 4 else (129, 128)
        frame |= {f"{icmp}_type": kinds[0 if answer else 1], f"{icmp}_code": 0}
    return frame


def says(firewall: Firewall, which: Tuple) -> Rule:
    """What the rules say about a connection, read as the file has them."""
    for rule in firewall.rules:
        if about(rule, which):
            return rule
    return Rule(name="", action=firewall.default)


def about(rule: Rule, which: Tuple) -> bool:
    kind = IPv4Address if which.version == 4 else IPv6Address
    for wanted, number in ((rule.source, which.source), (rule.destination, which.destination)):
        if wanted and not any(kind(number) in prefix for prefix in wanted):
            return False
    if rule.protocol is not None and NUMBERS[rule.protocol] != which.protocol:
        return False
    for some, port in ((rule.source_ports, which.tp_src), (rule.destination_ports, which.tp_dst)):
        if some and not any(first <= port <= last for first, last in some):
            return False
    return which.protocol in (TCP, UDP) or not (rule.source_ports or rule.destination_ports)


def one(ways: Any) -> tuple[list[Sent], list[Flow]]:
    (way,) = ways
    return way  # type: ignore[no-any-return]


@settings(max_examples=150)
@given(rule_sets(), st.lists(tuples(), min_size=1, max_size=12))
def test_new_connections_are_judged_by_the_first_rule_that_matches(
    firewall: Firewall, some: list[Tuple]
) -> None:
    topology = chain_lab("firewall", firewall=firewall)
    tables, known = Lookup(surrounded(topology)), notices(topology)
    for which in some:
        frame = packet(which)
        sent, flows = one(at_switch(tables, frame, 1, connections=Connections()))
        rule = says(firewall, which)
        out = [copy for copy in sent if copy.port == 2]
        told = [copy for copy in sent if copy.port == CONTROLLER]
        assert bool(out) == (rule.action == "accept")
        assert bool(told) == (rule.log or rule.action == "reject")
        if told:
            (notice,) = [known[flow.cookie] for flow in flows if flow.cookie in known]
            assert notice == Notice("f", rule.name or None, rule.action, rule.log)
        for copy in (*out, *told):
            fields = {name: value for name, value in copy.frame.items() if name in frame}
            assert fields == frame, "the frame is as it was"
        for copy in out:
            left = {name for name, value in copy.frame.items() if name.startswith(("ct_", "reg")) and value}
            assert left == {"reg0"}, "nothing stays but its network"


@settings(max_examples=150)
@given(
    st.lists(rule_sets(), min_size=1, max_size=3),
    st.lists(st.tuples(tuples(), st.booleans(), st.integers(0, 2)), max_size=25),
)
def test_connections_are_judged_by_the_rules_in_force(
    sets: list[Firewall], steps: list[tuple[Tuple, bool, int]]
) -> None:
    """Old connections, too, both ways, by who began them."""
    labs = [Lookup(surrounded(chain_lab("firewall", firewall=rules))) for rules in sets]
    begun: dict[Tuple, Tuple] = {}
    connections = Connections()
    for which, way, number in steps:
        tables, firewall = labs[number % len(labs)], sets[number % len(sets)]
        original = begun.get(which) or begun.get(which.reversed())
        answer = original is not None and original != which
        echo = which.protocol in (1, 58)
        # an echo and its reply are told apart by their type, and can be of two connections
        frame = packet(which, answer and echo)
        sent, _ = one(at_switch(tables, frame, 1 if way else 2, connections=connections))
        accepted = says(firewall, original or which).action == "accept"
        assert [copy.port for copy in sent if copy.port != CONTROLLER] == (
            [2 if way else 1] if accepted else []
        )
        if original is None and accepted:
            begun[which] = which


@given(
    st.lists(
        st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda p: (min(p), max(p))), max_size=4
    )
)
def test_port_blocks_match_just_these_ports(some: list[tuple[int, int]]) -> None:
    blocks = covering(some)
    edges = {min(max(e + d, 0), 65535) for pair in some for e in pair for d in (-1, 0, 1)}
    for port in edges:
        inside = any(port & (0xFFFF if mask is None else mask) == value for value, mask in blocks)
        assert (inside or not blocks) == any(first <= port <= last for first, last in some)


def test_a_generation_is_of_what_the_rules_say() -> None:
    base = Firewall(rules=(Rule(name="a", action="accept"),))
    renamed = Firewall(rules=(Rule(name="b", action="accept", log=True, rate=3),))
    other = Firewall(rules=(Rule(name="a", action="drop"),))
    assert generation(base) == generation(renamed) != generation(other) != 0
    assert generation(base) != generation(base.model_copy(update={"default": "reject"}))


def test_zones_stay_when_others_come_and_go() -> None:
    some = [Port(switch=f"s{n}", number=7) for n in range(200)]
    all_of_them, half = port_zones(some), port_zones(some[:100])
    assert len(set(all_of_them.values())) == 200
    assert sum(all_of_them[port] == half[port] for port in half) >= 98
    with pytest.raises(ValueError, match="use fewer"):
        numbered(map(str, range(4)), range(3))


def test_more_rules_than_priorities_are_refused() -> None:
    rules = tuple(Rule(name=f"r{n}", action="drop") for n in range(FIRST_RULE))
    topology = chain_lab("firewall", firewall=Firewall(rules=rules))
    with pytest.raises(ValueError, match="use fewer"):
        surrounded(topology)


def test_a_rate_is_a_meter_of_new_connections_alone() -> None:
    topology = chain_lab("firewall", firewall=Firewall(rules=(Rule(name="a", action="accept", rate=5),)))
    tables = surrounded(topology)
    (meter,) = tables.meters
    assert meter.rate == 5 and meter.id != NOTICES.id
    metered = [flow for flow in tables.flows if any(getattr(a, "meter", 0) == meter.id for a in flow.actions)]
    assert metered and all(("ct_state", 0x21, 0x31) in flow.match for flow in metered)


# -- at hosts' ports -------------------------------------------------------------------


def ports_lab(firewall: Firewall) -> Topology:
    """Hosts h1 and h2 with a firewall at their ports, h3 without."""
    hosts: tuple[Host, ...] = (host(1), host(2), host(3).model_copy(update={"network": "free"}))
    base = chain_lab("firewall", hosts=hosts, firewall=firewall)
    wall = function_of(
        name="w", kind="firewall", engine="openflow", attachment=AtPorts(networks=("n",)),
        firewall=firewall,
    )  # fmt: skip
    free = base.networks[0].model_copy(update={"name": "free"})
    return base.model_copy(update={"functions": (wall,), "chains": (), "networks": (*base.networks, free)})


def between(a: Host, b: Host, protocol: int, port: int) -> dict[str, int]:
    assert a.ipv4 and b.ipv4
    which = Tuple(4, int(a.ipv4.ip), int(b.ipv4.ip), protocol, 40000, port)
    return {**packet(which), "eth_src": mac_number(a.mac), "eth_dst": mac_number(b.mac)}


@settings(max_examples=60)
@given(rule_sets(), st.sampled_from([TCP, UDP]), st.sampled_from(PORTS))
def test_both_hosts_ports_ask_the_rules(firewall: Firewall, protocol: int, port: int) -> None:
    topology = ports_lab(firewall)
    tables = Lookup(compiled(topology)["s"])
    h1, h2, _ = topology.hosts
    connections = Connections()
    frame = between(h1, h2, protocol, port)
    sent, flows = one(at_switch(tables, frame, 1, connections=connections))
    rule = says(firewall, tuple_of(frame))  # type: ignore[arg-type]
    accepted = rule.action == "accept"
    assert [copy.port for copy in sent if copy.port != CONTROLLER] == ([2] if accepted else [])
    asked = {
        flow.table for flow in flows if flow.priority >= 1000 and flow.table in (Table.FIREWALL, Table.ADMIT)
    }
    assert asked == ({Table.FIREWALL, Table.ADMIT} if accepted else {Table.FIREWALL})
    back = between(h2, h1, protocol, port)
    name = "tcp" if protocol == TCP else "udp"
    back |= {f"{name}_src": port, f"{name}_dst": 40000}
    if accepted:
        sent, _ = one(at_switch(tables, back, 2, connections=connections))
        assert [copy.port for copy in sent] == [1], "its answer comes back"


@settings(max_examples=60)
@given(rule_sets(), st.sampled_from([TCP, UDP]), st.sampled_from(PORTS), st.booleans())
def test_a_logged_connection_is_told_once(firewall: Firewall, protocol: int, port: int, inside: bool) -> None:
    """Where it is asked about first: at its sender's port, or at its receiver's when that has no firewall."""
    topology = ports_lab(firewall)
    known = notices(topology)
    tables = Lookup(compiled(topology)["s"])
    h1, h2, h3 = topology.hosts
    gateway = "02:00:00:00:00:ee"
    if not inside:
        h3 = h3.model_copy(update={"network": "n", "ipv4": IPv4Interface("10.77.0.3/24")})
    frame = between(h1 if inside else h3, h2, protocol, port)
    rule = says(firewall, tuple_of(frame))  # type: ignore[arg-type]
    if inside:
        _, flows = one(at_switch(tables, frame, 1, connections=Connections()))
    else:
        # as a router brings it, on its way to h2
        arrived = {**frame, "eth_src": mac_number(gateway), OUT_PORT: 2}
        whole = [flow for flow in compiled(topology)["s"].flows if flow.table is Table.ADMIT]
        entry = flow(Table.CLASSIFY, 65535, (), (), Table.ADMIT)
        alone = Lookup(SwitchTables("s", 1, (entry, *whole), (), compiled(topology)["s"].meters))
        _, flows = one(at_switch(alone, arrived, 9, connections=Connections()))
    told = [known[flow.cookie] for flow in flows if flow.cookie in known and known[flow.cookie].logged]
    assert [notice.rule for notice in told] == ([rule.name] if rule.log else [])


def test_arp_and_discovery_pass_the_firewall_at_a_port() -> None:
    topology = ports_lab(Firewall(rules=()))
    tables = Lookup(compiled(topology)["s"])
    h1, h2, _ = topology.hosts
    assert h1.ipv4 and h2.ipv4 and h1.ipv6 and h2.ipv6
    arp = {"eth_src": mac_number(h1.mac), "eth_dst": 0xFFFFFFFFFFFF, "eth_type": 0x0806, "arp_op": 1,
           "arp_spa": int(h1.ipv4.ip), "arp_tpa": int(h2.ipv4.ip), "arp_sha": mac_number(h1.mac),
           "arp_tha": 0}  # fmt: skip
    nd = {"eth_src": mac_number(h1.mac), "eth_dst": 0x3333FF000002, "eth_type": 0x86DD, "ip_proto": 58,
          "ipv6_src": int(h1.ipv6.ip), "ipv6_dst": 0xFF02 << 112, "icmpv6_type": 135, "icmpv6_code": 0,
          "nd_target": int(h2.ipv6.ip), "nd_sll": mac_number(h1.mac), "nd_reserved": 0,
          "nd_options_type": 1}  # fmt: skip
    for frame in (arp, nd):
        sent, _ = one(at_switch(tables, frame, 1, connections=Connections()))
        assert [copy.port for copy in sent] == [1], "answered by the switch"
    unicast = {**arp, "eth_dst": mac_number(h2.mac), "arp_op": 2}
    sent, _ = one(at_switch(tables, unicast, 1, connections=Connections()))
    assert [copy.port for copy in sent] == [2]


def test_a_network_without_firewall_asks_none() -> None:
    topology = ports_lab(Firewall(rules=()))
    _, _, h3 = topology.hosts
    frame = {**between(h3, h3, TCP, 80), "eth_dst": 0x02AAAAAAAAAA}
    _, flows = one(at_switch(Lookup(compiled(topology)["s"]), frame, 3, connections=Connections()))
    assert Table.FORWARD in {flow.table for flow in flows}


def test_the_shipped_firewall_lets_through_what_its_file_says() -> None:
    topology = topologies.load(Path(topologies.__file__).parent / "firewall.yaml")
    hosts = {host.name: host for host in topology.hosts}
    app, db = hosts["app"], hosts["db"]
    assert app.ipv4 and db.ipv4
    forth = Tuple(4, int(app.ipv4.ip), int(db.ipv4.ip), TCP, 40000, 5432)
    fabric = Fabric(topology, compiled(topology), connections=Connections())
    for which, source, target, passes in (
        (forth.reversed(), db, app, False),
        (forth._replace(tp_dst=80), app, db, False),
        (forth, app, db, True),
        (forth.reversed(), db, app, True),
    ):
        frame = {**packet(which), "eth_src": mac_number(source.mac), "eth_dst": mac_number(target.mac)}
        (outcome,) = fabric.outcomes(frame, source.port)
        assert [arrival.at for arrival in outcome.delivered] == ([target.port] if passes else [])
        assert bool(outcome.punted) is not passes, "rejected: its sender is told"
