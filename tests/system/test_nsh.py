"""A chain that carries the network service header (RFC 8300) in a whole lab of two domains."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.command_line import CommandLine
from tests.system.test_functions import PATIENCE, pinging, reaches, running, takes_part
from tests.waiting import until

MEGABYTES = 8
LAB = """
name: nsh
domains: [d1, d2]
networks: {lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}}
switches: {s1: {domain: d1}, s2: {domain: d2}, s3: {domain: d1}}
links: [{ends: [s1, s3], bandwidth: 1gbit}]
hosts: {h1: s1, h2: s2, far: s3}
functions:
  here: {kind: bridge, switch: s1}
  there: {kind: bridge, switch: s2}
chains:
  all:
    source: [h1, far]
    destination: h2
    direction: both
    functions: [here, there]
    encapsulation: nsh
"""
AUTO = LAB.replace("encapsulation: nsh", "encapsulation: auto")
SERVE = """
import socket
server = socket.create_server(("", 5001))
print("up", flush=True)
taken = server.accept()[0]
print(sum(len(data) for data in iter(lambda: taken.recv(1 << 16), b"")))
"""
ASK = f"""
import socket, sys
with socket.create_connection((sys.argv[1], 5001), 20) as taken:
    taken.sendall(bytes({MEGABYTES} << 20))
"""
Lab = tuple[CommandLine, Path]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with running(LAB, tmp_path) as started:
        takes_part(started[0], "here.1", "there.1")
        yield started


def transfers(line: CommandLine, source: str, target: str) -> None:
    server = line.start("exec", target, "--", sys.executable, "-c", SERVE)
    try:
        assert server.stdout is not None and server.stdout.readline() == "up\n"
        line("exec", source, "--", sys.executable, "-c", ASK, target)
        assert server.communicate(timeout=PATIENCE)[0] == f"{MEGABYTES << 20}\n"
    finally:
        server.kill()
        server.communicate()


def both_ways(line: CommandLine) -> None:
    """Also from ``far``, whose packets carry their place over a link that is a pair of devices."""
    for source, target in (("h1", "h2"), ("h2", "h1"), ("far", "h2"), ("h2", "far")):
        assert reaches(line, source, target, 3)
        transfers(line, source, target)


def hops(line: CommandLine) -> dict[tuple[str, bool], dict[str, Any]]:
    return {(hop["function"], hop["forward"]): hop for hop in line.json("chains")[0]["hops"]}


def test_pings_and_bulk_transfers_pass_both_ways_and_still_do_as_vlan_and_as_nsh_again(lab: Lab) -> None:
    line, file = lab
    assert "encapsulation nsh (as the file says" in line("chains").stdout
    both_ways(line)
    # full packets of the hosts' MTU, which is that of a wire: none is cut on its way
    words = ["ping", "-4", "-c3", "-i0.05", "-W1", "-M", "do", "-s", str(1500 - 28), "h2"]
    assert "3 received" in line("exec", "far", "--", *words).stdout
    for text, way in ((AUTO, "vlan"), (LAB, "nsh")):
        file.write_text(text)
        line("apply", str(file))
        assert f"encapsulation {way}" in line("chains").stdout
        both_ways(line)


def offloading(line: CommandLine, place: str, device: str) -> set[str]:
    """Which of the offloads that matter here are on."""
    done = line("exec", place, "--", "ethtool", "-k", device).stdout
    features = ("tx-checksumming", "tx-tcp-segmentation", "generic-segmentation-offload")
    return {feature for feature in features if re.search(rf"{feature}: on", done)}


@pytest.mark.skipif(shutil.which("ethtool", path="/usr/sbin:/sbin:/usr/bin") is None, reason="no ethtool")
def test_only_who_sends_into_nsh_does_not_offload(lab: Lab) -> None:
    line, file = lab
    places = [("h1", "h1-eth0"), ("h2", "h2-eth0"), ("far", "far-eth0"), ("here", "in"), ("there", "out")]
    assert [offloading(line, *place) for place in places] == [set()] * 5
    file.write_text(AUTO)
    line("apply", str(file))
    assert all(len(offloading(line, *place)) == 3 for place in places)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_the_underlay_carries_nsh_in_vxlan_with_paths_and_indices(lab: Lab, tmp_path: Path) -> None:
    line, _ = lab
    link = next(link_state["name"] for link_state in line.json("status")["underlay"]["links"])
    file = tmp_path / "underlay.pcap"
    process = line.start("capture", link, "-w", str(file), "--filter", "udp port 4789")
    wanted = {hop["carried"] for hop in hops(line).values() if "in VXLAN" in hop["carried"]}
    assert wanted == {"NSH path 2 index 254 in VXLAN", "NSH path 3 index 254 in VXLAN"}

    def seen() -> set[str]:
        words = ["tshark", "-r", str(file), "-Y", "vxlan && nsh && icmp", "-T", "fields", "-e", "nsh.spi"]
        done = subprocess.run([*words, "-e", "nsh.si"], capture_output=True, text=True)
        rows = [row.split() for row in done.stdout.splitlines() if len(row.split()) == 2]
        return {f"NSH path {int(spi, 0)} index {int(si, 0)} in VXLAN" for spi, si in rows}

    try:
        until(lambda: file.exists() and file.stat().st_size >= 24, "capture began")
        assert reaches(line, "h1", "h2", 3)
        until(lambda: seen() == wanted, f"{wanted} on the wire")
    finally:
        process.send_signal(15)
        process.communicate(timeout=PATIENCE)


def test_capture_shows_nsh_to_people(lab: Lab) -> None:
    line, _ = lab
    link = next(link_state["name"] for link_state in line.json("status")["underlay"]["links"])
    # among them may be what the hosts' kernels send by themselves: MLD, router solicitations
    process = line.start("capture", link, "-c", "20", "--filter", "udp port 4789")
    with pinging(line, "h1", "h2"):
        shown = process.communicate(timeout=PATIENCE)[0]
    assert "NSH, flags [none], service-path-id 0x000002, service-index 0xfe" in shown, shown
    assert "10.0.0." in shown and "ICMP echo" in shown


def test_a_changed_encapsulation_loses_nothing(lab: Lab) -> None:
    line, file = lab
    for text in (AUTO, LAB):
        file.write_text(text)
        with pinging(line, "h1", "h2") as ping:
            assert "encapsulation" in line("apply", str(file)).stdout
        assert ping.lost == 0 and ping.sent > 50 and not ping.out_of_order
