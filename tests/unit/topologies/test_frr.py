"""Routers that learn routes: which daemons a configuration needs, and what is expected of such routers."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

import topologies
from topologies.model import frr
from topologies.model.hosts import Host
from topologies.model.routing import Routing
from topologies.model.topology import Topology
from topologies.saving import text
from topologies.syntax.problem import Invalid

LAB = """\
networks:
  {a: {subnet4: 10.1.0.0/24}, b: {subnet4: 10.2.0.0/24}, c: {subnet4: 10.3.0.0/24}, d: {subnet4: 10.4.0.0/24}}
switches: [s1, s2]
hosts:
  h1: {switch: s1, network: a, gateway: r1}
  h2: {switch: s2, network: c, gateway: r2}
  h3: {switch: s2, network: c}
  r1: {kind: router, interfaces: [{switch: s1, network: a}, {switch: s1, network: b}], frr: "router ospf\\n"}
  r2: {kind: router, interfaces: [{switch: s2, network: c}, {switch: s1, network: b}], frr: "router ospf\\n"}
  far: {kind: router, interfaces: [{switch: s2, network: d}], frr: "router ospf\\n"}
  h4: {switch: s2, network: d, gateway: far}
"""


def load(text: str) -> Topology:
    return topologies.loads(text.encode(), "lab.yaml")


def host(lab: Topology, name: str) -> Host:
    return next(entry for entry in lab.hosts if entry.name == name)


def test_a_configuration_says_which_daemons_run() -> None:
    assert frr.daemons("hostname r1\n") == ("zebra", "staticd")
    both = "router ospf\n network 10.0.0.0/8 area 0\nrouter bgp 1\n neighbor 10.0.0.1 bfd\nrouter ospf6\n"
    assert set(frr.daemons(both)) == {"zebra", "staticd", "ospfd", "ospf6d", "bgpd", "bfdd"}
    assert frr.daemons(both)[0] == "zebra"
    assert "ospf6d" in frr.daemons("interface lan\n ipv6 ospf6 area 0\n")
    assert "pimd" in frr.daemons("interface lan\n ip pim\n")
    assert "bgpd" not in frr.daemons("! router bgp 1\n description router bgp\n")
    assert frr.unknown_protocols("!\nrouter opsf\nrouter bgp 1\n") == [(2, "opsf")]


def test_hosts_behind_routers_that_can_learn_from_each_other_are_expected_to_meet() -> None:
    routing = Routing(load(LAB))
    assert routing.ways["h1", "h2"] == {4: "r1"} and routing.ways["h2", "h1"] == {4: "r2"}
    assert {("h1", "h2"), ("h2", "h1")} == routing.learned
    # nobody promises the networks between, which are often not announced; and h3 has no gateway
    assert not {("h1", "r2"), ("h1", "h3"), ("h1", "h4"), ("h4", "h1")} & routing.ways.keys()


def test_a_route_of_the_file_needs_no_learning_but_a_default_route_does() -> None:
    stated = LAB.replace("frr:", "routes: {c: r2}, frr:", 1).replace("  r2: {", "  r2: {routes: {a: r1}, ")
    assert ("h1", "h2") in Routing(load(stated)).ways and not Routing(load(stated)).learned
    default = LAB.replace("  r1: {", "  r1: {gateway: r2, ")
    assert Routing(load(default)).learned == {("h1", "h2"), ("h2", "h1")}


def test_a_router_that_learns_sends_for_all_but_its_neighbours() -> None:
    lab = load(LAB)
    sources = Routing(lab).sources()
    lan = sources[host(lab, "r1").port]
    assert lan.among == (IPv4Network("0.0.0.0/0"),) and lan.except_ == (IPv4Network("10.1.0.0/24"),)
    # where another router is in the network, packets of neighbours may go on to it
    between = sources[host(lab, "r1-eth1").port]
    assert between.except_ == ()


def test_a_saved_lab_has_its_configurations() -> None:
    lab = load(LAB)
    again = load(text(lab))
    assert again == lab and frr.configuration(host(again, "r1")) == "router ospf\n"


ONE = (
    "networks: {a: {subnet4: 10.1.0.0/24}}\nhosts: {r1: {kind: router, switch: s1, network: a, frr: WHAT}}\n"
)


def test_a_text_without_blanks_is_the_path_of_a_file_beside(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"

    def given(what: str) -> str | None:
        file.write_text("switches: [s1]\n" + ONE.replace("WHAT", what), encoding="utf-8")
        (router,) = topologies.load(file).hosts
        return frr.configuration(router)

    (tmp_path / "r1.conf").write_text("router rip\n\n", encoding="utf-8")
    assert given("r1.conf") == "router rip\n"
    assert given("router rip") == "router rip\n"
    assert given('""') == given('"\\n"') == ""
    assert given("null") is None
    for content, said in (
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"a\0b", "NUL"),
        (b"router x", "protocol 'x'"),
    ):
        (tmp_path / "r1.conf").write_bytes(content)
        with pytest.raises(Invalid, match=said):
            given("r1.conf")
    with pytest.raises(Invalid, match="is a directory"):
        given(".")
