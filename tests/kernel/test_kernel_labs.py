"""The shipped labs on Open vSwitch's kernel datapath: each feature does there what it does in userspace."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tests.kernel.labs import PATIENCE, TOPOLOGIES, Lab, as_user
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
LOOK = """\
tcpdump -lnei r1-eth0 -c 4 vlan &
while kill -0 $! 2>/dev/null; do ping -c 1 -W 1 pc; ping -c 1 -W 1 desk; done
"""
"""What passes a trunk while its router asks in both VLANs."""


def test_all_pairs_reach_each_other_and_neighbours_are_discovered(lab: Lab) -> None:
    told = lab.up("quickstart", "--check", "all")
    assert told["probe"]["reached"] == told["probe"]["total"] == 24
    assert "ovs-system" in lab.run("s1", "ip", "-o", "link", "show", "ovs-system")
    # By moves from registers: flags, option and its type. The host takes only an advertisement that is whole.
    target = lab.run("h3", "ip", "-6", "-o", "addr", "show", "scope", "global").split()[3].split("/")[0]
    for _ in range(5):
        lab.run("h1", "ip", "-6", "neigh", "flush", "all")
        lab.run("h1", "ping", "-c", "1", "-W", "5", target)
    assert "lladdr" in lab.run("h1", "ip", "-6", "neigh", "show", target)


def test_equal_paths_and_the_cut_of_a_link(lab: Lab) -> None:
    lab.up("leaf-spine", "--check", "none")
    lab.reaches_all()
    with lab.pinging("h1", "10.0.0.7") as seen:
        for spine in ("spine1", "spine2", "spine3"):
            lab.line("link", "down", "leaf1", spine)
        lab.line("ping", "h1", "h7")
    assert len(seen[0].times) > 10
    lab.line("link", "up", "leaf1", "spine1")
    lab.reaches_all()


def test_trunks_and_a_router_on_a_stick(lab: Lab) -> None:
    lab.up("vlans", "--check", "none")
    lab.reaches_all()
    lab.passes_checks()
    seen = lab.run("r1", "timeout", "60", "sh", "-c", LOOK)
    assert "vlan 10" in seen and "vlan 20" in seen
    lab.line("move", "server", "d1", "--switch", "s1")
    lab.reaches_all()


def test_a_chain_of_firewall_rate_limiter_and_balancer_across_sites(lab: Lab) -> None:
    lab.up("service-chain")
    lab.passes_checks()
    servers = {lab.run("client", "curl", "-s", "-m", "20", "http://lb/").strip() for _ in range(12)}
    assert len(servers) >= 2 and "" not in servers
    lab.line("scale", "fw", "3")
    assert lab.run("client", "curl", "-s", "-m", "20", "http://lb/").strip()


def test_firewalls_of_both_engines(lab: Lab) -> None:
    lab.up("firewall")
    lab.passes_checks()


def test_a_balancer_of_layer_7(lab: Lab) -> None:
    lab.up("load-balancer")
    images = ("curl", "-s", "-m", "20", "http://shop/images/")
    until(lambda: "images" in lab.run("client", *images, code=None), "images answers", PATIENCE)
    assert lab.run("client", "curl", "-s", "-m", "20", "http://shop/").strip() in ("app1", "app2")


def test_address_translation(lab: Lab) -> None:
    lab.up("nat")
    lab.reaches_all()


def test_tenants_across_domains_and_a_move(lab: Lab) -> None:
    lab.up("two-domains")
    lab.passes_checks()
    full = lab.run("blue1", "ping", "-c", "2", "-M", "do", "-s", str(1500 - 28), "10.0.0.3")
    assert " 0% packet loss" in full
    with lab.pinging("red1", "10.0.0.3") as others, lab.pinging("blue3", "10.0.0.1") as seen:
        lab.line("move", "blue1", "d2")
        lab.line("ping", "blue1", "blue3")
    assert seen[0].lost < len(seen[0].times) and others[0].lost <= 2
    lab.passes_checks()


def test_five_domains(lab: Lab) -> None:
    lab.up("multi-domain", "--check", "none")
    lab.reaches_all()


def test_a_tap_sees_an_attack_and_an_inline_ids_drops_it(lab: Lab) -> None:
    lab.up("ids")
    attack = str(TOPOLOGIES / "exercises/attack.sh")
    lab.run("victim", "sh", "-c", "python3 -m http.server 80 >/dev/null 2>&1 &")
    until(
        lambda: lab.run("outsider", "curl", "-s", "-m", "9", "http://10.0.0.9/", code=None),
        "it serves",
        PATIENCE,
    )
    lab.run("outsider", "bash", attack, "union", "10.0.0.9", code=None)
    assert lab.await_alert("watch")
    lab.run("insider", "bash", attack, "union", "10.0.0.9", code=None)
    assert lab.await_alert("guard")


def test_a_capture_and_a_trace(lab: Lab) -> None:
    lab.up("quickstart")
    told = lab.line.json("trace", "h1", "h3")
    assert told["observed"] and told["reached"] and told["differences"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs all tests of this tier as one")
def test_an_ordinary_users_lab_has_it_too(lab: Lab) -> None:
    user = pwd.getpwuid(ROOT.stat().st_uid).pw_name
    if user == "root":
        pytest.skip("the checkout is root's")
    home = pwd.getpwnam(user).pw_dir
    sdnlab = ("env", f"HOME={home}", str(ROOT / "sdnlab"))
    try:
        assert "kernel datapath" in as_user(
            user, [*sdnlab, "up", "two-domains", "-d", "--name", "own", "--datapath", "auto"]
        )
        as_user(user, [*sdnlab, "check", "own"])
    finally:
        as_user(user, [*sdnlab, "down", "own"])
