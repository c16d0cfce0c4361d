"""Hosts with several interfaces in the plan of a lab: one namespace, tables of routes, names."""

from __future__ import annotations

from pathlib import Path

import topologies
from dataplane.change.operations import AddSpace, AddWire, RemoveWire
from dataplane.change.steps import steps
from dataplane.fabric.fabric import Fabric
from dataplane.plan.lab import plan
from dataplane.plan.several import hosts_names, own_names_file, tables
from dataplane.plan.wiring import wiring
from topologies.model.topology import Topology

NETWORKS = "networks: {a: {subnet4: 10.1.0.0/24}, b: {subnet4: 10.2.0.0/24}, c: {subnet4: 10.3.0.0/24}}\n"
TWO = "{interfaces: [{switch: s1, network: a}, {switch: s1, network: b}]}"


def load(hosts: str, more: str = "", running: Topology | None = None) -> Topology:
    text = f"{NETWORKS}switches: [s1]\n{more}hosts: {{{hosts}, x: {{switch: s1, network: c}}}}\n"
    return topologies.loads(text.encode(), "lab.yaml", running)


def test_all_interfaces_are_in_the_namespace_of_their_host() -> None:
    lab = plan(load(f"h: {TWO}"))
    assert [(host.name, host.netns, host.near.device) for host in lab.hosts] == [
        ("h", "h", "h-eth0"),
        ("h-eth1", "h", "h-eth1"),
        ("x", "x", "x-eth0"),
    ]
    assert [name for name in lab.namespaces if not name.startswith("domain-")] == ["h", "x"]


def test_long_names_have_short_devices_that_differ() -> None:
    lab = plan(load(f"quite-a-long-name: {TWO}"))
    assert [host.near.device for host in lab.hosts if host.netns != "x"] == ["eth0", "eth1"]


def test_an_interface_is_added_and_removed_without_the_host() -> None:
    before = load("h: {interfaces: [{switch: s1, network: a}]}")
    one, two = plan(before), plan(load(f"h: {TWO}", running=before))
    none: frozenset[str] = frozenset()

    def kinds(old: object, new: object) -> list[type]:
        change = steps(old, new, wiring(old, none, none), wiring(new, none, none))  # type: ignore[arg-type]
        return [type(step) for step in change.all if isinstance(step, (AddSpace, AddWire, RemoveWire))]

    assert kinds(one, two) == [AddWire]
    assert kinds(two, one) == [RemoveWire]


def test_the_place_of_an_interface_is_that_of_its_host(tmp_path: Path) -> None:
    fabric = Fabric(load(f"h: {TWO}"), tmp_path)
    assert fabric.place("h-eth1") == fabric.place("h") == fabric.places()["h-eth1"]
    assert fabric.seen_at("h-eth1").device == "h-eth1"


def test_a_table_of_routes_only_where_the_main_one_cannot_do() -> None:
    assert tables(load(f"h: {TWO}")) == {}
    same = TWO.replace("network: b", "network: a")
    assert tables(load(f"h: {same}")) == {"h-eth1": 100}
    assert tables(load(f"h: {TWO}", "routers: {r: [a, c]}\n")) == {}


def test_two_default_routes_need_a_table() -> None:
    lab = load(f"h: {TWO}", "routers: {r: [a, b, c]}\n")
    assert tables(lab) == {"h-eth1": 100}
    (wire,) = [host.wire for host in plan(lab).hosts if host.name == "h-eth1"]
    assert wire.table == 100 and wire.gateways


def test_a_host_knows_the_names_of_all_its_networks() -> None:
    known = hosts_names(load(f"h: {TWO}, y: {{switch: s1, network: b}}"))
    assert known["h"] == (own_names_file("h"), frozenset({"a", "b"}))
    assert known["y"] == (own_names_file("y"), frozenset({"b"}))
    assert known["h"].file != known["y"].file
    routed = hosts_names(load(f"h: {TWO}", "routers: {r: [b, c]}\n"))
    assert routed["h"] == (own_names_file("h"), frozenset({"a", "b", "c"}))


def test_a_host_keeps_its_file_of_names_when_its_networks_change() -> None:
    text = "networks: {%sb: {}, c: {}}\nswitches: [s1]\nhosts: {y: {switch: s1, network: %s}%s}\n"
    before = hosts_names(topologies.loads(text % ("", "b", "")))["y"]
    after = hosts_names(topologies.loads(text % ("a: {}, ", "c", ", x: {switch: s1, network: a}")))["y"]
    assert before.file == after.file
    assert (before.networks, after.networks) == ({"b"}, {"c"})


def test_a_host_in_many_networks_has_a_file_of_names_that_fits_a_folder() -> None:
    many = [f"a-network-{number}" for number in range(100)]
    interfaces = ", ".join(f"{{switch: s1, network: {name}}}" for name in many)
    lab = topologies.loads(
        f"networks: {{{', '.join(f'{n}: ' for n in many)}}}\nswitches: [s1]\n"
        f"hosts: {{h: {{interfaces: [{interfaces}]}}}}\n"
    )
    assert len(hosts_names(lab)["h"].file) < 255
