"""Parts that nothing joins: told, and what they mean for who reaches whom."""

from __future__ import annotations

import topologies
from topologies.model.parts import parts, parts_now
from topologies.model.policy import Policy

APART = b"""
switches: [s1, s2, s3, s4, s5]
hosts: {h1: s1, h2: s2, h3: s3, h4: s3, h5: s4}
links: [s1 -- s2, s3 -- s4]
"""


def test_parts_are_told_the_largest_first() -> None:
    topology = topologies.loads(APART, "apart.yaml")
    assert [(part.switches, part.hosts) for part in parts(topology)] == [
        (("s3", "s4"), ("h3", "h4", "h5")),
        (("s1", "s2"), ("h1", "h2")),
        (("s5",), ()),
    ]
    (remark,) = topologies.remarks(topology)
    assert "3 parts that no link joins" in remark and "s1, s2 (h1, h2); s5 (no host)" in remark


def test_a_joined_lab_has_no_remark() -> None:
    assert not topologies.remarks(
        topologies.loads(APART.replace(b"s3 -- s4", b"s3 -- s4, s2 -- s3, s5 -- s1"), "joined.yaml")
    )


def test_an_underlay_joins_what_no_link_does() -> None:
    text = b"domains: [a, b]\nswitches: {s1: {domain: a}, s2: {domain: b}}\nhosts: {h1: s1, h2: s2}\n"
    topology = topologies.loads(text, "sites.yaml")
    assert len(parts(topology)) == 1 and not topologies.remarks(topology)


def test_many_and_long_names_are_cut_short() -> None:
    text = f"switches: [{', '.join(f's{number}' for number in range(1000))}]\nhosts: {{h1: s0}}\n"
    (remark,) = topologies.remarks(topologies.loads(text.encode(), "many.yaml"))
    assert "1000 parts" in remark and len(remark) < 400


def test_a_host_that_routes_joins_parts() -> None:
    text = """\
networks: {a: {subnet4: 10.1.0.0/24}, b: {subnet4: 10.2.0.0/24}}
switches: [s1, s2]
hosts:
  h1: {switch: s1, network: a}
  h2: {switch: s2, network: b}
  r: {kind: router, interfaces: [{switch: s1, network: a}, {switch: s2, network: b}]}
"""
    assert not topologies.remarks(topologies.loads(text.encode(), "routed.yaml"))
    assert topologies.remarks(topologies.loads(text.replace("router", "namespace").encode(), "apart.yaml"))


def test_hosts_of_different_parts_are_expected_not_to_reach_each_other() -> None:
    topology = topologies.loads(APART, "apart.yaml")
    hosts = {host.name: host for host in topology.hosts}
    policy = Policy(topology)
    assert policy
    away = policy.ping(hosts["h1"], hosts["h3"], 4)
    assert (away.allowed, away.apart, away.why) == (False, True, "no link joins s1 and s3")
    assert policy.ping(hosts["h3"], hosts["h5"], 6).allowed is True


def test_cut_links_and_wires_make_parts_that_an_underlay_joins_again() -> None:
    text = b"switches: [s1, s2, s3]\nhosts: {h1: s1, h2: s2, h3: s3, h4: s3}\nlinks: [s1 -- s2, s2 -- s3]\n"
    topology = topologies.loads(text, "x.yaml")
    assert len(set(parts_now(topology, (), ()).values())) == 1
    cut = parts_now(topology, {topology.links[0].name}, {"h4"})
    assert cut["h2"] == cut["h3"] and len(set(cut.values())) == 3
    domains = (
        b"domains: [a, b]\nswitches: {s1: {domain: a}, s2: {domain: b}}\nhosts: {h1: s1, h2: s2, h3: s2}\n"
    )
    over = parts_now(topologies.loads(domains, "x.yaml"), (), {"h3"})
    assert over["h1"] == over["h2"] != over["h3"]
