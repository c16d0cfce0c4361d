"""Wires between hosts in a running lab: proven, cut, shaped, captured, added and removed."""

from __future__ import annotations

from pathlib import Path

from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from tests.system.hosts_of_kinds import needs
from tests.system.tenants_lab import TOPOLOGIES, capturing, packets, running

RING = TOPOLOGIES / "router-ring.yaml"
FILE = """\
name: wired
switches: [s1]
hosts:
  a: {switch: s1, routes: {"10.7.0.0/24": c}}
  b: s1
  c: {kind: router, interfaces: [s1, {peer: d, ipv4: 10.7.0.1/24, ipv6: "fd07::1/64"}]}
  d: {gateway: c}
"""


def test_a_ring_of_routers_without_a_switch(tmp_path: Path) -> None:
    with running(RING) as lab:
        assert "all 44 of 44 reached (IPv4 22/22, IPv6 22/22)" in lab("ping").stdout
        assert "10.0.23.2" in lab("exec", "left", "--", "traceroute", "-n", "right").stdout
        lab("link", "set", "r1-r2", "bandwidth=5mbit", "--from", "r2")
        assert lab("link", "show").stdout.count("bandwidth 5mbit") == 1
        assert "on a wire to r2" in lab("move", "r1-east", "d1", code=None).stderr
        assert "on a wire to another host" in lab("trace", "left", "right", code=None).stderr
        with capturing(lab, "r2-r3", tmp_path / "wire.pcap", "--filter", "icmp"):
            lab("ping", "left", "right")
        seen = {Ether(bytes(packet))[IP].src for packet in packets(tmp_path / "wire.pcap")}
        assert seen == {"10.1.0.1", "10.2.0.2"}

        lab("link", "down", "r1", "r2")
        states = {link["name"]: link["up"] for link in lab.json("status")["links"]}
        assert not states["r1-r2"] and states["r2-r3"]
        lab("exec", "left", "--", "ping", "-c", "1", "-W", "1", "right", code=1)
        lab("exec", "r1", "--", "ip", "route", "replace", "10.2.0.0/24", "via", "10.0.41.1")
        lab("exec", "r3", "--", "ip", "route", "replace", "10.1.0.0/24", "via", "10.0.34.2")
        assert "10.0.41.1" in lab("exec", "left", "--", "traceroute", "-n", "right").stdout
        lab("link", "up", "r1", "r2")
        lab("exec", "r1", "--", "ping", "-6", "-c", "1", "-W", "5", "fd00:12::2")
        assert "all 44 of 44" in lab("ping").stdout  # routes and addresses of the file are there again


def test_wires_come_change_and_go_in_a_running_lab(tmp_path: Path) -> None:
    file = tmp_path / "wired.yaml"
    file.write_text(FILE, encoding="utf-8")
    with running(file) as lab:
        lab("exec", "a", "--", "ping", "-c", "1", "-W", "5", "d")
        lab("exec", "d", "--", "touch", "/tmp/there")
        more = FILE + "links:\n  - {ends: [d, b], mtu: 4000, bandwidth: 20mbit}\n"
        file.write_text(more, encoding="utf-8")
        assert "host d-eth1" in lab("apply", str(file)).stdout
        lab("exec", "b", "--", "ping", "-M", "do", "-s", "3900", "-c", "1", "-W", "5", "d-eth1")
        assert "nothing to do" in lab("apply", str(file)).stdout
        saved = tmp_path / "saved.yaml"
        lab("save", "-o", str(saved))
        assert "nothing to do" in lab("apply", str(saved)).stdout
        file.write_text(more.replace("4000", "1500").replace("peer: d,", "peer: d, mac: 02:aa:00:00:00:07,"))
        lab("apply", str(file))
        lab("exec", "b", "--", "ping", "-M", "do", "-s", "3900", "-c", "1", "-W", "1", "d-eth1", code=1)
        lab("exec", "a", "--", "ping", "-c", "1", "-W", "5", "d")
        file.write_text(
            FILE.replace(', {peer: d, ipv4: 10.7.0.1/24, ipv6: "fd07::1/64"}', "")
            .replace("d: {gateway: c}", "d: s1")
            .replace(', routes: {"10.7.0.0/24": c}', "")
        )
        lab("apply", str(file))
        assert "all 24 of 24" in lab("ping").stdout
        assert "c-eth1" not in lab("exec", "c", "--", "ip", "link").stdout
        lab("exec", "d", "--", "test", "-e", "/tmp/there")


def test_a_container_is_wired_to_a_namespace(tmp_path: Path) -> None:
    needs("runc")
    file = tmp_path / "two.yaml"
    file.write_text("hosts: {h1: {kind: container}, h2: {}}\nlinks: [h1 -- h2, h2 -- h1]\n", encoding="utf-8")
    with running(file) as lab:
        assert "all 8 of 8 reached" in lab("ping").stdout
        lab("link", "down", "h1-h2")
        lab("link", "up", "h1-h2")
        assert "all 8 of 8 reached" in lab("ping").stdout
