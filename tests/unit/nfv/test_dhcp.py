"""What dnsmasq is told: exactly the addresses and names that the topology has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import topologies
from nfv.describe import describe
from topologies.model.topology import Topology

FILE = """
switches: [s1, s2]
networks:
  lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64", dhcp: true}
  far: {subnet4: 10.1.0.0/24}
  other: {subnet4: 10.0.0.0/24}
routers: {gate: [lan, far]}
hosts:
  h1: {switch: s1, network: lan, mac: "02:00:00:00:00:0a"}
  two.words: {switch: s2, network: lan, ipv4: 10.0.0.77, mac: "02:00:00:00:00:0b"}
  away: {switch: s2, network: far}
  foreign: {switch: s2, network: other}
"""


def lab(text: str = FILE) -> Topology:
    return topologies.loads(text.encode(), "lab.yaml")


def files(topology: Topology) -> dict[str, str]:
    (server,) = [function for function in topology.functions if function.kind == "dhcp"]
    program = describe(server, server.name, topology)
    assert program.replaceable
    return {name: content.decode() for name, content in program.files.items()}


def test_each_member_has_a_lease_of_its_own_address_and_nobody_else() -> None:
    # dnsmasq would take what stands behind a dot for a domain
    assert files(lab())["leases"].splitlines() == [
        "02:00:00:00:00:0a,10.0.0.1,h1",
        "02:00:00:00:00:0b,10.0.0.77",
    ]


def test_names_are_those_of_its_network_and_of_networks_that_a_router_joins() -> None:
    names = {line.partition(" ")[2] for line in files(lab())["names"].splitlines()}
    assert names == {"h1", "two.words", "away", "dhcp-lan"}
    assert "10.0.0.77 two.words" in files(lab())["names"].splitlines()


def test_it_gives_the_gateway_and_itself_for_names() -> None:
    told = files(lab())["dnsmasq.conf"].splitlines()
    assert "dhcp-range=10.0.0.0,static,255.255.255.0,1h" in told
    assert "dhcp-option=option:router,10.0.0.254" in told
    assert "dhcp-option=option:dns-server,10.0.0.253" in told
    alone = lab(FILE.replace("routers: {gate: [lan, far]}\n", ""))
    assert "dhcp-option=option:router" in files(alone)["dnsmasq.conf"].splitlines()


def test_a_host_more_changes_leases_and_names_only() -> None:
    before, after = files(lab()), files(lab(FILE + "  h9: {switch: s1, network: lan}\n"))
    assert {name for name in before if before[name] != after[name]} == {"leases", "names"}


@pytest.mark.skipif(shutil.which("dnsmasq", path="/usr/sbin:/usr/bin") is None, reason="needs dnsmasq")
def test_dnsmasq_takes_it(tmp_path: Path) -> None:
    for name, content in files(lab()).items():
        (tmp_path / name).write_text(content)
    command = ["/usr/sbin/dnsmasq", "--test", f"--conf-file={tmp_path}/dnsmasq.conf"]
    done = subprocess.run(
        [*command, f"--addn-hosts={tmp_path}/names", f"--dhcp-hostsfile={tmp_path}/leases"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_where_the_network_has_a_way_out_it_asks_outside_for_what_it_does_not_know() -> None:
    assert "server=" not in files(lab())["dnsmasq.conf"]
    assert "server=198.18.255.3" in files(lab(FILE + "outside: [lan]\n"))["dnsmasq.conf"].splitlines()
    assert "server=" not in files(lab(FILE + "outside: [far]\n"))["dnsmasq.conf"]
    assert "server=" not in files(lab(FILE + 'publish: {80: "h1:80"}\n'))["dnsmasq.conf"]
