"""Hosts with several interfaces in a running lab: reached, captured, moved, added and removed one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from tests.system.command_line import CommandLine
from tests.system.hosts_of_kinds import needs
from tests.system.tenants_lab import capturing, packets, running

FILE = """\
name: several
networks: {{a: {{subnet4: 10.1.0.0/24, subnet6: "fd01::/64"}}, b: {{subnet4: 10.2.0.0/24}}}}
switches: [s1, s2]
links: [s1 -- s2]
hosts:
  h1: {{interfaces: [{{switch: s1, network: a}}, {{switch: s2, network: a}}{more}]}}
  h2: {{kind: {kind}, interfaces: {{lan: {{switch: s1, network: a}}, wan: {{switch: s2, network: b}}}}}}
  ca: {{switch: s1, network: a}}
  cb: {{switch: s2, network: b}}
"""


def written(folder: Path, more: str = "", kind: str = "namespace") -> Path:
    file = folder / "several.yaml"
    file.write_text(FILE.format(more=more, kind=kind), encoding="utf-8")
    return file


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[CommandLine]:
    with running(written(tmp_path)) as line:
        yield line


def test_all_interfaces_of_a_network_reach_each_other_and_no_others(lab: CommandLine) -> None:
    said = lab("ping").stdout
    assert "all 22 of 22 reached" in said
    assert "10.1.0.3" in lab("exec", "h1-eth1", "--", "ip", "-br", "address", "show", "dev", "h1-eth1").stdout
    assert lab("exec", "h2-wan", "--", "hostname").stdout == "h2\n"
    assert "interfaces of one host" in lab("ping", "h1", "h1-eth1", code=1).stderr
    lab("exec", "h2", "--", "ping", "-c", "1", "-W", "5", "cb")
    lab("exec", "ca", "--", "ping", "-c", "1", "-W", "5", "h1-eth1")
    # a host does not forward
    lab("exec", "ca", "--", "ip", "route", "add", "10.2.0.0/24", "via", "10.1.0.4")
    lab("exec", "ca", "--", "ping", "-c", "1", "-W", "1", "10.2.0.1", code=1)


def test_a_capture_sees_one_interface(lab: CommandLine, tmp_path: Path) -> None:
    with capturing(lab, "h1-eth1", tmp_path / "one.pcap", "--filter", "icmp"):
        lab("ping", "ca", "h1")
        lab("ping", "ca", "h1-eth1")
    assert {Ether(bytes(packet))[IP].dst for packet in packets(tmp_path / "one.pcap")} == {
        "10.1.0.1",
        "10.1.0.3",
    }


def test_an_interface_comes_moves_and_goes_and_the_host_stays(lab: CommandLine, tmp_path: Path) -> None:
    lab("exec", "h1", "--", "sh", "-c", "touch /tmp/there")
    lab("apply", str(written(tmp_path, ", {switch: s1, network: b, bandwidth: 10mbit}")))
    assert "all 26 of 26 reached" in lab("ping").stdout
    lab("move", "h1-eth2", "d1", "--switch", "s2")
    assert "all 1 of 1" in lab("ping", "cb", "h1-eth2").stdout
    saved = tmp_path / "saved.yaml"
    lab("save", "-o", str(saved))
    assert "nothing to do" in lab("apply", str(saved)).stdout
    lab("apply", str(written(tmp_path)))
    assert "all 22 of 22 reached" in lab("ping").stdout
    assert "h1-eth2" not in lab("exec", "h1", "--", "ip", "link").stdout
    lab("exec", "h1", "--", "test", "-e", "/tmp/there")


def test_an_interface_that_is_made_anew_answers_by_its_own_wire(lab: CommandLine, tmp_path: Path) -> None:
    """The kernel's newest route to a subnet is not the one that counts."""
    two = ", {{switch: s1, network: b, mac: '02:aa:00:00:00:0{}'}}, {{switch: s2, network: b}}"
    lab("apply", str(written(tmp_path, two.format(1))))
    assert "all 30 of 30 reached" in lab("ping").stdout
    lab("apply", str(written(tmp_path, two.format(2))))
    assert "all 30 of 30 reached" in lab("ping").stdout


def test_a_container_has_several_interfaces(tmp_path: Path) -> None:
    needs("runc")
    with running(written(tmp_path, kind="container")) as line:
        assert "all 22 of 22 reached" in line("ping").stdout
        assert "wan" in line("exec", "h2", "--", "ls", "/sys/class/net").stdout


def test_a_host_that_may_send_from_any_source_changes_its_mac_address(tmp_path: Path) -> None:
    file = tmp_path / "changing.yaml"
    file.write_text(
        "name: changing\nswitches: [s1]\nhosts: {h1: {switch: s1, allow-spoofing: true}, h2: s1}\n"
    )
    with running(file) as line:
        assert "all 4 of 4 reached" in line("ping").stdout  # they know the old one
        line("exec", "h1", "--", "ip", "link", "set", "dev", "h1-eth0", "address", "02:cc:00:00:00:05")
        line("exec", "h1", "--", "ping", "-c", "3", "-i", "0.2", "-W", "5", "h2")  # it asks, and is learned
        for family in ("-4", "-6"):
            line("exec", "h2", "--", "ping", family, "-c", "1", "-W", "5", "h1")
        assert "all 4 of 4 reached" in line("ping").stdout
        line("exec", "h1", "--", "ip", "address", "add", "192.168.7.1/24", "dev", "h1-eth0")
        line("exec", "h1", "--", "ping", "-c", "1", "-W", "1", "192.168.7.2", code=1)
        assert "192.168.7.1 is outside the subnets of network lan" in line("events").stdout
