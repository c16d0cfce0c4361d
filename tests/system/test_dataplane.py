"""Whole labs without a controller: they forward, change, and leave nothing behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane import machine, pcap
from dataplane.fabric.fabric import Fabric, LinkError
from dataplane.ovs.datapaths import USERSPACE
from dataplane.sandbox.sandbox import SandboxError, spawn
from linux import syscalls
from tests.system.dataplane_lab import (
    MININET,
    ORDINARY,
    RUN,
    as_user,
    forward_normally,
    inside,
    loosened_tun,
    ofctl,
    reaches,
    run,
    started,
    why_no_lab,
)
from tests.unit.dataplane.labs import line
from tests.waiting import holds_within
from topologies.model.topology import Shaping

_WHY = why_no_lab(line(2))
pytestmark = pytest.mark.skipif(bool(_WHY), reason=_WHY or "labs can run")


def pings(fabric: Fabric) -> dict[str, bool]:
    last = fabric.topology.hosts[-1]
    assert last.ipv4 is not None and last.ipv6 is not None
    return {str(ip): reaches("h1", str(ip), 2) for ip in (last.ipv4.ip, last.ipv6.ip)}


@pytest.mark.parametrize("domains", [1, 2])
def test_hosts_reach_each_other(domains: int) -> None:
    assert set(inside(line(3, domains), pings).values()) == {True}


@pytest.fixture
def loose_tun() -> Iterator[None]:
    with loosened_tun():
        yield


@pytest.mark.skipif(os.geteuid() != 0, reason="is the ordinary case for a test run by an ordinary user")
def test_an_ordinary_user_has_the_same_lab(loose_tun: None) -> None:
    def job() -> Any:
        assert os.geteuid() == ORDINARY
        try:
            return inside(line(2, 2), pings)
        except SandboxError as error:
            return str(error)

    answer = as_user(ORDINARY, job)
    if isinstance(answer, str):
        pytest.skip(answer)
    assert set(answer.values()) == {True}


def seen(inodes: set[int], pids: set[int]) -> list[str]:
    """Processes that are in one of these namespaces or have one of these ids."""
    occupants = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        if int(entry.name) in pids:
            occupants.append(entry.name)
        for space in ("net", "mnt", "pid", "ipc", "uts"):
            try:
                if (entry / "ns" / space).stat().st_ino in inodes:
                    occupants.append(f"{entry.name} {space}")
            except OSError:
                continue
    return occupants


def marks(fabric: Fabric) -> dict[str, list[int]]:
    spaces = [Path(f"/proc/self/ns/{name}").stat().st_ino for name in ("net", "mnt", "pid", "ipc", "uts")]
    spaces += [os.fstat(fabric.namespace_fd(host.name)).st_ino for host in fabric.topology.hosts]
    subprocess.Popen(["ip", "netns", "exec", "h1", "sleep", "1000"])
    return {"spaces": spaces}


@pytest.mark.parametrize("victim", ["supervisor", "init"])
def test_nothing_is_left_after_kill_9(victim: str) -> None:
    def outside() -> tuple[object, ...]:
        netns = Path("/run/netns")
        names = sorted(p.name for p in netns.iterdir()) if netns.exists() else []
        runs = sorted(p.name for p in Path("/run").iterdir())
        mounts = [text for text in Path("/proc/self/mounts").read_text().splitlines() if "sdnlab" in text]
        return socket.if_nameindex(), names, runs, mounts

    before = outside()
    with started(line(3, 2), marks) as (box, answer):
        inodes = set(answer["spaces"])
        assert outside() == before
        children = {int(text.split()[0]) for text in seen(inodes, set())}
        assert {box.init, box.pid} <= children and len(children) >= 7  # and four daemons, and sleep
        os.kill(box.pid if victim == "supervisor" else box.init, signal.SIGKILL)
        assert box.wait(30)
        assert seen(inodes, children) == []
    assert outside() == before


def test_two_labs_of_the_same_names_at_once() -> None:
    with started(line(2), pings) as (_, first), started(line(2), pings) as (_, second):
        assert set(first.values()) == set(second.values()) == {True}


def test_a_tied_sandbox_dies_with_its_caller() -> None:
    def main(status: int) -> None:
        os.write(status, b"up")
        while True:
            signal.pause()

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        box = spawn(main, tied=True)
        box.status.recv(2)
        os.write(writer, str(box.init).encode())
        os._exit(0)
    os.close(writer)
    init = int(os.read(reader, 100))
    os.close(reader)
    os.waitpid(child, 0)
    assert holds_within(lambda: not Path(f"/proc/{init}").exists())


def test_a_detached_sandbox_outlives_its_caller_and_reaps_orphans() -> None:
    def main(status: int) -> None:
        subprocess.run("sleep 0 & sleep 0 & exec true", shell=True, check=True)
        holds_within(lambda: "Z" not in run("ps -e -o stat= ").replace("\n", " "))
        os.write(status, str(os.getpid()).encode() + b"\n")
        signal.pause()

    box = spawn(main)
    try:
        assert box.status.recv(100) == b"2\n"
        assert not box.wait(0)
    finally:
        assert box.kill(10)
        box.close()


def test_what_main_writes_first_is_not_lost() -> None:
    def main(status: int) -> None:
        os.write(status, b"x" * 1000)

    box = spawn(main)
    data = b""
    while more := box.status.recv(4096):
        data += more
    assert data == b"x" * 1000
    assert box.wait(10)
    box.close()


@pytest.mark.parametrize("domains", [1, 2])
def test_links_and_switches_fail_and_return(domains: int) -> None:
    def works(address: str) -> bool:  # at last: a switch hears of a device that came up from the kernel
        return holds_within(lambda: reaches("h1", address))

    def fails(address: str) -> bool:  # at last: a switch forgets what it has worked out a little later
        return holds_within(lambda: not reaches("h1", address))

    def body(fabric: Fabric) -> list[bool]:
        outcomes = [works("10.0.0.3")]
        fabric.set_link("s1-s2", False)
        outcomes.append(fails("10.0.0.3"))
        fabric.set_link("s1-s2", True)
        outcomes.append(works("10.0.0.3"))
        fabric.set_switch("s2", False)
        assert fabric.link_states()["s2-s3"] is False
        outcomes.append(fails("10.0.0.3"))
        fabric.set_switch("s2", True)
        forward_normally(fabric, "s2")
        outcomes.append(works("10.0.0.3"))
        fabric.set_link("h1-s1", False)
        outcomes.append(fails("fd00::3"))
        fabric.set_link("h1-s1", True)
        outcomes.append(works("fd00::3"))
        return outcomes

    assert inside(line(3, domains), body) == [True] * 7


def test_ports_keep_their_numbers_when_a_cut_link_is_mended() -> None:
    def body(fabric: Fabric) -> list[str]:
        fabric.set_link("s1-s2", False)
        cut = ofctl("domain-d1", "show", "s1")
        fabric.set_link("s1-s2", True)
        return [cut, ofctl("domain-d1", "show", "s1")]

    cut, mended = inside(line(2), body)
    assert "s1-eth3" not in cut and " 3(s1-eth3)" in mended and " 1(s1-eth1)" in mended


def test_the_tools_of_open_vswitch_find_the_only_domain() -> None:
    def body(fabric: Fabric) -> list[str]:
        assert fabric.datapath is USERSPACE
        return [run("ovs-vsctl list-br"), run("ovs-vsctl get bridge s2 datapath_id")]

    assert inside(line(2), body) == ["s1\ns2\n", '"0000000000000002"\n']


def test_switches_reach_a_controller_over_the_management_network() -> None:
    def main(status: int) -> None:
        server = socket.socket()
        server.bind(("0.0.0.0", 6653))
        server.listen(16)
        server.settimeout(20)
        fabric = Fabric(line(3, 2), RUN)
        fabric.build_lab()
        said, peers = [], []
        while len(said) < 3:
            # A switch hangs up when its HELLO is not answered within a second, and calls again.
            peer, (address, _) = server.accept()
            hello = peer.recv(8)[:2].hex()  # OpenFlow 1.5's, section 7.5.1
            if hello:
                said.append(hello)
                peers.append((address, peer))
        os.write(status, json.dumps([said, sorted(address for address, _ in peers)]).encode())

    box = spawn(main, tied=True)
    try:
        box.status.settimeout(60)
        said, addresses = json.loads(box.status.recv(4096))
    finally:
        box.kill(30)
        box.close()
    assert said == ["0600"] * 3
    assert addresses == ["198.18.1.1", "198.18.1.1", "198.18.1.2"]


def test_an_unknown_link_is_refused() -> None:
    def body(fabric: Fabric) -> str:
        with pytest.raises(LinkError):
            fabric.set_link("nowhere", False)
        return "refused"

    assert inside(line(2), body) == "refused"


SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", 7)); server.listen()
print("up", flush=True)
while True:
    peer, _ = server.accept()
    total = 0
    while data := peer.recv(1 << 20):
        total += len(data)
    peer.sendall(b"y" * total)
    peer.close()
"""
CLIENT = """
import socket, sys
peer = socket.create_connection((sys.argv[1], 7), 20)
peer.sendall(b"x" * 3000001); peer.shutdown(socket.SHUT_WR)
total = 0
while data := peer.recv(1 << 20):
    total += len(data)
print(total)
"""


