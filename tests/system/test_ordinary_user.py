"""What an ordinary user types: checks, traces, scapy, reports, tests of a course, a saved lab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.dataplane_lab import ORDINARY, loosened_tun
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="is the ordinary case for a test run by an ordinary user"
)
ROOT = Path(__file__).resolve().parents[2]
FILE = """\
name: users
domains: [d1, d2]
networks: {lan: {dhcp: true}}
switches: {s1: {domain: d1}, s2: {domain: d2}}
groups: {far: [h2]}
hosts: {h1: s1, h2: {switch: s2, serves: http}}
functions:
  fw: {kind: firewall, switch: s1, default: accept, rules: [{action: drop, protocol: tcp, ports: 22}]}
chains: {c: {source: h1, destination: far, functions: [fw]}}
underlay: {}
checks:
  - http: {from: h1, to: far, body: h2}
  - {dns: {from: h1, to: dhcp-lan, query: h2, answer: 10.0.0.2}, within: 20s}
  - {traverses: {from: h1, to: far, functions: fw}, name: through the firewall}
  - encapsulated: {from: h1, to: far}
  - blocked: {from: h1, to: far, tcp: 22}
  - packet: {at: h1, send: 'IP(dst="10.0.0.2")/UDP(dport=99)', there: h2}
  - command: {host: h1, run: id -u, output: "^0$"}
  - survives: {kill: controller, check: {reachable: {from: h1, to: far}, within: 20s}}
"""
TESTS = """\
import pytest
from scapy.layers.inet import ICMP, IP

pytestmark = pytest.mark.topology("users.yaml")


def test_an_answer(host):
    assert host("h1").scapy.sr1(IP(dst=host("h2").ipv4) / ICMP(), timeout=60)[ICMP].type == 0
"""


class User:
    """An ordinary user of this machine, with a home and a runtime directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        runtime = home / "run"
        runtime.mkdir(0o700)
        for folder in (home, runtime):
            os.chown(folder, ORDINARY, ORDINARY)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(runtime),
            "PYTHONPATH": str(ROOT),
        }

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lab", *words],
            cwd=self.home,
            env=self.environment,
            user=ORDINARY,
            group=ORDINARY,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def user() -> Iterator[User]:
    with tempfile.TemporaryDirectory(prefix="sdnlab-user-") as home:  # pytest's are for its own user alone
        ordinary = User(Path(home))
        try:
            ordinary("--version")
        except (PermissionError, AssertionError) as error:
            pytest.skip(f"an ordinary user can't run this interpreter: {error}")
        with loosened_tun():
            try:
                yield ordinary
            finally:
                ordinary("down", "--all")


def test_checks_traces_packets_reports_and_courses_of_an_ordinary_user(user: User) -> None:
    file, saved, page = (user.home / name for name in ("users.yaml", "saved.yaml", "report.html"))
    file.write_text(FILE, encoding="utf-8")
    user("up", str(file), "-d")
    results = json.loads(user("check", "--json"))["results"]
    assert {result["verdict"] for result in results} == {"passed"} and len(results) == 8
    state = json.loads(user("trace", "h1", "h2", "--json"))
    assert state["observed"] and state["reached"] and state["differences"] == []
    assert any("seen on underlay link" in remark for remark in state["remarks"])
    assert "echo-reply" in user("scapy", "-c", "hosts['h1'].sr1(IP(dst=hosts['h2'].ip)/ICMP(), timeout=60)")
    user("report", "-o", str(page))
    assert "8 of 8 checks passed" in page.read_text(encoding="utf-8")
    user("save", "-o", str(saved))
    user("up", str(saved), "-d", "--name", "again", "--no-check")
    again = json.loads(user("check", "again", "--json"))["results"]
    assert [(one["name"], one["verdict"]) for one in again] == [(one["name"], "passed") for one in results]
    (user.home / "test_users.py").write_text(TESTS, encoding="utf-8")
    assert "1 passed" in user("test-lab", str(user.home))


def test_routers_of_an_ordinary_user_learn_routes(user: User) -> None:
    if shutil.which("vtysh") is None:
        pytest.skip("FRR is not installed")
    assert "all 24 of 24 pairs" in user("up", str(ROOT / "topologies" / "ospf.yaml"), "-d")
    assert "O>* 10.4.0.0/24" in user("exec", "r1", "--", "vtysh", "-c", "show ip route")
    assert "1 received" in user("exec", "pc", "--", "ping", "-c", "1", "-W", "5", "fd04::1")
    user("exec", "r1", "--", "pkill", "-9", "ospf6d")
    until(lambda: "command ospf6d ended (signal 9)" in user("events"), "the end of a daemon is told", 60)


def test_hosts_of_an_ordinary_user_are_wired_to_each_other(user: User) -> None:
    assert "all 44 of 44 reached" in user("up", str(ROOT / "topologies" / "router-ring.yaml"), "-d")
    user("link", "down", "r1", "r2")
    user("exec", "left", "--", "ping", "-c", "1", "-W", "1", "right", code=1)
    user("link", "up", "r1", "r2")
    user("link", "set", "r1-r2", "bandwidth=1mbit")
    assert "all 44 of 44 reached" in user("ping")
    file = user.home / "more.yaml"
    text = (ROOT / "topologies" / "router-ring.yaml").read_text(encoding="utf-8")
    file.write_text(f"{text}links: [left -- right]\n", encoding="utf-8")
    user("apply", str(file))
    assert "1 received" in user("exec", "left-eth1", "--", "ping", "-c", "1", "-W", "5", "right-eth1")
