"""A running data plane that changes: hosts, links, networks and functions come and go beside what stays."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from dataplane.change.operations import AddWire
from dataplane.fabric import functions
from dataplane.fabric.executor import Executor
from dataplane.fabric.fabric import Fabric, Unchangeable
from dataplane.plan.lab import instance_netns
from dataplane.sandbox.sandbox import SandboxError
from tests.system.dataplane_lab import (
    ORDINARY,
    RUN,
    as_user,
    forward_normally,
    inside,
    loosened_tun,
    reaches,
    run,
    why_no_lab,
)
from tests.unit.dataplane.changing_labs import lab
from tests.waiting import holds_within
from topologies.model.topology import Topology

_WHY = why_no_lab(lab({"h1": ("s1", 1, "blue", None)}, {}, {}, {"blue": 10}))
pytestmark = pytest.mark.skipif(bool(_WHY), reason=_WHY or "labs can run")

Functions = dict[str, tuple[str, Literal["inline", "tap", "host"], list[int]]]
HOSTS: dict[str, tuple[str, int, str, int | None]] = {
    "h1": ("s1", 1, "blue", None),
    "h2": ("s2", 1, "blue", None),
}
LINK: dict[str, tuple[int, int | None]] = {"s1-s2": (5, None)}
NONE: Functions = {}


def start() -> Topology:
    return lab(HOSTS, NONE, LINK, {"blue": 10})


def without_underlay(links: dict[str, tuple[int, int | None]]) -> Topology:
    """Two switches that nothing joins but these links."""
    topology = lab(HOSTS, NONE, links, {"blue": 10})
    switches = tuple(switch for switch in topology.switches if switch.role == "switch")
    return topology.model_copy(update={"underlay": None, "switches": switches})


def address(host: str, fabric: Fabric) -> str:
    interface = next(known.ipv4 for known in fabric.topology.hosts if known.name == host)
    assert interface is not None
    return str(interface.ip)


def links_of(netns: str) -> dict[str, tuple[int, bool, int]]:
    """Device -> its index, whether it is up, its MTU."""
    links = json.loads(run(f"ip -n {netns} -j link"))
    return {link["ifname"]: (link["ifindex"], "UP" in link["flags"], link["mtu"]) for link in links}


def test_a_host_comes_and_goes_and_the_others_keep_what_they_had() -> None:
    def body(fabric: Fabric) -> Any:
        before = links_of("h1"), links_of("h2")
        more = {**HOSTS, "h3": ("s2", 2, "blue", None)}
        fabric.replace(lab(more, NONE, LINK, {"blue": 10}))
        came = reaches("h1", address("h3", fabric), 2), reaches("h3", address("h2", fabric), 2)
        there = Path("/run/netns/h3").exists()
        fabric.replace(start())
        same = (links_of("h1"), links_of("h2")) == before
        gone = Path("/run/netns/h3").exists()
        return came, there, same, gone, reaches("h1", address("h2", fabric), 2)

    assert inside(start(), body) == [[True, True], True, True, False, True]


def test_what_runs_in_a_removed_host_ends() -> None:
    def body(fabric: Fabric) -> Any:
        import subprocess

        process = subprocess.Popen(["ip", "netns", "exec", "h2", "sleep", "600"])
        holds_within(lambda: "sleep" in Path(f"/proc/{process.pid}/comm").read_text())
        fabric.replace(lab({"h1": HOSTS["h1"]}, NONE, LINK, {"blue": 10}))
        return process.wait(30)

    assert inside(start(), body) == -9


def test_a_link_comes_as_patch_ports_becomes_shaped_and_goes() -> None:
    def body(fabric: Fabric) -> Any:
        def connected() -> bool:
            return reaches("h1", address("h2", fabric), 2)

        reached = [connected()]
        for links in (LINK, {"s1-s2": (5, 10_000_000)}, {"s1-s2": (6, None)}, {}):
            fabric.replace(without_underlay(links))
            reached.append(holds_within(connected) if links else connected())
        return reached

    assert inside(without_underlay({}), body) == [False, True, True, True, False]


def test_two_hosts_that_change_places_keep_their_namespaces() -> None:
    def body(fabric: Fabric) -> Any:
        inodes = [Path(f"/run/netns/{name}").stat().st_ino for name in HOSTS]
        swapped = {"h1": HOSTS["h2"], "h2": HOSTS["h1"]}
        fabric.replace(lab(swapped, NONE, LINK, {"blue": 10}))
        kept = inodes == [Path(f"/run/netns/{name}").stat().st_ino for name in HOSTS]
        ports = [host.switch for host in fabric.plan.hosts]
        return kept, ports, reaches("h1", address("h2", fabric), 2)

    assert inside(start(), body) == [True, ["s2", "s1"], True]


def test_a_host_gets_another_address_and_mtu_in_place() -> None:
    def body(fabric: Fabric) -> Any:
        before = links_of("h2")["h2-eth0"][0]
        # a host before it in the order gets its address
        more = {**HOSTS, "h0": ("s1", 3, "blue", None)}
        fabric.replace(lab(more, NONE, LINK, {"blue": 10}, mtu=1400))
        index, _, mtu = links_of("h2")["h2-eth0"]
        return index == before, mtu, reaches("h1", address("h2", fabric), 2), reaches("h0", "10.0.1.1", 2)

    assert inside(start(), body) == [True, 1400, True, True]


def test_a_changed_vni_takes_new_tunnels() -> None:
    far = {**HOSTS, "h3": ("s3", 1, "blue", None)}

    def body(fabric: Fabric) -> Any:
        tunnels = []
        for vni in (10, 11):
            fabric.replace(lab(far, NONE, {}, {"blue": vni}))
            tunnels.append(sorted(name for name in links_of("domain-d1") if name.startswith("_vx")))
        return tunnels

    assert inside(lab(HOSTS, NONE, {}, {"blue": 10}), body) == [["_vx10"], ["_vx11"]]


def test_functions_have_silent_devices_that_are_up_and_a_balancer_is_a_host() -> None:
    with_functions: Functions = {"fw": ("s1", "inline", [2, 3]), "lb": ("s2", "host", [2])}

    def body(fabric: Fabric) -> Any:
        fabric.replace(lab(HOSTS, with_functions, LINK, {"blue": 10}))
        inline = links_of(instance_netns("fw.1"))
        addresses = run(f"ip -n {instance_netns('fw.1')} -6 -o address")
        return (
            {name: up for name, (_, up, _) in inline.items() if name in ("in", "out")},
            [line for line in addresses.splitlines() if " lo " not in line],
            reaches("h1", "10.0.200.1", 2),
        )

    assert inside(start(), body) == [{"in": True, "out": True}, [], True]


def test_a_functions_process_sees_its_own_namespace_and_directory_only() -> None:
    with_functions: Functions = {"fw": ("s1", "inline", [2, 3])}
    script = """