def transfer(fabric: Fabric) -> dict[str, str]:
    """Three odd megabytes there and back over TCP, both families."""
    python = ["ip", "netns", "exec", "h2", sys.executable, "-c", SERVER]
    server = subprocess.Popen(python, stdout=subprocess.PIPE)
    assert server.stdout is not None and server.stdout.readline() == b"up\n"
    answers = {}
    for address in ("10.0.0.2", "fd00::2"):
        client = ["ip", "netns", "exec", "h1", sys.executable, "-c", CLIENT, address]
        answers[address] = subprocess.run(client, text=True, capture_output=True, timeout=60).stdout.strip()
    server.kill()
    server.wait()
    return answers


@pytest.mark.parametrize("domains", [1, 2])
def test_tcp_works_both_ways_at_once_with_offloads_on(domains: int) -> None:
    assert inside(line(2, domains), transfer) == {"10.0.0.2": "3000001", "fd00::2": "3000001"}


def test_datagrams_of_odd_sizes_arrive_whole() -> None:
    def body(fabric: Fabric) -> list[bool]:
        sizes = (1, 17, 1471, 1472, 1473, 4001, 9001)
        return [
            ", 0% packet loss" in run(f"ip netns exec h1 ping -c1 -W2 -s{size} {address}")
            for size in sizes
            for address in ("10.0.0.2", "fd00::2")
        ]

    assert all(inside(line(2), body))


