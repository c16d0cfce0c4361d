"""Hosts that route: which pairs reach each other by the routes of the file, and what routers may send."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address

import topologies
from topologies.model.policy import Policy
from topologies.model.routing import Routing
from topologies.model.topology import Topology
from topologies.saving import text

LAB = """\
networks: {a: {subnet4: 10.1.0.0/24}, b: {subnet4: 10.2.0.0/24}, c: {subnet4: 10.3.0.0/24}}
switches: [s1, s2]
hosts:
  h1: {switch: s1, network: a, gateway: r1}
  h2: {switch: s1, network: b, gateway: r1}
  h3: {switch: s2, network: c, gateway: r2}
  h4: {switch: s2, network: c}
  r1:
    kind: router
    interfaces: {a: {switch: s1, network: a}, b: {switch: s1, network: b}}
    routes: {c: r2}
  r2: {kind: router, interfaces: {b: {switch: s1, network: b}, c: {switch: s2, network: c}}, routes: {a: r1}}
"""


def load(text: str, running: Topology | None = None) -> Topology:
    return topologies.loads(text.encode(), "lab.yaml", running)


def pairs(lab: Topology) -> set[tuple[str, str]]:
    hosts = {"h1", "h2", "h3", "h4"}
    return {pair for pair in Routing(lab).ways if hosts.issuperset(pair)}


def test_routes_lead_there_and_back_or_not_at_all() -> None:
    both = {("h1", "h2"), ("h1", "h3"), ("h2", "h3")}
    assert pairs(load(LAB)) == both | {(b, a) for a, b in both}
    one_way = load(LAB.replace(", routes: {a: r1}", ""))
    assert pairs(one_way) == {("h1", "h2"), ("h2", "h1"), ("h2", "h3"), ("h3", "h2")}


def test_the_first_hop_is_an_interface_in_the_senders_network() -> None:
    routing = Routing(load(LAB))
    assert routing.ways["h1", "h3"] == {4: "r1"}
    assert routing.ways["h3", "h1"] == {4: "r2-c"}
    step = routing.step("h1", ip_address("10.3.0.1"))
    assert step is not None and str(step.next) == "10.1.0.2"
    assert routing.step("h4", ip_address("10.1.0.1")) is None


def test_routes_in_a_circle_lead_nowhere() -> None:
    lab = load(LAB.replace("routes: {a: r1}", "gateway: r1").replace("routes: {c: r2}", "gateway: r2"))
    step = Routing(lab).step("r1", ip_address("192.0.2.1"))
    assert step is not None and str(step.next) == "10.2.0.3"
    assert pairs(lab) == pairs(load(LAB))


def test_a_router_sends_what_its_other_interfaces_lead_to() -> None:
    lab = load(LAB)
    by_name = {host.name: host.port for host in lab.hosts}
    sources = Routing(lab).sources()
    a, b, c = (IPv4Network(f"10.{number}.0.0/24") for number in (1, 2, 3))
    assert set(sources[by_name["r1"]].among) == {b, c} and sources[by_name["r1"]].except_ == (a,)
    # b: r1 may send packets of c back into b, where r2 is, whose network b's hosts may use r1 for
    assert set(sources[by_name["r1-b"]].among) == {a, b} and sources[by_name["r1-b"]].except_ == ()
    assert set(sources[by_name["r2-c"]].among) == {a, b}


def test_a_default_route_allows_any_source_but_those_of_the_own_network() -> None:
    lab = load(LAB.replace("routes: {c: r2}", "gateway: r2"))
    port = next(host.port for host in lab.hosts if host.name == "r1")
    assert IPv4Network("0.0.0.0/0") in Routing(lab).sources()[port].among
    assert Routing(lab).sources()[port].except_ == (IPv4Network("10.1.0.0/24"),)


def test_pairs_beyond_a_router_are_not_apart() -> None:
    lab = load(LAB)
    host = {host.name: host for host in lab.hosts}
    policy = Policy(lab)
    assert policy.ping(host["h1"], host["h3"], 4).allowed is True  # no link joins s1 and s2
    assert policy.ping(host["h1"], host["h4"], 4).apart


def test_it_saves_and_loads_again() -> None:
    lab = load(LAB)
    assert load(text(lab)) == lab


def test_a_lab_without_routers_has_no_ways() -> None:
    lab = load("switches: [s1]\nhosts: {h1: s1, h2: s1}\n")
    assert not Routing(lab) and Routing(lab).ways == {} and Routing(lab).sources() == {}
