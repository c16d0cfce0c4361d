"""The compiled tables in a real Open vSwitch: does it understand them as the evaluator does?"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from controller.compiler.compile import compile_topology
from controller.flow.text import value_text
from controller.openflow import messages, replies
from controller.simulate.network import Lookup, at_switch, wire
from controller.update.difference import bundle, difference
from tests.switch.ovs import Vswitch
from tests.switch.tracing import assert_agreed, trace
from tests.unit.controller.made_frames import (
    arp_request,
    ipv4,
    ipv6,
    multicast,
    router_solicitation,
    solicitation,
)
from tests.unit.controller.made_labs import leaf_spine
from topologies.model.topology import Host
from wire.mac import mac_number

TOPOLOGY = leaf_spine(3, 2, hosts_per_leaf=2, networks=2)
TABLES = compile_topology(TOPOLOGY)
LEAF, SPINE = "s1", "s4"
H1, H2, H3, H4, H5, H6 = TOPOLOGY.hosts  # of networks n1, n2, n1, ... ; two on each leaf


@pytest.fixture(scope="module")
def programmed(vswitch: Vswitch) -> Vswitch:
    for name in (LEAF, SPINE):
        vswitch.bridge(name, range(1, 5))
        with vswitch.channel(name) as channel:
            channel.send(bundle(difference((), (), TABLES[name])))
    return vswitch


def port_of(host: Host) -> int:
    return host.port.number


def number(address: object) -> int:
    return int(address.ip)  # type: ignore[attr-defined]


UNKNOWN = 0x02AAAAAAAAAA
FROM_HOSTS = {
    "IPv4, remote": ipv4(H1, H3),
    "IPv6, remote": ipv6(H1, H5),
    "IPv4, another network, local": ipv4(H1, H2),
    "IPv4, another network, remote": ipv4(H1, H4),
    "ARP, known": arp_request(H1, number(H3.ipv4)),
    "ARP, own address": arp_request(H1, number(H1.ipv4)),
    "ARP, another network": arp_request(H1, number(H2.ipv4)),
    "ARP, unknown": arp_request(H1, number(H3.ipv4) + 77),
    "ARP, unicast probe": arp_request(H1, number(H5.ipv4), mac_number(H5.mac)),
    "ND, known": solicitation(H1, number(H3.ipv6)),
    "ND, unicast probe": solicitation(H1, number(H3.ipv6), mac_number(H3.mac)),
    "ND, unknown": solicitation(H1, number(H3.ipv6) + 77),
    "ND, link-local": solicitation(H1, 0xFE80 << 112 | 0x000000FFFE000003),
    "duplicate address detection": {**solicitation(H1, number(H1.ipv6)), "ipv6_src": 0},
    "multicast": multicast(H1),
    "router solicitation": router_solicitation(H1),
    "unknown destination": {**ipv4(H1, H3), "eth_dst": UNKNOWN},
    "unknown source": {**ipv4(H1, H3), "eth_src": UNKNOWN},
    "unknown source asks": {**arp_request(H1, number(H3.ipv4)), "eth_src": UNKNOWN, "arp_sha": UNKNOWN},
    "forged source": {**ipv4(H1, H3), "eth_src": mac_number(H1.mac) | 1 << 40},
}


@pytest.mark.parametrize("name", FROM_HOSTS)
def test_a_leaf_treats_a_frame_as_evaluated(programmed: Vswitch, name: str) -> None:
    frame = FROM_HOSTS[name]
    got = trace(programmed, LEAF, frame, port_of(H1))
    assert_agreed(got, TABLES[LEAF], frame, port_of(H1))


@pytest.mark.parametrize("name", [name for name in FROM_HOSTS if name[:3] in ("ARP", "ND,")])
def test_an_answer_has_the_fields_that_were_evaluated(programmed: Vswitch, name: str) -> None:
    frame = FROM_HOSTS[name]
    ((sent, _),) = at_switch(Lookup(TABLES[LEAF]), frame, port_of(H1))
    if [copy.port for copy in sent] != [port_of(H1)]:
        return  # no answer: what asks for a stranger goes on
    final = trace(programmed, LEAF, frame, port_of(H1)).final
    theirs = {
        "eth_src": "dl_src",
        "eth_dst": "dl_dst",
        "icmpv6_type": "icmp_type",
        "icmpv6_code": "icmp_code",
    }
    left_out = ("eth_type", "ip_proto", "nd_reserved", "nd_options_type")
    for field, value in wire(sent[0].frame):
        if field not in left_out and not (value == 0 and field.startswith("nd_")):
            assert f"{theirs.get(field, field)}={value_text(field, value)}" in final.split(","), final


TRANSIT = {
    "to a host here": ipv4(H3, H1),
    "to a host here, detoured": {**ipv4(H3, H1), "eth_src": mac_number(H3.mac) | 1 << 40},
    "to a host elsewhere": ipv4(H3, H5),
    "to nobody": {**ipv4(H3, H1), "eth_dst": UNKNOWN},
    "multicast": multicast(H3),
}


@pytest.mark.parametrize("in_port", [3, 4])
@pytest.mark.parametrize("name", TRANSIT)
def test_a_leaf_treats_a_frame_from_a_spine_as_evaluated(
    programmed: Vswitch, name: str, in_port: int
) -> None:
    got = trace(programmed, LEAF, TRANSIT[name], in_port)
    assert_agreed(got, TABLES[LEAF], TRANSIT[name], in_port)


@pytest.fixture(params=[0, 1, 2, 3])
def dead_port(programmed: Vswitch, request: pytest.FixtureRequest) -> Iterator[int]:
    """No port of the spine, or one whose link is down."""
    port: int = request.param
    if port:
        programmed.set_link(f"{SPINE}-eth{port}", "down")
    yield port
    if port:
        programmed.set_link(f"{SPINE}-eth{port}", "up")


@pytest.mark.parametrize("marked", [False, True])
def test_a_spine_repairs_a_dead_link_as_evaluated(programmed: Vswitch, dead_port: int, marked: bool) -> None:
    for source, target in ((H1, H3), (H3, H5), (H5, H1), (H3, H1)):
        entry = {"s1": 1, "s2": 2, "s3": 3}[source.port.switch]
        frame = ipv4(source, target)
        if marked:
            frame["eth_src"] |= 1 << 40
        got = trace(programmed, SPINE, frame, entry)
        dead = frozenset((dead_port,)) if dead_port else frozenset[int]()
        assert_agreed(got, TABLES[SPINE], frame, entry, dead)
        # and it is delivered, be it round about, unless it was so once before
        lost = marked and {"s1": 1, "s2": 2, "s3": 3}[target.port.switch] == dead_port
        assert len(got.ports) == (0 if lost else 1)


def sent(vswitch: Vswitch, bridge: str) -> dict[int, int]:
    """Frames sent so far, by port."""
    said = vswitch.ofctl("--no-names", "dump-ports", bridge)
    return {int(port): int(count) for port, count in re.findall(r"port +(\d+): rx.*?\n +tx pkts=(\d+)", said)}


@pytest.mark.parametrize("dead", [None, 3, 4])
def test_a_leaf_spreads_frames_over_the_live_equal_paths(programmed: Vswitch, dead: int | None) -> None:
    if dead:
        programmed.set_link(f"{LEAF}-eth{dead}", "down")
    try:
        before, count = sent(programmed, LEAF), 48
        # TCP: Open vSwitch's symmetric hash leaves UDP's ports out, because of fragments
        frames = [
            bytes(Ether(src=H1.mac, dst=H3.mac) / IP(src="10.1.0.2", dst="10.1.0.4") / TCP(sport=port)).hex()
            for port in range(1000, 1000 + count)
        ]
        programmed.appctl("netdev-dummy/receive", f"{LEAF}-eth1", *frames)
        deadline = time.monotonic() + 20
        while sum((after := sent(programmed, LEAF)).values()) < sum(before.values()) + count:
            assert time.monotonic() < deadline, (before, after)
    finally:
        if dead:
            programmed.set_link(f"{LEAF}-eth{dead}", "up")
    used = {port for port in after if after[port] > before[port]}
    assert used == {3, 4} - {dead}


@pytest.mark.parametrize("name", [LEAF, SPINE])
def test_what_is_read_back_is_what_was_wanted(programmed: Vswitch, name: str) -> None:
    with programmed.channel(name) as channel:
        entries = list(replies.parse_flow_desc(channel.ask(messages.flow_stats_request())))
        groups = list(replies.parse_group_desc(channel.ask(messages.group_desc_request())))
    assert not difference([entry.cookie for entry in entries], groups, TABLES[name])
    assert sorted((entry.table, entry.priority, entry.cookie) for entry in entries) == sorted(
        (entry.table, entry.priority, entry.cookie) for entry in TABLES[name].flows
    )
    assert all(entry.duration > 0 for entry in entries)


def test_a_changed_topology_is_reached_by_its_difference_alone(vswitch: Vswitch) -> None:
    vswitch.bridge("changing", range(1, 5))
    versions = [
        TABLES[LEAF],
        compile_topology(TOPOLOGY, down_links=frozenset(("s1-s4",)))[LEAF],
        compile_topology(leaf_spine(3, 2, hosts_per_leaf=2, networks=1))[LEAF],
        compile_topology(TOPOLOGY, down_links=frozenset(("s1-s4", "s1-s5")))[LEAF],
        TABLES[LEAF],
    ]
    with vswitch.channel("changing") as channel:

        def installed() -> tuple[list[int], list[object]]:
            entries = replies.parse_flow_desc(channel.ask(messages.flow_stats_request()))
            groups = replies.parse_group_desc(channel.ask(messages.group_desc_request()))
            return [entry.cookie for entry in entries], list(groups)

        for wanted in versions:
            cookies, groups = installed()
            change = difference(cookies, groups, wanted)  # type: ignore[arg-type]
            assert change
            channel.send(bundle(change))
            cookies, groups = installed()
            assert not difference(cookies, groups, wanted)  # type: ignore[arg-type]


def test_a_refused_bundle_changes_nothing(vswitch: Vswitch) -> None:
    vswitch.bridge("strict", range(1, 5))
    wanted = TABLES[LEAF]
    missing = difference((), (), replace(wanted, groups=()))
    # flows lead to groups that are not there
    with vswitch.channel("strict") as channel, pytest.raises(AssertionError, match="error"):
        channel.send(bundle(missing))
    with vswitch.channel("strict") as channel:
        assert not channel.ask(messages.flow_stats_request())


def test_the_same_flows_through_ovs_ofctl_read_alike(programmed: Vswitch) -> None:
    lines = programmed.ofctl("--no-stats", "--no-names", "dump-flows", LEAF).splitlines()
    cookies = {
        int(match[1], 16) for match in (re.search(r"cookie=0x([0-9a-f]+)", line) for line in lines) if match
    }
    assert cookies == {entry.cookie for entry in TABLES[LEAF].flows}