def test_a_shaped_link_has_its_discipline_at_both_ends() -> None:
    shaping = Shaping(bandwidth=10_000_000)
    if why := why_no_lab(line(2, shaping=shaping)):
        pytest.skip(why)

    def body(fabric: Fabric) -> list[str]:
        assert reaches("h1", "10.0.0.2")
        command = "ip netns exec domain-d1 tc qdisc show dev"
        return [run(f"{command} s1-eth3"), run(f"{command} s2-eth2"), run(f"{command} s1-eth1")]

    near, far, host = inside(line(2, shaping=shaping), body)
    assert "tbf" in near and "rate 10Mbit" in near and "rate 10Mbit" in far and "tbf" not in host


def test_mininets_view_of_a_lab_that_runs() -> None:
    def body(fabric: Fabric) -> dict[str, Any]:
        net = MININET.attach(fabric.topology, RUN, fabric.set_link, fabric.set_switch)
        observed: dict[str, Any] = {"idle": [node.shell is None for node in net.values()]}
        observed["ping"] = net["h1"].cmd("ping -c1 -W2", net["h2"].IP())
        observed["awake"] = [node.name for node in net.values() if node.shell is not None]
        observed["address"] = net["h1"].pexec("ip -o -4 a show h1-eth0")[0]
        observed["pingall"] = net.pingAll(timeout="1")
        net.configLinkStatus("s1", "s2", "down")
        observed["cut"] = net.pingAll(timeout="1")
        net.configLinkStatus("s1", "s2", "up")
        observed["flows"] = net["s1"].dpctl("dump-flows")
        observed["links"] = sorted(f"{link.intf1}-{link.intf2}" for link in net.links)
        net.stop()
        return observed

    observed = inside(line(2), body)
    assert all(observed["idle"])
    assert " 0% packet loss" in observed["ping"] and observed["awake"] == ["h1"]
    assert "10.0.0.1/16" in observed["address"]
    assert observed["pingall"] == 0 and observed["cut"] == 100
    assert "NORMAL" in observed["flows"]
    assert observed["links"] == ["h1-eth0-s1-eth1", "h2-eth0-s2-eth1", "s1-eth3-s2-eth2"]


