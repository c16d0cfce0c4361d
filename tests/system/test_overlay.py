"""Tenants and overlays in whole labs: reached, isolated, moved, cut and captured, with real packets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import PATIENCE, TOPOLOGIES, capturing, packets, running, send
from tests.waiting import until


@pytest.fixture(scope="module")
def two() -> Iterator[CommandLine]:
    """A running two-domains lab; who changes it mends it."""
    with running(TOPOLOGIES / "two-domains.yaml") as line:
        yield line


@pytest.fixture(scope="module")
def five() -> Iterator[CommandLine]:
    """A running multi-domain lab; who changes it mends it."""
    with running(TOPOLOGIES / "multi-domain.yaml") as line:
        yield line


def test_tenants_with_the_same_addresses_reach_their_own(two: CommandLine) -> None:
    result = two.json("ping")
    assert result["reached"] == result["total"] == 8
    apart = two("ping", "blue1", "red3", code=1)
    assert "different networks" in apart.stdout
    status = two.json("status")
    assert [(n["name"], n["vni"], n["crosses"]) for n in status["networks"]] == [
        ("blue", 100, True),
        ("red", 200, True),
    ]
    assert {v["domain"]: v["address"] for v in status["underlay"]["vteps"]} == {
        "d1": "198.19.0.1",
        "d2": "198.19.0.2",
    }


def test_the_underlay_carries_vxlan_with_the_tenants_vni(two: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "wire.pcap"
    with capturing(two, "d1-r1", file, "--filter", "udp port 4789"):
        two("exec", "blue1", "--", "ping", "-c1", "10.0.0.3")
        two("exec", "red1", "--", "ping", "-c1", "10.0.0.3")
        until(lambda: len([p for p in packets(file) if ICMP in p]) >= 4, "both pings on the wire")
    seen = [packet for packet in packets(file) if ICMP in packet]
    assert {packet[VXLAN].vni for packet in seen} == {100, 200}
    for packet in seen:
        assert packet[UDP].dport == 4789 and packet[VXLAN].flags == 0x08
        assert {packet[IP].src, packet[IP].dst} == {"198.19.0.1", "198.19.0.2"}
        inner = packet[VXLAN].payload
        assert {inner[IP].src, inner[IP].dst} == {"10.0.0.1", "10.0.0.3"}
    # asked and answered inside a domain: nothing of ARP or neighbour discovery crosses
    assert not [p for p in packets(file) if ARP in p or (IPv6 in p and p[IPv6].nh == 58 and ICMPv6ND_NA in p)]


def test_a_broadcast_reaches_all_of_its_network_and_no_other(two: CommandLine, tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.pcap" for name in ("blue3", "red1", "red3")}
    with (
        capturing(two, "blue3", files["blue3"]),
        capturing(two, "red1", files["red1"]),
        capturing(two, "red3", files["red3"]),
    ):
        everyone = Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / Raw(
            b"to all of blue"
        )
        send(two, "blue1", [everyone])
        until(lambda: any(b"to all of blue" in bytes(p) for p in packets(files["blue3"])), "it arrived")
        two("ping", "red1", "red3")
    assert len([p for p in packets(files["blue3"]) if b"to all of blue" in bytes(p)]) == 1
    assert not [p for f in ("red1", "red3") for p in packets(files[f]) if b"to all of blue" in bytes(p)]


def entries(line: CommandLine, switch: str) -> str:
    return line("exec", switch, "--", "bridge", "fdb", "show", "dev", "_vx100", code=None).stdout


def test_a_moved_host_keeps_its_addresses_and_is_found_at_once(two: CommandLine) -> None:
    before = two("exec", "blue1", "--", "ip", "-o", "address").stdout
    assert "02:00:00:00:00:01 dst 198.19.0.1" in entries(two, "s2")
    moved = json.loads(two("move", "blue1", "d2", "--json").stdout)
    try:
        assert (moved["source"], moved["target"], moved["changed"]) == ("s1", "s2", True)
        two("ping", "blue1", "blue3")
        two("ping", "blue3", "blue1")
        two("ping", "blue1", "red1", code=1)
        assert two("exec", "blue1", "--", "ip", "-o", "address").stdout == before
        # the stale path is gone: blue has nobody left in d1, so it has no tunnel any more
        assert "02:00:00:00:00:01" not in entries(two, "s2")
        assert "_vx100" not in two("exec", "s1", "--", "ip", "-br", "link").stdout
        assert "is on s2 already" in two("move", "blue1", "d2").stdout
    finally:
        two("move", "blue1", "d1")
    assert "02:00:00:00:00:01 dst 198.19.0.1" in entries(two, "s2")
    assert two.json("ping")["reached"] == 8


def test_what_can_not_be_moved_is_said_and_changes_nothing(two: CommandLine) -> None:
    for words, reason in (
        (("nobody", "d2"), "there is no host 'nobody'"),
        (("blue1", "d9"), "there is no domain 'd9'"),
        (("blue1", "d1", "--switch", "s2"), "switch s2 is in domain d2"),
        (("blue1", "d2", "--switch", "vtep-d2"), "there is no switch 'vtep-d2' for hosts"),
    ):
        assert reason in two("move", *words, code=1).stderr
    assert two.json("ping")["reached"] == 8


def test_the_mesh_counts_what_it_carried(two: CommandLine) -> None:
    def carried() -> dict[tuple[str, str, str], int]:
        mesh = two.json("overlay")["mesh"]
        return {(way["network"], way["source"], way["target"]): way["packets"] for way in mesh}

    before = carried()
    two("exec", "blue1", "--", "ping", "-c5", "-i0.01", "10.0.0.3")
    # Open vSwitch adds up what its datapath counted flow by flow, so one direction may be behind the other
    ways = (("blue", "d1", "d2"), ("blue", "d2", "d1"))
    until(lambda: all(carried()[way] >= before[way] + 5 for way in ways), "five packets counted each way")
    assert "NETWORK" in two("overlay").stdout


def mirrors(line: CommandLine) -> str:
    return line("exec", "s1", "--", "ovs-vsctl", "--columns=name", "list", "mirror").stdout.strip()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_capture_of_a_switch_leaves_a_valid_file_and_no_mirror(
    two: CommandLine, tmp_path: Path, end: signal.Signals
) -> None:
    file = tmp_path / "s1.pcap"
    process = subprocess.Popen(
        two.start.__globals__["SDNLAB"] + ["capture", "s1", "-w", str(file), "--filter", "icmp"],
        env=two.environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until(lambda: file.exists() and file.stat().st_size >= 24, "the capture began")
    assert mirrors(two)
    two("exec", "blue1", "--", "ping", "-c1", "10.0.0.3")
    until(lambda: len(packets(file)) >= 2, "request and reply captured")
    os.killpg(process.pid, end)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == (0 if end == signal.SIGINT else -end)
    assert [packet[ICMP].type for packet in packets(file)] == [8, 0]
    until(lambda: not mirrors(two), "the mirror is gone")


def test_what_passed_just_before_the_end_is_in_the_file(two: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "blue1.pcap"
    with capturing(two, "blue1", file, "--filter", "icmp"):
        two("exec", "blue1", "--", "ping", "-c1", "10.0.0.3")
    assert [packet[ICMP].type for packet in packets(file)] == [8, 0]


def test_a_capture_of_a_switch_that_is_down_sees_it_come_back(two: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "s1.pcap"
    two("switch", "down", "s1")
    try:
        with capturing(two, "s1", file, "--filter", "icmp"):
            two("switch", "up", "s1")
            two("exec", "blue1", "--", "ping", "-c1", "-W5", "10.0.0.3")
    finally:
        two("switch", "up", "s1")
    assert [packet[ICMP].type for packet in packets(file)] == [8, 0]
    until(lambda: not mirrors(two), "the mirror is gone")


def test_a_capture_that_can_not_be_is_refused(two: CommandLine, tmp_path: Path) -> None:
    assert "named 'nobody' to capture" in two("capture", "nobody", code=1).stderr
    assert "can't be used" in two("capture", "s1", "--filter", "no such thing", code=2).stderr
    assert "can't write" in two("capture", "s1", "-w", str(tmp_path / "a" / "b"), code=1).stderr
    until(lambda: not mirrors(two), "the mirror is gone")


def test_the_decoded_packet_has_both_headers(two: CommandLine) -> None:
    process = two.start("capture", "d1-r1", "--filter", "udp port 4789", "--count", "400")
    try:
        assert process.stdout is not None
        seen = ""
        while "ICMP echo request" not in seen:
            two("exec", "blue1", "--", "ping", "-c2", "-i0.01", "10.0.0.3")
            seen += process.stdout.readline()
        assert "198.19.0.1" in seen and "VXLAN" in seen and "vni 100" in seen
        assert "10.0.0.1 > 10.0.0.3" in seen
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def test_a_patch_link_becomes_a_device_for_a_capture_and_then_a_patch_link_again(
    sdnlab: CommandLine, tmp_path: Path
) -> None:
    started = sdnlab("up", str(TOPOLOGIES / "quickstart.yaml"), "-d", code=None)
    if started.returncode == 3:
        pytest.skip(started.stderr.strip())
    kind = ("exec", "s1", "--", "ovs-vsctl", "get", "interface", "s1-eth3", "type")
    assert sdnlab(*kind).stdout.strip() == "patch"
    file = tmp_path / "link.pcap"
    with capturing(sdnlab, "s1-s2", file, "--filter", "icmp"):
        assert sdnlab(*kind).stdout.strip() != "patch"
        sdnlab("ping", "h1", "h3")
        sdnlab("exec", "h1", "--", "ping", "-c1", "10.0.0.2")
        sdnlab("exec", "h1", "--", "ping", "-c1", "10.0.0.3")
        until(lambda: len(packets(file)) >= 2, "the pings across were captured")
    assert {packet[IP].dst for packet in packets(file)} == {"10.0.0.1", "10.0.0.3"}
    until(lambda: sdnlab(*kind).stdout.strip() == "patch", "it is a patch link again")
    until(lambda: sdnlab("ping", code=None).returncode == 0, "all pairs reached again")


def test_routed_networks_reach_each_other_one_hop_away(five: CommandLine) -> None:
    result = five.json("ping")
    assert result["reached"] == result["total"] == 56
    said = five("exec", "web1", "--", "ping", "-c1", "10.1.2.2").stdout
    assert "ttl=63" in said
    for address in ("10.1.1.254", "10.1.2.254"):
        assert "ttl=64" in five("exec", "web1", "--", "ping", "-c1", address).stdout
    for family, target, gateway in (
        ("-4", "10.1.2.2", "10.1.1.254"),
        ("-6", "fd01:2::2", "fd01:1::ffff:ffff:ffff:ffff"),
    ):
        ended = five("exec", "web1", "--", "ping", family, "-c1", "-t1", target, code=1).stdout
        assert f"From {gateway}" in ended and "exceeded" in ended
    assert "different networks" in five("ping", "web1", "shop2", code=1).stdout


def test_a_redundant_underlay_survives_a_cut_and_a_partitioned_domain_heals(five: CommandLine) -> None:
    """web1 and db1 are in domain d1, web2 in d2."""
    try:
        five("link", "down", "d1", "r1")
        until(lambda: five("ping", "web1", "web2", code=None).returncode == 0, "the other way is taken")
        five("link", "down", "d1", "r2")
        five("ping", "web1", "web2", code=1)
        five("ping", "web1", "db1")
        five("ping", "lab2", "lab3")
        assert "0 of 2 links up" in five("status").stdout
    finally:
        five("link", "up", "d1", "r1")
        five("link", "up", "d1", "r2")
    until(lambda: five.json("ping")["reached"] == 56, "all is well again")


def test_domains_and_underlay_routers_can_be_entered(five: CommandLine) -> None:
    assert "vtep-d1" in five("exec", "d1", "--", "ovs-vsctl", "list-br").stdout
    assert "d1-r1" in five("exec", "r1", "--", "ip", "-br", "link").stdout
    nobody = five("exec", "nobody", "--", "true", code=1).stderr
    assert "hosts: db1" in nobody and "r1" not in nobody


def test_what_must_cross_goes_once_to_the_vteps_that_have_members(five: CommandLine, tmp_path: Path) -> None:
    """guest1 is in d4, its network's only other member in d5. What goes to a MAC address that nobody has
    does not cross."""
    file = tmp_path / "d4.pcap"
    groups, nobody = ("ff:ff:ff:ff:ff:ff", "01:00:5e:01:02:03"), "02:aa:bb:cc:dd:ee"
    guest1 = five("exec", "guest1", "--", "cat", "/sys/class/net/guest1-eth0/address").stdout.strip()
    with capturing(five, "d4", file, "--filter", "udp port 4789"):
        send(
            five,
            "guest1",
            [Ether(src=guest1, dst=to, type=0x88B5) / Raw(b"to whom?") for to in (nobody, *groups)],
        )
        five("ping", "guest1", "guest2")
    sent = [packet for packet in packets(file) if b"to whom?" in bytes(packet)]
    assert [(packet[IP].dst, packet[VXLAN].payload.dst) for packet in sent] == [
        ("198.19.0.5", to) for to in groups
    ]


def test_names_lead_to_hosts_of_the_same_tenant(two: CommandLine) -> None:
    assert two("exec", "blue1", "--", "getent", "ahostsv4", "blue3").stdout.startswith("10.0.0.3")
    two("exec", "blue1", "--", "getent", "hosts", "red3", code=2)


def test_the_underlay_is_routed_without_the_controller(five: CommandLine) -> None:
    routes = five("exec", "d1", "--", "ip", "route", "show", "198.19.0.2").stdout
    assert routes.count("nexthop") == 2
    five("exec", "d1", "--", "ping", "-c1", "198.19.0.5")
    # a wire that somebody takes down by hand is noticed like any other
    five("exec", "r1", "--", "ip", "link", "set", "d1-r1", "down")
    try:
        until(
            lambda: (
                "via 198.19.128.3"
                in (said := five("exec", "d1", "--", "ip", "route", "show", "198.19.0.2").stdout)
                and "nexthop" not in said
            ),
            "one way is left",
        )
        five("ping", "web1", "web2")
    finally:
        five("exec", "r1", "--", "ip", "link", "set", "d1-r1", "up")
    until(
        lambda: five("exec", "d1", "--", "ip", "route", "show", "198.19.0.2").stdout.count("nexthop") == 2,
        "both ways are back",
    )
    assert five.json("ping")["reached"] == 56


def test_hosts_get_the_smaller_mtu_where_the_underlay_is_small(sdnlab: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    text = (TOPOLOGIES / "two-domains.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("routers: [r1]", "routers: [r1]\n  mtu: 1500"), encoding="utf-8")
    started = sdnlab("up", str(file), "-d", code=None)
    if started.returncode == 3:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    assert "mtu 1450" in sdnlab("exec", "blue1", "--", "ip", "link", "show", "blue1-eth0").stdout
    sdnlab("exec", "blue1", "--", "ping", "-c1", "-M", "do", "-s", str(1450 - 28), "10.0.0.3")
    sdnlab("exec", "blue1", "--", "ping", "-c1", "-M", "do", "-s", str(1451 - 28), "10.0.0.3", code=1)


def test_what_no_lab_can_run_on_is_refused_before_anything_starts(
    sdnlab: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "native.yaml"
    text = (TOPOLOGIES / "two-domains.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("routers: [r1]", "routers: [r1]\n  tunnels: ovs"), encoding="utf-8")
    said = sdnlab("up", str(file), "-d", "--datapath", "userspace", code=3).stderr
    assert "tunnels: ovs" in said and "write tunnels: auto" in said
    assert "no lab is running" in sdnlab("list").stdout


def test_full_frames_and_tcp_pass_the_tunnel(two: CommandLine) -> None:
    two("exec", "blue1", "--", "ping", "-c1", "-M", "do", "-s", str(1500 - 28), "10.0.0.3")
    server = two.start("exec", "blue3", "--", "python3", "-c", _RECEIVE)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    two("exec", "blue1", "--", "python3", "-c", _SEND)
    out, _ = server.communicate(timeout=PATIENCE)
    assert int(out) == 1 << 24


_RECEIVE = """
import socket
listener = socket.create_server(("10.0.0.3", 5000))
print("ready", flush=True)
peer, _ = listener.accept()
count = 0
while data := peer.recv(1 << 16):
    count += len(data)
print(count)
"""
_SEND = """
import socket
peer = socket.create_connection(("10.0.0.3", 5000), 10)
peer.sendall(bytes(1 << 24))
peer.close()
"""
