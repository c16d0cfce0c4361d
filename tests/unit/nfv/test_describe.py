"""What is started for each kind, and that it starts fast: no process imports more than it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import IPv4Interface
from typing import Any

import pytest

from nfv.__main__ import PROGRAMS
from nfv.contract import timestamp
from nfv.describe import describe, needs_process
from nfv.kinds import START
from topologies.model.attachment import EndSystem, Flows, Inline
from topologies.model.functions import Balancer, Dhcp, Firewall, Function, Nat, RateLimit, Rule, Script
from topologies.model.kinds import function_of
from topologies.model.topology import Topology
from topologies.model.values import Port

NOTHING = Topology(name="lab", domains=(), networks=(), switches=(), links=(), hosts=())
BALANCER = Balancer(
    network="n",
    at=Port(switch="s1", number=1),
    mac="02:00:00:00:00:01",
    ipv4="10.0.0.9/24",
    port=80,
    backends=(),
)
BY_FLOWS = Flows(switch="s1")
FUNCTIONS: dict[str, dict[str, Any]] = {
    "bridge": {"kind": "bridge", "engine": "kernel"},
    "firewall": {
        "kind": "firewall",
        "engine": "nftables",
        "firewall": Firewall(rules=(Rule(name="näme", action="drop"),)),
    },
    "rate-limiter": {"kind": "rate-limiter", "engine": "kernel", "rate": RateLimit(bandwidth=1000, burst=9)},
    "python": {"kind": "python", "engine": "python", "script": Script(file="a.py", source="pass")},
    "haproxy": {
        "kind": "load-balancer",
        "engine": "haproxy",
        "attachment": EndSystem(switch="s1"),
        "balancer": BALANCER,
    },
    "dhcp": {
        "kind": "dhcp",
        "engine": "dnsmasq",
        "attachment": EndSystem(switch="s1"),
        "dhcp": Dhcp(
            network="n",
            at=Port(switch="s1", number=9),
            mac="02:00:00:00:00:03",
            ipv4=IPv4Interface("10.0.0.9/24"),
        ),
    },
    "health-checks": {
        "kind": "load-balancer",
        "engine": "openflow",
        "attachment": BY_FLOWS,
        "balancer": BALANCER,
    },
}


OWN = {
    "firewall": Firewall(rules=()),
    "nat": Nat(network="n", mac="02:00:00:00:00:02", ipv4=IPv4Interface("10.0.0.8/24")),
}


def function(some: dict[str, Any]) -> Function:
    return function_of(**{"name": "f", "attachment": Inline(switch="s1")} | some)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_kind_has_a_program(name: str) -> None:
    described = describe(function(FUNCTIONS[name]), "f.1", NOTHING)
    assert described.argv[0] == sys.executable
    assert described.argv[-2:] == (START, name)
    assert name in PROGRAMS
    assert described == describe(function(FUNCTIONS[name]), "f.2", NOTHING)
    for file, content in described.files.items():
        if file.endswith(".json"):
            json.loads(content)


@pytest.mark.parametrize("kind", ["firewall", "nat"])
def test_what_switches_do_needs_none(kind: str) -> None:
    some = function({"kind": kind, "engine": "openflow", "attachment": BY_FLOWS, kind: OWN[kind]})
    assert not needs_process(some)
    with pytest.raises(ValueError, match="has no process"):
        describe(some, "f.1", NOTHING)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_process_imports_little(name: str) -> None:
    code = f"import sys, {PROGRAMS[name]}; print(*sorted(sys.modules))"
    root = START.rpartition("/nfv/")[0]
    alone = [sys.executable, "-E", "-s", "-S", "-c", code]
    done = subprocess.run(alone, cwd=root, capture_output=True, text=True, check=True)
    slow = {"pydantic", "typer", "scapy", "asyncio", "pathlib", "typing", "dataclasses", "inspect", "urllib"}
    assert not slow & set(done.stdout.split())


def test_timestamps_are_those_of_eve() -> None:
    assert timestamp(1_780_000_000.25) == "2026-05-28T20:26:40.250000+0000"
