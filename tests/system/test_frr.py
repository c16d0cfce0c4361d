"""Routers that learn routes by OSPF and BGP (FRR) in a running lab: cut, killed, changed, gone at the end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.command_line import CommandLine, of_an_owner_of_its_own
from tests.system.tenants_lab import TOPOLOGIES, running
from tests.waiting import until

if shutil.which("vtysh") is None:
    pytest.skip("FRR is not installed", allow_module_level=True)

OSPF, BGP = TOPOLOGIES / "ospf.yaml", TOPOLOGIES / "bgp.yaml"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 150.0
"""Seconds: where processes wait for a processor longer than a dead interval, sessions start anew."""


def way(lab: CommandLine, target: str) -> list[str]:
    """The hops from pc to ``target``."""
    told = lab("exec", "pc", "--", "traceroute", "-n", "-w", "1", "-q", "1", "-m", "6", target, code=None)
    return re.findall(r"^ *\d+  (\S+)  ", told.stdout, re.MULTILINE)


def commands(lab: CommandLine, name: str) -> dict[str, Any]:
    """The state of each command of a host."""
    (host,) = [host for host in lab.json("status")["hosts"] if host["name"] == name]
    return {state["name"]: state for state in host["commands"]}


def of_lab(name: str) -> Iterator[int]:
    """The processes of FRR's daemons in a lab."""
    for entry in Path("/proc").iterdir():
        try:
            is_daemon = entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"/usr/lib/frr/")
            if is_daemon and f"SDNLAB={name}\0".encode() in (entry / "environ").read_bytes():
                yield int(entry.name)
        except OSError:
            continue


def test_ospf_goes_round_a_cut_wire_and_a_killed_daemon_and_ends_with_the_lab(tmp_path: Path) -> None:
    text = OSPF.read_text(encoding="utf-8").replace("name: ospf", f"name: ospf{os.getpid()}")
    file = tmp_path / "ospf.yaml"
    file.write_text(text, encoding="utf-8")
    with running(file) as lab:
        assert "O>* 10.4.0.0/24" in lab("exec", "r1", "--", "vtysh", "-c", "show ip route").stdout
        # a router's kernel answers few of the probes in a second
        straight = ["10.1.0.254", "10.2.0.2", "10.4.0.1"]
        until(lambda: way(lab, "10.4.0.1") == straight, "IPv4 goes straight", PATIENCE)
        # the wire is cut at r2: r1 misses r2's hellos
        lab("link", "down", "r2-direct-s2")
        round_about = ["10.1.0.254", "10.3.0.2", "10.3.0.6", "10.4.0.1"]
        until(lambda: way(lab, "10.4.0.1") == round_about, "IPv4 goes by r3", PATIENCE)
        round_about = ["fd01::fe", "fd03::2", "fd05::2", "fd04::1"]
        until(lambda: way(lab, "fd04::1") == round_about, "IPv6 goes by r3", PATIENCE)
        lab("link", "up", "r2-direct-s2")

        lab("exec", "r3", "--", "pkill", "-9", "zebra")
        told = "r3: command zebra ended (signal 9); it starts again"
        until(lambda: told in lab("events").stdout, "the end of zebra is told", PATIENCE)
        whole = "all 24 of 24 reached"
        until(lambda: whole in lab("ping", code=None).stdout, "all are reached again", PATIENCE)
        states = commands(lab, "r3")
        assert states.keys() == {"zebra", "staticd", "ospfd", "ospf6d"}
        assert states["zebra"]["state"] == "running" and states["zebra"]["restarts"] == 1

        # a configuration changes, is refused, goes and comes
        other = tmp_path / "other.yaml"
        costly = text.replace("interface direct\n", "interface direct\n       ip ospf cost 500\n")
        other.write_text(costly, encoding="utf-8")
        assert "~ host r1: frr" in lab("apply", str(other)).stdout
        until(lambda: "10.3.0.2" in way(lab, "10.4.0.1"), "the direct way costs more", PATIENCE)
        other.write_text(costly.replace("cost 500", "cots 500"), encoding="utf-8")
        assert "line 6: Unknown command:  ip ospf cots 500" in lab("apply", str(other), code=None).stderr
        static = re.sub(r"(  r1:(?:\n    .*)*?)\n    frr: \|(\n      .*)+", r"\1", text)
        other.write_text(static, encoding="utf-8")
        lab("apply", str(other))
        lab("exec", "r1", "--", "vtysh", "-c", "show ip route", code=1)
        assert not commands(lab, "r1")
        lab("apply", str(file))
        until(lambda: whole in lab("ping", code=None).stdout, "r1 learns again", PATIENCE)
        saved = tmp_path / "saved.yaml"
        lab("save", "-o", str(saved))
        assert "nothing to do" in lab("apply", str(saved)).stdout

        daemons = list(of_lab(f"ospf{os.getpid()}"))
        assert len(daemons) == 12
        os.kill(lab.json("list")[0]["pid"], signal.SIGKILL)
        until(lambda: not list(of_lab(f"ospf{os.getpid()}")), "no daemon outlives the lab", 30)


