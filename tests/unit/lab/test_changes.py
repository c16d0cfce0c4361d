"""What ``apply`` says that it changes: each difference once, and nothing for what is equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import topologies
from lab.supervisor.changes import Change, changes
from tests.unit.lab.pretended_functions import balancer, inline, lan
from topologies.model.functions import Chain, Firewall, Function, RateLimit, Rule, Script
from topologies.model.storage import Storage, Volume
from topologies.model.topology import Port, Router, Shaping, Topology


def with_(topology: Topology, **more: Any) -> Topology:
    return topology.model_copy(update=more)


def chain(*functions: str, **more: Any) -> Chain:
    return Chain(name="web", path=1, network="lan", far_network="lan", functions=functions, **more)


def firewall(*rules: Rule, **more: Any) -> Function:
    own = Firewall(rules=rules, **more)
    return inline("fw", 1, kind="firewall", engine="nftables", firewall=own)


def test_a_lab_that_stays_as_it_is_has_no_changes() -> None:
    topology = with_(lan(inline("fw", 2), balancer("h1")), chains=(chain("fw"),))
    assert changes(topology, topology) == []


def test_volumes_are_named_with_their_users() -> None:
    data = Volume(name="data", pool="p", size=8 << 20, limit=8 << 20, copies=("h2",), host="h1", path="/srv")
    spare = data.model_copy(update={"name": "spare", "host": "", "path": ""})

    def lab(*volumes: Volume) -> Topology:
        return with_(lan(), storage=Storage(volumes=volumes))

    assert changes(lab(), lab(data, spare)) == [
        Change("volume", "data", "added", "8 MiB at h2, used at h1:/srv"),
        Change("volume", "spare", "added", "8 MiB at h2"),
    ]
    assert changes(lab(data), lab()) == [Change("volume", "data", "removed", "", "what is on it is lost")]
    larger = data.model_copy(update={"path": "/mnt", "size": 9 << 20})
    assert changes(lab(data), lab(larger)) == [
        Change("volume", "data", "changed", "used at h1:/srv -> h1:/mnt, MiB 8 -> 9", "h1:/srv is unmounted")
    ]


def test_a_host_comes_from_a_wire_to_a_switch() -> None:
    wired = topologies.loads("switches: [s1]\nhosts: {h1: {}, h2: {}, h3: s1}\nlinks: [h1 -- h2]\n")
    plugged = topologies.loads("switches: [s1]\nhosts: {h1: s1, h2: s1, h3: s1}\n", running=wired)
    for old, new, words in ((wired, plugged, "peer h2 -> none"), (plugged, wired, "peer none -> h2")):
        (detail,) = [change.detail for change in changes(old, new) if change.name == "h1"]
        assert words in detail.split(", ")


def test_what_is_added_disrupts_nothing() -> None:
    old, new = with_(lan(), hosts=()), with_(lan(inline("fw", 1)), chains=(chain("fw"),))
    assert changes(old, new) == [
        Change("host", "h1", "added", "at s1:1, in lan"),
        Change("host", "h2", "added", "at s1:2, in lan"),
        Change("function", "fw", "added", "bridge (kernel) at s1"),
        Change("chain", "web", "added", "through fw"),
    ]
    removed = changes(new, old)
    assert {(c.kind, c.name, c.what) for c in removed} == {
        (c.kind, c.name, "removed") for c in changes(old, new)
    }
    assert all(change.disrupts for change in removed)


@pytest.mark.parametrize(
    ("update", "detail", "disrupts"),
    [
        ({"port": Port(switch="s1", number=7)}, "port s1:1 -> s1:7", "it moves: a few of its packets"),
        (
            {"shaping": Shaping(bandwidth=1000)},
            "bandwidth none -> 1kbit",
            "",
        ),
        (
            {"shaping": Shaping(bandwidth=1000, back=Shaping())},
            "bandwidth none -> 1kbit (from its first end)",
            "",
        ),
        ({"mtu": 1400}, "MTU 1500 -> 1400", ""),
        ({"ipv4": None}, "IPv4 10.0.0.1/24 -> none", "connections with its old addresses"),
    ],
)
def test_a_changed_host_says_what_and_whom_it_costs(update: Any, detail: str, disrupts: str) -> None:
    old = lan()
    new = with_(old, hosts=(old.hosts[0].model_copy(update=update), old.hosts[1]))
    assert changes(old, new) == [Change("host", "h1", "changed", detail, disrupts)]


def test_functions_say_what_of_their_own_changed() -> None:
    web, ssh = (Rule(name=name, action="accept") for name in ("web", "ssh"))
    versions = {
        "rules": (firewall(web), firewall(web, ssh, default="reject")),
        "order": (firewall(web, ssh), firewall(ssh, web)),
        "scale": (inline("fw", 3), inline("fw", 1)),
        "engine": (inline("fw", 1), inline("fw", 1).model_copy(update={"engine": "python"})),
        "backends": (balancer("h1"), balancer("h1", "h2")),
        "rate": tuple(
            inline("fw", 1, kind="rate-limiter", rate=RateLimit(bandwidth=b)) for b in (1000, 2000)
        ),
        "code": tuple(
            inline("fw", 1, kind="python", script=Script(file="a.py", source=s)) for s in ("a", "b")
        ),
        "policy": (inline("fw", 1), inline("fw", 1, on_failure="open")),
    }
    said = {}
    for name, (old, new) in versions.items():
        (change,) = changes(lan(old), lan(new))
        said[name] = (change.detail, change.disrupts)
    assert said == {
        "rules": ("default drop -> reject, more rules: ssh", "connections that are no longer allowed stop"),
        "order": ("the order of rules", "connections that are no longer allowed stop"),
        "scale": ("instances 3 -> 1", "connections that fw.2, fw.3 served go on through the others"),
        "engine": ("engine kernel -> python", "it is made anew: what it knew of connections"),
        "backends": ("more backends: h2", ""),
        "rate": ("bandwidth (bit/s) 1000 -> 2000", ""),
        "code": ("its code", ""),
        "policy": ("on-failure closed -> open", ""),
    }


def test_a_chain_says_how_it_goes_now_and_implicit_ones_are_nobodys_business() -> None:
    some = lan(inline("a", 1), inline("b", 1))
    old, new = with_(some, chains=(chain("a", "b"),)), with_(some, chains=(chain("b", "a"),))
    assert changes(old, new) == [Change("chain", "web", "changed", "functions a b -> b a")]
    hidden = with_(some, chains=(chain("a", implicit=True),))
    assert changes(some, hidden) == []


def test_a_firewall_that_comes_into_the_way_of_connections_says_which_it_cuts_off() -> None:
    text = """
