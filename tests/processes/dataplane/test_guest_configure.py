"""The agent configures its machine: here a network namespace with a device, in a new user namespace."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dataplane.hosts.guest import protocol
from tests.unit.dataplane.guest_machines import Agent

INSIDE = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--uts", "--"]
# sysfs shows the devices of the network namespace in which it was mounted
MADE = "mount -t sysfs none /sys && ip link add eth0 address 02:00:00:00:00:aa type bridge"
BEFORE = [*INSIDE, "sh", "-c", f'{MADE} && exec "$@"', "sh"]


@pytest.fixture
def agent() -> Iterator[Agent]:
    tried = subprocess.run([*BEFORE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no user, network and mount namespace here: {tried.stderr.strip()}")
    with Agent(BEFORE) as agent:
        yield agent


def configure(agent: Agent, *steps: str | list[bytes]) -> list[str]:
    split = [step.encode().split(b" ") if isinstance(step, str) else step for step in steps]
    agent.send(protocol.CONFIGURE, 1, protocol.steps_payload(split))
    return [text.decode() for text in protocol.unpack(agent.until(protocol.CONFIGURED))]


def said(agent: Agent, *words: str) -> str:
    agent.run(2, *words)
    code, output, errors = agent.result(2)
    assert code == 0, errors
    return output.decode()


def device(agent: Agent) -> dict[str, Any]:
    entries: list[dict[str, Any]] = json.loads(said(agent, "ip", "-j", "address", "show", "dev", "eth0"))
    return entries[0]


def addresses(agent: Agent) -> set[str]:
    return {
        f"{entry['local']}/{entry['prefixlen']}"
        for entry in device(agent)["addr_info"]
        if entry["scope"] == "global"
    }


def routes(agent: Agent, version: str) -> set[tuple[str, str]]:
    entries = json.loads(said(agent, "ip", "-j", version, "route", "show"))
    return {(entry["dst"], entry["gateway"]) for entry in entries if "gateway" in entry}


def test_the_only_device_gets_mac_mtu_addresses_and_routes(agent: Agent) -> None:
    steps = [
        "mac 02:00:00:00:00:01",
        "mtu 1400",
        "up",
        "address 10.0.0.1/24",
        "address fd00::1/64",
        "route 0.0.0.0/0 10.0.0.254",
        "route ::/0 fd00::fe",
        "route 10.9.0.0/16 10.0.0.253",
    ]
    assert configure(agent, *steps) == []
    has = device(agent)
    assert (has["address"], has["mtu"]) == ("02:00:00:00:00:01", 1400)
    assert "UP" in has["flags"]
    assert addresses(agent) == {"10.0.0.1/24", "fd00::1/64"}
    broadcast = [entry.get("broadcast") for entry in has["addr_info"] if entry["family"] == "inet"]
    assert broadcast == ["10.0.0.255"]
    assert not any(entry.get("tentative") for entry in has["addr_info"] if entry["scope"] == "global")
    assert routes(agent, "-4") == {("default", "10.0.0.254"), ("10.9.0.0/16", "10.0.0.253")}
    assert routes(agent, "-6") == {("default", "fd00::fe")}
    assert "UP" in json.loads(said(agent, "ip", "-j", "link", "show", "lo"))[0]["flags"]
    # the same once more: a machine that was configured is configured again
    assert configure(agent, *steps) == []
    assert addresses(agent) == {"10.0.0.1/24", "fd00::1/64"}


def test_other_addresses_in_place_of_the_old_ones(agent: Agent) -> None:
    old = ["address 10.0.0.1/24", "address fd00::1/64", "route ::/0 fd00::fe", "route 0.0.0.0/0 10.0.0.2"]
    assert configure(agent, "up", "address fe80::1/64", *old) == []
    assert configure(agent, "clear", "address 10.1.0.1/16", "route 0.0.0.0/0 10.1.0.254") == []
    assert addresses(agent) == {"10.1.0.1/16"}
    assert routes(agent, "-4") == {("default", "10.1.0.254")}
    assert routes(agent, "-6") == set()
    assert any(entry["local"] == "fe80::1" for entry in device(agent)["addr_info"])


def test_a_device_by_its_mac_address(agent: Agent) -> None:
    said(agent, "ip", "link", "add", "eth1", "address", "02:00:00:00:00:bb", "type", "bridge")
    assert configure(agent, "address 10.0.0.1/24") == ["address 10.0.0.1/24: several: eth0 eth1"]
    assert configure(agent, "device 02:00:00:00:00:AA", "address 10.0.0.1/24") == []
    assert addresses(agent) == {"10.0.0.1/24"}
    assert configure(agent, "device 02:00:00:00:00:cc") == [
        "device 02:00:00:00:00:cc: no such network device"
    ]


def test_what_the_kernel_refuses_is_named_and_the_rest_is_done(agent: Agent) -> None:
    failures = configure(
        agent,
        "up",
        "mtu 5",
        "address 10.0.0.1/33",
        "address fd00::g/64",
        "route 0.0.0.0/0 192.0.2.1",
        "route 0.0.0.0/0 fd00::1",
        "mac 0",
        "clock 0",
        [b"entropy", bytes(64)],
        "address",
        "hostname h1",
        "address 10.0.0.1/24",
    )
    assert [failure.partition(":")[0] for failure in failures[:2]] == ["mtu 5", "address 10.0.0.1/33"]
    assert len(failures) == 9
    assert failures[3].startswith("route 0.0.0.0/0 192.0.2.1: Nexthop has invalid gateway")
    assert failures[6] == "clock 0: Operation not permitted"
    assert failures[7] == "entropy: Operation not permitted"
    assert addresses(agent) == {"10.0.0.1/24"}
    assert said(agent, "hostname") == "h1\n"