def test_bgp_announces_networks_of_both_families_and_a_better_way_returns() -> None:
    with running(BGP) as lab:
        assert "64503 64502" in lab("exec", "r1", "--", "vtysh", "-c", "show bgp ipv6 unicast").stdout
        straight = ["fd01::fe", "fd02::2", "fd04::1"]
        until(lambda: way(lab, "fd04::1") == straight, "IPv6 goes straight", PATIENCE)
        lab("link", "down", "r2-direct-s2")
        round_about = ["10.1.0.254", "192.0.2.6", "192.0.2.10", "10.4.0.1"]
        until(lambda: way(lab, "10.4.0.1") == round_about, "IPv4 goes by r3", PATIENCE)
        round_about = ["fd01::fe", "fd03::2", "fd05::2", "fd04::1"]
        until(lambda: way(lab, "fd04::1") == round_about, "IPv6 goes by r3", PATIENCE)
        lab("link", "up", "r2-direct-s2")
        until(lambda: "192.0.2.2" in way(lab, "10.4.0.1"), "IPv4 goes directly", PATIENCE)


def test_ospf_runs_over_wires_between_hosts(tmp_path: Path) -> None:
    """Three routers in a ring, and two computers, without a switch."""
    quick = "ip ospf network point-to-point\\n ip ospf hello-interval 1\\n ip ospf dead-interval 4\\n"
    wires = {"r1": ("r1-eth1", "r1-eth2"), "r2": ("r2-eth0", "r2-eth1"), "r3": ("r3-eth1", "r3-eth2")}
    lines = ["networks: {left: {subnet4: 10.1.0.0/24}, right: {subnet4: 10.4.0.0/24}}", "hosts:"]
    lines += [
        "  pc: {peer: r1, network: left, gateway: r1}",
        "  till: {peer: r3, network: right, gateway: r3}",
    ]
    for router, devices in wires.items():
        own = "".join(f"interface {device}\\n {quick}" for device in devices)
        lines.append(f'  {router}: {{kind: router, frr: "{own}router ospf\\n network 10.0.0.0/8 area 0\\n"}}')
    lines.append("links: [r1 -- r2, r2 -- r3, r1 -- r3]")
    file = tmp_path / "wired.yaml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with running(file) as lab:
        assert "all 18 of 18 reached" in lab("ping").stdout
        until(lambda: len(way(lab, "10.4.0.2")) == 3, "packets go straight", PATIENCE)
        lab("link", "down", "r1", "r3")
        until(lambda: len(way(lab, "10.4.0.2")) == 4, "packets go by r2", PATIENCE)
        lab("link", "up", "r1", "r3")
        until(lambda: len(way(lab, "10.4.0.2")) == 3, "packets go straight again", PATIENCE)


def test_hosts_need_nothing_of_the_projects_folder(tmp_path: Path) -> None:
    """They have a /tmp of their own, so a checkout there is not there for them; nor is one below /root."""
    checkout = tmp_path / "checkout"
    for package in ("controller", "dataplane", "lab", "linux", "nfv", "topologies", "wire"):
        shutil.copytree(ROOT / package, checkout / package)
    shutil.copy(ROOT / "sdnlab.py", checkout)
    file = tmp_path / "hidden.yaml"
    file.write_text(
        """
switches: [s1]
networks: {lan: {dhcp: true, subnet4: 10.0.0.0/24}}
hosts:
  asks: {switch: s1, ipv4: dhcp}
  r1: {switch: s1, kind: router, frr: "router ospf\\n network 10.0.0.0/24 area 0\\n"}
""",
        encoding="utf-8",
    )
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from lab.cli import main; main()"
    line = of_an_owner_of_its_own((sys.executable, "-c", start, str(checkout)))
    try:
        line("up", str(file), "-d")
        assert line("exec", "r1", "--", "ls", str(checkout), code=2).stdout == ""
        assert "inet 10.0.0." in line("exec", "asks", "--", "ip", "address").stdout
        until(lambda: "10.0.0." in ospf_of(line, "r1"), "FRR runs", 60)
    finally:
        line("down", "--all", code=None)


def ospf_of(line: CommandLine, router: str) -> str:
    """What a router's OSPF says of its interfaces."""
    return line("exec", router, "--", "vtysh", "-c", "show ip ospf interface", code=None).stdout
