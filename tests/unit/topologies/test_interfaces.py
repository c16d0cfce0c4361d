"""Hosts with several interfaces: each is an end point, all are one host."""

from __future__ import annotations

import pytest

import topologies
from topologies.edit import move
from topologies.model.endpoints import endpoints
from topologies.model.topology import Topology
from topologies.saving import brief_text, text
from topologies.saving.unwritable import Unwritable

SEVERAL = """\
networks:
  a: {subnet4: 10.1.0.0/24}
  b: {subnet4: 10.2.0.0/24}
switches: [s1, s2]
links: [s1 -- s2]
hosts:
  h1: {interfaces: [{switch: s1, network: a}, {switch: s2, network: b}], serves: http}
  h2:
    interfaces: {lan: {switch: s1, network: a}, wan: {switch: "s2:9", network: b, loss: 1%}}
    kind: container
  h3: {switch: s1, network: a}
"""


def load(text: str, running: Topology | None = None) -> Topology:
    return topologies.loads(text.encode(), "lab.yaml", running)


def test_each_interface_is_an_endpoint_and_all_are_one_host() -> None:
    lab = load(SEVERAL)
    assert [end.name for end in endpoints(lab)] == ["h1", "h1-eth1", "h2", "h2-wan", "h3"]
    assert [(host.interface, host.node) for host in lab.hosts] == [
        ("h1-eth0", "h1"),
        ("h1-eth1", "h1"),
        ("lan", "h2"),
        ("wan", "h2"),
        ("h3-eth0", "h3"),
    ]
    assert [host.name for host in lab.nodes] == ["h1", "h2", "h3"]
    assert [host.name for host in lab.further["h1"]] == ["h1-eth1"]
    by_name = {host.name: host for host in lab.hosts}
    assert by_name["h1"].serves and not by_name["h1-eth1"].serves
    assert by_name["h2-wan"].kind == "container"


def test_it_saves_and_loads_again() -> None:
    lab = load(SEVERAL)
    moved = move(lab, "h2-wan", "s1")
    for topology in (lab, moved):
        assert load(text(topology)) == topology
    with pytest.raises(Unwritable):
        brief_text(lab)


def test_a_host_in_the_running_lab_keeps_addresses_when_it_gets_an_interface() -> None:
    before = load(SEVERAL.replace(", {switch: s2, network: b}]", "]"))
    after = load(SEVERAL, before)
    old = {host.name: host for host in before.hosts}
    assert {host.name for host in after.hosts} - old.keys() == {"h1-eth1"}
    assert all(old[host.name] == host for host in after.hosts if host.name in old)


def test_problems_name_the_interface_in_the_file() -> None:
    wrong = SEVERAL.replace('"s2:9", network: b', '"s2:9", network: c').replace(
        "s1, network: a}, {", "s7}, {"
    )
    with pytest.raises(topologies.Invalid) as caught:
        load(wrong)
    assert [problem.path for problem in caught.value.problems] == [
        "hosts.h1.interfaces.0.network",
        "hosts.h1.interfaces.0.switch",
        "hosts.h2.interfaces.wan.network",
    ]


def test_problems_elsewhere_find_the_line_of_an_interface() -> None:
    lab = load(SEVERAL)
    lines = {entity: line for entity, line in lab.places.lines.items() if entity.startswith("host ")}
    assert lines["host h2-wan"] == lines["host h2"] + 1 == 9