import os, sys, json
say = lambda **fields: print(json.dumps(fields), flush=True)
say(devices=sorted(os.listdir("/sys/class/net")), here=sorted(os.listdir(".")),
    lab=sorted(os.listdir("/run/sdnlab")), spaces=os.listdir("/run/netns"), text=open("hello").read())
for line in sys.stdin: say(heard=line.strip(), text=open("hello").read())
"""

    def body(fabric: Fabric) -> Any:
        directory = Path(RUN) / "functions" / "fw.1"
        argv = [sys.executable, "-c", script]
        process = functions.start(fabric.instance_fd("fw.1"), directory, argv, {"hello": b"a"}, Path(RUN))
        first = json.loads(process.output.readline())
        process.write({"hello": b"b"})
        told = process.tell(b"replace")
        second = json.loads(process.output.readline())
        code = process.end()
        return first, told, second, code, process.pid

    first, told, second, code, pid = inside(lab(HOSTS, with_functions, LINK, {"blue": 10}), body)
    assert first == {
        "devices": ["in", "lo", "out"],
        "here": ["function.log", "hello"],
        "lab": ["functions"],
        "spaces": [],
        "text": "a",
    }
    assert told and second == {"heard": "replace", "text": "b"} and code == 0 and pid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="is the ordinary case for a test run by an ordinary user")
def test_an_ordinary_users_lab_changes_and_runs_functions_too() -> None:
    with_functions: Functions = {"fw": ("s1", "inline", [2, 3])}
    words = "ip link add br0 type bridge && ls /sys/class/net /run/sdnlab | tr '\\n' ' '; echo; read line"

    def body(fabric: Fabric) -> Any:
        fabric.replace(lab({**HOSTS, "h3": ("s2", 2, "blue", None)}, with_functions, LINK, {"blue": 10}))
        directory = Path(RUN) / "functions" / "fw.1"
        netns = fabric.instance_fd("fw.1")
        process = functions.start(netns, directory, ["sh", "-c", words], {}, Path(RUN))
        said = process.output.readline().decode().split()
        code = process.end()
        fabric.replace(start())
        return reaches("h1", address("h2", fabric), 2), said, code, Path("/run/netns/h3").exists()

    def job() -> Any:
        try:
            return inside(start(), body)
        except SandboxError as error:
            return str(error)

    with loosened_tun():
        answer = as_user(ORDINARY, job)
    if isinstance(answer, str):
        pytest.skip(answer)
    reached, said, _, left = answer
    assert reached and not left
    assert {"br0", "in", "out"} <= set(said) and "map.json" not in said


def test_a_killed_process_takes_its_children_along_and_its_successor_finds_a_clean_namespace() -> None:
    with_functions: Functions = {"fw": ("s1", "inline", [2, 3])}

    def body(fabric: Fabric) -> Any:
        netns, directory = fabric.instance_fd("fw.1"), Path(RUN) / "functions" / "fw.1"
        bridge = (
            "ip link add br0 type bridge && ip link set in master br0 && tc qdisc add dev in root pfifo && "
        )
        argv = ["sh", "-c", bridge + "(sleep 600 & echo $!; wait)"]
        first = functions.start(netns, directory, argv, {}, Path(RUN))
        child = int(first.output.readline())
        first.kill()
        code = first.reap()
        ended = holds_within(lambda: not Path(f"/proc/{child}").exists())
        second = functions.start(netns, directory, argv, {}, Path(RUN))
        again = second.output.readline().strip().isdigit()
        second.end(0.0)
        return code, ended, again

    assert inside(lab(HOSTS, with_functions, LINK, {"blue": 10}), body) == [-9, True, True]


def test_what_can_not_be_started_says_why() -> None:
    with_functions: Functions = {"fw": ("s1", "inline", [2, 3])}

    def body(fabric: Fabric) -> Any:
        words = []
        for argv, files in ((["/no/such"], {}), (["true"], {"../x": b""})):
            try:
                functions.start(fabric.instance_fd("fw.1"), Path(RUN) / "f", argv, files, Path(RUN))
            except functions.FunctionError as error:
                words.append(str(error))
        return words

    missing, outside = inside(lab(HOSTS, with_functions, LINK, {"blue": 10}), body)
    assert missing == "can't start /no/such: No such file or directory"
    assert outside == "a function's file can't be called '../x'"


def test_a_change_that_fails_is_taken_back() -> None:
    with_functions: Functions = {"fw": ("s1", "inline", [2, 3])}

    def body(fabric: Fabric) -> Any:
        before = sorted(map(str, Path("/run/netns").iterdir())), links_of("domain-d1")
        wires: list[Any] = []
        executor = fabric.executor

        def failing(some: Sequence[AddWire]) -> None:
            executor.jobs[AddWire](some)
            wires.extend(some)
            raise OSError("the disk is full")

        fabric.executor = Executor({**executor.jobs, AddWire: failing})
        try:
            fabric.replace(lab({**HOSTS, "h3": ("s2", 2, "blue", None)}, with_functions, LINK, {"blue": 10}))
        except OSError as error:
            words = str(error)
        fabric.executor = executor
        same = (sorted(map(str, Path("/run/netns").iterdir())), links_of("domain-d1")) == before
        fabric.replace(lab(HOSTS, with_functions, LINK, {"blue": 10}))  # and it goes, when it is tried again
        return words, len(wires), same, reaches("h1", address("h2", fabric), 2)

    assert inside(start(), body) == ["the disk is full", 3, True, True]


def test_what_can_not_change_is_refused_and_nothing_is_touched() -> None:
    def body(fabric: Fabric) -> Any:
        try:
            fabric.replace(fabric.topology.model_copy(update={"switches": fabric.topology.switches[1:]}))
        except Unchangeable as wall:
            return wall.what, fabric.topology == start()
        return None

    assert inside(start(), body) == [["switch s1 would be removed"], True]


def test_a_failed_switch_that_returns_has_what_came_meanwhile() -> None:
    def body(fabric: Fabric) -> Any:
        fabric.set_switch("s2", False)
        fabric.replace(lab({**HOSTS, "h3": ("s2", 2, "blue", None)}, NONE, LINK, {"blue": 10}))
        apart = reaches("h1", address("h3", fabric))
        fabric.set_switch("s2", True)
        forward_normally(fabric, "s2")
        return apart, holds_within(lambda: reaches("h1", address("h3", fabric)))

    assert inside(start(), body) == [False, True]