name: lab
switches: [s1]
hosts: {h1: s1, h2: s1}
functions:
  wire: {kind: bridge, switch: s1}
  edge: {kind: firewall, switch: s1, rules: [{action: accept, protocol: udp}]}
chains:
  all: {source: h1, destination: h2, functions: [wire]}
"""
    old = topologies.loads(text.encode(), "lab.yaml")
    without, before, after, guarded = (
        topologies.loads(text.replace(*replacement).encode(), "lab.yaml", running=old)
        for replacement in (
            (text[text.index("chains") :], ""),
            ("[wire]", "[edge]"),
            ("[wire]", "[edge, wire]"),
            ("chains:", "  wall: {kind: firewall, engine: openflow, networks: [lan]}\nchains:"),
        )
    )
    cuts = (
        "connections that edge does not accept, and those that rest now and that the side goes on with which"
        " may not open them; answers that take longer than 0.5 s"
    )
    assert [change.disrupts for change in changes(old, after)] == [cuts]
    assert [change.disrupts for change in changes(without, old)] == [""]
    assert [change.disrupts for change in changes(without, before)] == [cuts]
    assert [change.disrupts for change in changes(before, after)] == [""]
    (wall,) = changes(old, guarded)
    assert wall.disrupts.startswith("in lan: answers that are on their way")


def test_networks_and_routers() -> None:
    old = lan()
    vni = old.networks[0].model_copy(update={"vni": 7})
    (change,) = changes(old, with_(old, networks=(vni,)))
    assert change.detail == "VNI none -> 7" and "tunnels" in change.disrupts
    routed = with_(old, routers=(Router(name="r", networks=("lan",)),))
    assert changes(old, routed) == [Change("router", "r", "added", "joins lan")]
    assert changes(routed, old)[0].disrupts == "what passes between lan"


def test_a_network_that_renumbers_the_tunnels_of_others_says_so() -> None:
    raw = (Path(topologies.__file__).parent / "two-domains.yaml").read_text()
    old = topologies.loads(raw.encode(), "lab.yaml")
    more = raw.replace("networks:", "networks:\n  aaa: {vni: 300, subnet4: 10.9.0.0/24}", 1)
    (added,) = changes(old, topologies.loads(more.encode(), "lab.yaml", running=old))
    assert added[:3] == ("network", "aaa", "added")
    assert added.disrupts == (
        "a moment of the traffic of blue, red between domains: their tunnels are renumbered"
    )


def test_controllers_and_the_switches_that_they_get_are_told() -> None:
    text = "{{switches: {{s1: {{controller: {}}}, s2: {{}}}}, hosts: {{h1: s1, h2: s2}}, links: [s1 -- s2]}}"
    ours, theirs = (topologies.loads(text.format(name)) for name in ("sdnlab", "ryu.app.simple_switch_13"))
    come, given = changes(ours, theirs)
    (name,) = (application.name for application in theirs.applications)
    assert come == Change("controller", name, "added", "runs ryu.app.simple_switch_13")
    assert (given.kind, given.name, given.what) == ("switch", "s1", "changed")
    assert given.detail == f"controller sdnlab -> {name}" and "tables are emptied" in given.disrupts
    gone, back = changes(theirs, ours)
    assert gone == Change("controller", name, "removed")
    assert back.detail == f"controller {name} -> sdnlab"
    (application,) = theirs.applications
    more = with_(theirs, applications=(application.model_copy(update={"options": ("--verbose",)}),))
    (changed,) = changes(theirs, more)
    assert changed.kind == "controller" and "--verbose" in changed.detail and "anew" in changed.disrupts
