"""A DHCP and DNS server in a running lab: real clients, loops between them, and hosts that come and go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import running
from tests.waiting import until

for program in ("dnsmasq", "busybox"):
    if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip(f"{program} is not installed", allow_module_level=True)

TOPOLOGY = """\
name: dhcp
domains: [north, south]
switches: {s1: {domain: north}, s2: {domain: north}, s3: {domain: north}, s4: {domain: south}}
links: [s1 -- s2, s2 -- s3, s3 -- s1]
networks:
  lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64", dhcp: true}
  other: {subnet4: 10.1.0.0/24}
hosts:
  a: {switch: s1, network: lan}
  b: {switch: s3, network: lan, ipv4: 10.0.0.77}
  c: {switch: s4, network: lan}
  free: {switch: s2, network: lan, allow-spoofing: true}
  client: {switch: s4, network: lan, ipv4: dhcp}
  x: {switch: s2, network: other}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("dhcp") / "dhcp.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def lab(file: Path) -> Iterator[CommandLine]:
    with running(file) as line:
        until(lambda: state(line)["state"] == "running", "the server runs")
        yield line


def state(line: CommandLine) -> dict[str, object]:
    (server,) = [function for function in line.json("status")["functions"] if function["kind"] == "dhcp"]
    return dict(server)


def leased(line: CommandLine, host: str) -> str:
    """What a client in the host says."""
    once = ("-n", "-q", "-f", "-t", "3", "-T", "1", "-s", "/bin/true")
    done = line("exec", host, "--", "busybox", "udhcpc", "-i", f"{host}-eth0", *once, code=None)
    return done.stdout + done.stderr


def test_each_host_gets_the_address_that_the_file_gives_it(lab: CommandLine) -> None:
    """From the same switch, across a ring of links, and across the underlay."""
    for host, address in (("a", "10.0.0.1"), ("b", "10.0.0.77"), ("c", "10.0.0.3")):
        assert f"lease of {address} obtained from 10.0.0.254" in leased(lab, host)
    assert "no lease" in leased(lab, "x"), "another network's host hears no server"


def addresses(line: CommandLine, host: str) -> str:
    return line("exec", host, "--", "ip", "-4", "-br", "address", "show", f"{host}-eth0").stdout


def test_a_host_that_asks_has_its_address_when_the_lab_is_up(lab: CommandLine) -> None:
    until(lambda: "10.0.0.4/24" in addresses(lab, "client"), "its lease")
    lab("ping", "client", "a")
    heard = lab("logs", "client").stdout
    assert "lease of 10.0.0.4 obtained from 10.0.0.254" in heard


def test_apply_makes_a_host_ask_and_lets_it_be(lab: CommandLine, file: Path) -> None:
    asking = TOPOLOGY.replace("a: {switch: s1, network: lan", "a: {switch: s1, network: lan, ipv4: dhcp")
    file.write_text(asking, encoding="utf-8")

    assert "dhcp" in lab("apply", str(file)).stdout
    until(lambda: "obtained from 10.0.0.254" in lab("logs", "a").stdout, "its lease")
    until(lambda: "10.0.0.1/24" in addresses(lab, "a"), "its address")
    file.write_text(TOPOLOGY, encoding="utf-8")
    lab("apply", str(file))
    assert "10.0.0.1/24" in addresses(lab, "a")
    lab("ping", "a", "b")


def test_who_is_not_in_the_file_gets_no_lease(lab: CommandLine) -> None:
    lab("exec", "free", "--", "ip", "link", "set", "free-eth0", "address", "02:99:00:00:00:01")
    try:
        assert "no lease" in leased(lab, "free")
    finally:
        lab("exec", "free", "--", "ip", "link", "set", "free-eth0", "address", "02:00:00:00:00:05")


def named(line: CommandLine, host: str, name: str) -> str:
    done = line("exec", host, "--", "busybox", "nslookup", name, "10.0.0.254", code=None)
    return done.stdout + done.stderr


def test_names_of_the_network_resolve(lab: CommandLine) -> None:
    said = named(lab, "a", "c")
    assert "10.0.0.3" in said and "fd00::3" in said
    assert "NXDOMAIN" in named(lab, "a", "x"), "a host of another network"


def test_apply_gives_a_new_host_a_lease_and_a_name_and_the_server_goes_with_its_key(
    lab: CommandLine, file: Path
) -> None:
    pid = state(lab)["instances"][0]["pid"]  # type: ignore[index]
    file.write_text(TOPOLOGY + "  d: {switch: s2, network: lan, ipv4: 10.0.0.99}\n", encoding="utf-8")
    lab("apply", str(file))
    assert "lease of 10.0.0.99 obtained" in leased(lab, "d")
    assert "10.0.0.99" in named(lab, "a", "d")
    assert state(lab)["instances"][0]["pid"] == pid, "it went on"  # type: ignore[index]
    without = TOPOLOGY.replace(", dhcp: true", "").replace(", ipv4: dhcp", "")
    file.write_text(without, encoding="utf-8")
    lab("apply", str(file))
    assert not lab.json("status")["functions"]
    assert "no lease" in leased(lab, "a")
    file.write_text(TOPOLOGY, encoding="utf-8")
    lab("apply", str(file))
    until(lambda: state(lab)["state"] == "running", "the server runs again")
    assert "lease of 10.0.0.1 obtained" in leased(lab, "a")


def test_a_saved_lab_has_the_server_below_functions(lab: CommandLine, tmp_path: Path) -> None:
    saved = tmp_path / "saved.yaml"
    lab("save", "-o", str(saved))
    assert "kind: dhcp" in saved.read_text()
    before = state(lab)["instances"]
    lab("apply", str(saved))
    assert state(lab)["instances"][0]["pid"] == before[0]["pid"]  # type: ignore[index]
