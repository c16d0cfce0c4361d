"""Topologies of Mininet in Python: what their description becomes, and what is left out with its line."""

from __future__ import annotations

import json
from typing import Any

import pytest

import topologies
from topologies import Topology
from topologies.model.hosts import NamespaceHost


def described(hosts: Any, switches: Any, links: Any, name: str = "mytopo") -> bytes:
    """The JSON of a topology; each part is (name or ends, options), on the line of its number."""

    def nodes(given: Any, first: int) -> list[dict[str, Any]]:
        return [
            {"name": called, "line": number, "opts": options}
            for number, (called, options) in enumerate(given, first)
        ]

    wires = [
        {"ends": ends, "key": "0", "line": number, "opts": options}
        for number, (ends, options) in enumerate(links, 200)
    ]
    parts = {"name": name, "processors": 4, "hosts": nodes(hosts, 1), "switches": nodes(switches, 100)}
    return json.dumps({"mininet-topology": {**parts, "links": wires}}).encode()


def load(hosts: Any, switches: Any, links: Any) -> Topology:
    return topologies.loads(described(hosts, switches, links), "topo.py:mytopo")


PLAIN = (
    [("h1", {}), ("h2", {})],
    [("s1", {}), ("s2", {})],
    [(["s1", "s2"], {}), (["h1", "s1"], {}), (["h2", "s2"], {})],
)


def test_mininets_own_addresses_and_datapath_ids() -> None:
    topology = load(*PLAIN)
    assert topology.name == "mytopo"
    assert {host.name: str(host.ipv4) for host in topology.hosts} == {"h1": "10.0.0.1/8", "h2": "10.0.0.2/8"}
    assert {switch.name: switch.dpid for switch in topology.switches} == {"s1": 1, "s2": 2}
    assert topology.notes == ()


def test_what_hosts_switches_and_links_are_given_is_honoured() -> None:
    host = {
        "ip": "192.168.0.7/24",
        "mac": "00:00:00:00:00:07",
        "cpu": 0.25,
        "cls": {"class": "CPULimitedHost"},
        "defaultRoute": "via 192.168.0.1",
        "privateDirs": ["/var/mn", ["/var/log", "/tmp/log"]],
    }
    links = [
        (["h1", "s1"], {"port1": 0, "port2": 5, "bw": 10, "delay": "5ms", "loss": 2, "use_htb": True}),
        (["s1", "s2"], {"port1": 7, "port2": 8, "bw": 0.5, "cls": {"class": "TCLink"}}),
        (["h2", "s2"], {}),
    ]
    topology = load(
        [("h1", host), ("h2", {"ip": "192.168.0.8/24"})], [("s1", {"dpid": "00:0a"}), ("s2", {})], links
    )
    assert topology.notes == ()
    one = next(host for host in topology.hosts if host.name == "h1")
    assert isinstance(one, NamespaceHost) and one.port is not None
    assert (str(one.ipv4), one.mac, one.resources.cpus) == ("192.168.0.7/24", "00:00:00:00:00:07", 1.0)
    assert one.own.private == ("/var/log", "/var/mn")
    assert (one.port.number, one.shaping.bandwidth, one.shaping.delay, one.shaping.loss) == (
        5,
        10_000_000,
        5000,
        0.02,
    )
    assert topology.switches[0].dpid == 10
    (link,) = topology.links
    assert [(end.switch, end.number) for end in (link.a, link.b)] == [("s1", 7), ("s2", 8)]
    assert link.shaping.bandwidth == 500_000


LEFT: dict[str, tuple[int, str]] = {
    "protocols of s1": (100, "OpenFlow 1.5"),
    "failMode of s1": (100, "keeps its flows"),
    "stp of s1": (100, "no spanning tree"),
    "cls=MySwitch of s1": (100, "sdnlab mininet"),
    "cls=LinuxRouter of h1": (1, "sdnlab mininet"),
    "cores of h1": (1, "no processor"),
    "unheard of h1": (1, "doesn't know it"),
    "jitter of the link between h1 and s1": (200, "write jitter:"),
    "max_queue_size of the link between h1 and s1": (200, "50 ms"),
    "delay between h1 and s1": (200, "soon"),
}


def test_what_a_lab_has_not_is_refused_by_name_with_its_line() -> None:
    switch = {"protocols": "OpenFlow13", "failMode": "standalone", "stp": True, "cls": {"class": "MySwitch"}}
    host = {"cls": {"class": "LinuxRouter"}, "cores": 1, "unheard": "x"}
    link = {"jitter": "1ms", "max_queue_size": 10, "delay": "soon"}
    topology = load([("h1", host), ("h2", {})], [("s1", switch)], [(["h1", "s1"], link), (["h2", "s1"], {})])
    notes = [str(note) for note in topology.notes]
    for what, (line, why) in LEFT.items():
        (note,) = [note for note in notes if what in note]
        assert f"topo.py:mytopo:{line}:" in note and why in note
    assert len(notes) == len(LEFT)


def test_hosts_without_a_switch_and_switches_without_a_number_have_their_place() -> None:
    topology = load([("a", {}), ("b", {})], [("core", {}), ("edge", {})], [(["a", "b"], {"bw": 5})])
    assert len(topology.hosts) == 2 and {switch.name for switch in topology.switches} >= {"core", "edge"}
    assert len({switch.dpid for switch in topology.switches}) == len(topology.switches)


@pytest.mark.parametrize(
    "raw", [b'{"mininet-topology": 3}', b'{"mininet-topology": {"hosts": [3]}}', b'{"mininet-topology"']
)
def test_other_json_is_refused(raw: bytes) -> None:
    with pytest.raises(topologies.Invalid, match="no description"):
        topologies.loads(raw, "x")
    with pytest.raises(topologies.Invalid, match="no hosts and no switches"):
        topologies.loads(described([], [], []), "topo.py")


def test_a_host_keeps_all_its_links() -> None:
    links = [(["h1", "s1"], {"port1": 0}), (["h1", "s2"], {"port1": 1}), (["h2", "s2"], {})]
    topology = load(PLAIN[0], PLAIN[1], [*links, (["s1", "s2"], {})])
    assert [(host.interface, host.at.switch) for host in topology.hosts if host.node == "h1"] == [
        ("h1-eth0", "s1"),
        ("h1-eth1", "s2"),
    ]