def test_stop_ends_the_switches_and_keeps_no_descriptor() -> None:
    def body(fabric: Fabric) -> list[Any]:
        before = len(list(Path("/proc/self/fd").iterdir()))
        fabric.stop()
        return [run("ps ax"), before, len(list(Path("/proc/self/fd").iterdir()))]

    processes, before, after = inside(line(2), body)
    assert "ovs-vswitchd" not in processes and "ovsdb-server" not in processes
    assert after <= before - 7  # two for each of three namespaces, and the database's connection


def test_a_labnet_builds_a_lab_of_its_own() -> None:
    def main(status: int) -> None:
        net = MININET(line(2), RUN, controllers={})
        net.build_lab()
        for switch in net.switches:
            switch.dpctl("add-flow", "actions=NORMAL")
        answer = [net.pingAll(timeout="1"), os.fstat(net.namespace_fd("h1")).st_ino > 0, net.link_states()]
        net.stop()
        os.write(status, json.dumps(answer).encode())

    box = spawn(main, tied=True)
    try:
        box.status.settimeout(60)
        answer = json.loads(box.status.recv(4096))
    finally:
        box.kill(30)
        box.close()
    assert answer == [0.0, True, {"s1-s2": True, "h1-s1": True, "h2-s2": True}]


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOSPC, "max_user_namespaces"), (errno.EINVAL, "kernel")]
)
def test_a_refusal_on_the_way_in_is_typed_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, number: int, word: str
) -> None:
    def refuse(flags: int) -> None:
        raise OSError(number, os.strerror(number))

    def children() -> set[str]:
        return {
            pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()
        }

    before = children()
    monkeypatch.setattr("dataplane.sandbox.sandbox.syscalls.unshare", refuse)
    monkeypatch.setattr("dataplane.sandbox.errors.Path.exists", lambda path: False)  # no container's mark
    with pytest.raises(SandboxError) as caught:
        spawn(lambda status: None)
    assert word in caught.value.remedy and caught.value.what
    assert not children() - before


def test_the_machine_is_the_same_seen_from_inside() -> None:
    def body(fabric: Fabric) -> bool:
        here = machine.probe(inside=True)
        return (here.tun, here.veth, here.bridge, here.tbf, here.netem) == tuple(answers)

    outside = machine.probe()
    answers = (outside.tun, outside.veth, outside.bridge, outside.tbf, outside.netem)
    assert inside(line(2), body)
    assert outside.ovs is not None and outside.sandbox == ""


def test_a_supervisor_that_ends_at_once_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What probes the machine does so; now and then it is over before ``spawn`` looks at it."""
    look = os.pidfd_open

    def look_late(pid: int) -> int:
        while Path(f"/proc/{pid}").exists():
            os.sched_yield()
        return look(pid)

    monkeypatch.setattr(os, "pidfd_open", look_late)
    box = spawn(lambda status: print(os.write(status, b"done"), end=""), tied=True)
    try:
        assert box.status.recv(16) == b"done"
        assert box.kill(30)
    finally:
        box.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="is the ordinary case for a test run by an ordinary user")
def test_an_ordinary_user_captures_in_a_namespace_of_his_own(tmp_path: Path) -> None:
    """There root can't give up its rights (setgroups), which tcpdump does before it reads."""
    libpcap = pcap.library()
    target = os.open(tmp_path / "seen.pcap", os.O_CREAT | os.O_RDWR)

    def job() -> int:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
        Path("/proc/self/uid_map").write_text(f"0 {ORDINARY} 1")
        subprocess.run("ip link set lo up", shell=True, check=True)
        capture = pcap.Capture(libpcap, "lo", "udp port 9", 1 << 20)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for port in (9, 10, 9):
                sender.sendto(b"seen", ("127.0.0.1", port))
        return capture.write(os.dup(target), 2)

    assert as_user(ORDINARY, job) == 2
    assert os.fstat(target).st_size == 24 + 2 * (16 + 14 + 20 + 8 + 4)  # as pcap(5) has it
