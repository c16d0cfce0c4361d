"""Functions and chains in whole labs: they are passed, fail, come back; labs change under load."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.l2 import Dot1Q
from scapy.layers.vxlan import VXLAN
from scapy.utils import rdpcap

from tests.system.command_line import CommandLine, of_an_owner_of_its_own
from tests.waiting import until

PATIENCE = 30.0
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
for _program in ("ovs-vswitchd", "tcpdump", "nft"):
    if shutil.which(_program, path=PATH) is None:
        pytest.skip(f"{_program} is not installed", allow_module_level=True)

ONE = """
name: one
switches: [s1, s2]
links: [s1 -- s2]
hosts: {h1: s1, h2: s2}
functions:
  wire: {kind: bridge, switch: s2, on-failure: closed}
chains:
  all: {source: h1, destination: h2, direction: both, functions: [wire]}
"""
TWO = """
name: two
domains: [d1, d2]
networks: {lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}}
switches: {s1: {domain: d1}, s2: {domain: d2}}
hosts: {h1: s1, h2: s1, far: s2}
functions:
  here: {kind: bridge, switch: s1}
  there: {kind: bridge, switch: s2, instances: 2}
  edge:
    kind: firewall
    switch: s2
    rules:
      - {name: pings, action: accept, protocol: icmp, log: true}
      - {name: pings6, action: accept, protocol: icmpv6}
chains:
  all: {source: h1, destination: h2, direction: both, functions: [here, there]}
"""
BALANCED = """
name: balanced
switches: [s1]
hosts: {client: s1, web1: s1, web2: s1}
functions:
  lb:
    kind: load-balancer
    switch: s1
    port: 80
    backends: [web1, web2]
    check: {kind: tcp, interval: 100ms, timeout: 100ms, rise: 1, fall: 1}
"""


@contextmanager
def running(text: str, folder: Path) -> Iterator[tuple[CommandLine, Path]]:
    line = of_an_owner_of_its_own()
    file = folder / "lab.yaml"
    file.write_text(text)
    started = line("up", str(file), "-d", code=None)
    if started.returncode == 3:
        pytest.skip(started.stderr.strip())
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield line, file
    finally:
        line("down", "--all", code=None)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[tuple[CommandLine, Path]]:
    with running(ONE, tmp_path) as lab:
        yield lab


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[CommandLine, Path]]:
    with running(TWO, tmp_path) as lab:
        yield lab


def reaches(line: CommandLine, host: str, target: str, count: int = 1) -> bool:
    words = ["exec", host, "--", "ping", "-4", "-c", str(count), "-i0.05", "-W1", target]
    return line(*words, code=None).returncode == 0


def instances(line: CommandLine) -> dict[str, Any]:
    return {
        instance["name"]: instance
        for function in line.json("functions")
        for instance in function["instances"]
    }


def takes_part(line: CommandLine, *names: str) -> None:
    """Until the controller's probes have passed these instances."""
    until(lambda: all(instances(line)[name]["health"] == "live" for name in names), f"{names} take part")


def forwards(line: CommandLine, instance: str) -> bool:
    """Whether the kernel joins an instance's devices, whatever its process does."""
    return "br0" in line("exec", instance, "--", "ip", "-br", "link").stdout


def steered(line: CommandLine) -> dict[tuple[str, bool], int]:
    """(function, forward) -> packets that came to that hop."""
    return {(h["function"], h["forward"]): h["packets"] for c in line.json("chains") for h in c["hops"]}


class Pinging:
    """Pings at a fixed rate until it is stopped; ``lost``: of those ``sent`` before the last answer."""

    def __init__(self, line: CommandLine, host: str, target: str, interval: float = 0.005) -> None:
        script = f"ping -4 -i{interval} -W1 {target} & read end; kill -INT $!; wait $!"
        self._process = line.start("exec", host, "--", "sh", "-c", script)
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.sent = self.lost = 0
        self.out_of_order = False

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._said.extend(self._process.stdout)

    def is_answered(self, more: int) -> None:
        """Wait for so many answers more."""
        before = len(self._said)
        until(lambda: len(self._said) >= before + more, f"{more} pings more are answered")

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        # the last ones may be on their way still
        out = "".join(self._said)
        answered = [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", out)]
        assert answered, out
        self.sent = max(answered)
        self.lost = self.sent - len(set(answered))
        self.out_of_order = answered != sorted(answered)


@contextmanager
def pinging(line: CommandLine, host: str, target: str) -> Iterator[Pinging]:
    ping = Pinging(line, host, target)
    ping.is_answered(10)  # some before, some after: how many does not matter
    yield ping
    ping.is_answered(10)
    ping.stop()


def test_traffic_of_a_chain_passes_its_function_and_other_traffic_does_not(
    one: tuple[CommandLine, Path],
) -> None:
    line, _ = one
    takes_part(line, "wire.1")
    before = steered(line)
    assert reaches(line, "h1", "h2", 5) and reaches(line, "h2", "h1", 5)
    until(lambda: steered(line)["wire", True] - before["wire", True] >= 10, "echoes are counted")
    assert steered(line)["wire", False] - before["wire", False] >= 10
    status = line("status").stdout
    assert re.search(r"^wire +bridge +kernel +s2", status, re.M) and re.search(
        r"^all +all from", status, re.M
    )


def test_a_stopped_function_stops_traffic_or_lets_it_by_as_its_policy_says(
    one: tuple[CommandLine, Path],
) -> None:
    line, file = one
    takes_part(line, "wire.1")
    assert forwards(line, "wire.1")
    line("function", "stop", "wire")
    assert not forwards(line, "wire.1")
    until(lambda: not reaches(line, "h1", "h2"), "closed: traffic stops")
    file.write_text(ONE.replace("closed", "open"))
    applied = line("apply", str(file)).stdout
    assert "~ function wire: on-failure closed -> open" in applied
    until(lambda: reaches(line, "h1", "h2"), "open: traffic passes by")
    line("function", "start", "wire.1")
    takes_part(line, "wire.1")
    assert reaches(line, "h1", "h2", 5)


def test_a_killed_function_is_started_again(one: tuple[CommandLine, Path]) -> None:
    line, _ = one
    takes_part(line, "wire.1")
    pid = instances(line)["wire.1"]["pid"]
    line("exec", "s1", "--", "kill", "-9", str(pid))
    until(lambda: instances(line)["wire.1"]["restarts"] == 1, "it is noticed")
    until(lambda: instances(line)["wire.1"]["pid"] not in (0, pid), "a new one runs")
    takes_part(line, "wire.1")
    assert reaches(line, "h1", "h2", 3)
    assert "wire.1 died (signal 9); it is started again" in line("events").stdout


def test_what_the_lab_knows_failed_is_told_to_a_restarted_controller(one: tuple[CommandLine, Path]) -> None:
    line, _ = one
    takes_part(line, "wire.1")
    line("function", "stop", "wire")
    until(lambda: not reaches(line, "h1", "h2"), "closed: traffic stops")
    restarts = line.json("status")["controller"]["pid"]
    line("controller", "restart")
    until(lambda: line.json("status")["controller"]["pid"] not in (0, restarts), "a new controller")
    until(lambda: line.json("status")["converged"], "it has programmed the switches")
    until(lambda: instances(line)["wire.1"]["health"] == "failed", "it was told")
    assert not reaches(line, "h1", "h2")


def test_a_chain_in_two_domains_carries_its_place_in_vxlan(
    two: tuple[CommandLine, Path], tmp_path: Path
) -> None:
    line, _ = two
    takes_part(line, "here.1", "there.1", "there.2")
    hops = {(h["function"], h["forward"]): h for h in line.json("chains")[0]["hops"]}
    assert hops["here", True]["carried"] == "" and "in VXLAN" in hops["there", True]["carried"]
    link = next(link_state["name"] for link_state in line.json("status")["underlay"]["links"])
    file = tmp_path / "underlay.pcap"
    process = line.start("capture", link, "-w", str(file), "--filter", "udp port 4789")
    try:
        until(lambda: file.exists() and file.stat().st_size >= 24, "capture began")
        assert reaches(line, "h1", "h2", 3)

        def tagged() -> set[int]:
            inner = [p[VXLAN].payload for p in rdpcap(str(file)) if VXLAN in p]
            return {p[Dot1Q].vlan for p in inner if Dot1Q in p}

        wanted = {hops["there", True]["number"], hops["here", False]["number"]}
        until(lambda: wanted <= tagged(), "frames with the hops' numbers on the wire")
    finally:
        process.send_signal(15)
        process.communicate(timeout=PATIENCE)


def test_a_function_is_looked_into_by_its_name(two: tuple[CommandLine, Path]) -> None:
    line, _ = two
    assert "table inet sdnlab" in line("exec", "edge.1", "--", "nft", "list", "ruleset").stdout
    assert "br0" in line("exec", "edge", "--", "ip", "-br", "link").stdout  # it has one instance
    seen = line("capture", "there.2:in", "-c", "1", "--probes").stderr
    assert "function there.2, its in" in seen
    wrong = line("exec", "there", "--", "true", code=1)
    assert "there" in wrong.stderr
    assert (
        "no link, host, switch or function named 'there' to capture"
        in line("capture", "there", code=1).stderr
    )
    assert "there are: here, there, edge" not in line("functions", "nope", code=1).stdout


def test_scaling_under_load_loses_nothing(two: tuple[CommandLine, Path]) -> None:
    line, _ = two
    takes_part(line, "here.1", "there.1", "there.2")
    with pinging(line, "h1", "h2") as ping:
        assert "instances 2 -> 4" in line("scale", "there", "4").stdout
        takes_part(line, "there.3", "there.4")
        assert "instances 4 -> 1" in line("scale", "there", "1").stdout
    assert ping.lost == 0 and ping.sent > 100 and not ping.out_of_order
    assert list(instances(line)) == ["edge.1", "here.1", "there.1"]
    assert "has 1 already" in line("scale", "there", "1").stdout
    assert "out of range" in line("scale", "there", "99", code=1).stderr


@pytest.mark.alone
def test_a_chain_that_changes_under_load_loses_nothing(two: tuple[CommandLine, Path]) -> None:
    line, file = two
    takes_part(line, "here.1", "there.1", "edge.1")
    for functions in ("[there, here]", "[there, edge, here]", "[here, there]"):
        file.write_text(TWO.replace("[here, there]", functions))
        assert "chain all" in line("apply", str(file), "--dry-run").stdout
        with pinging(line, "h1", "h2") as ping:
            line("apply", str(file))
        # also a firewall that comes in between a request and its answer
        assert ping.lost == 0 and ping.sent > 50 and not ping.out_of_order, functions
    assert line("apply", str(file)).stdout.startswith("nothing to do")
    # another function in the place of one: it is at work before the other ends
    file.write_text(re.sub(r"\bhere\b", "other", TWO))
    with pinging(line, "h1", "h2") as ping:
        assert "- function here" in line("apply", str(file)).stdout
    assert ping.lost == 0 and ping.sent > 50 and "other.1" in instances(line)


def test_a_logged_rule_is_an_event_with_hosts_names(two: tuple[CommandLine, Path]) -> None:
    line, file = two
    file.write_text(TWO.replace("[here, there]", "[here, there, edge]"))
    line("apply", str(file))
    takes_part(line, "edge.1")

    def logged() -> list[str]:
        events = line.json("events")
        return [e["text"] for e in events if e["event"] == "log" and e["data"]["instance"] == "edge.1"]

    # a packet may still meet what Open vSwitch had worked out for the one before
    until(lambda: reaches(line, "h1", "h2") and bool(logged()), "the rule's event")
    assert "h1 -> h2" in logged()[0] and "pings" in logged()[0]


def test_what_differs_comes_and_goes_and_a_bad_file_changes_nothing(two: tuple[CommandLine, Path]) -> None:
    line, file = two
    pids = {name: state["pid"] for name, state in instances(line).items()}
    file.write_text(TWO.replace("far: s2}", "far: s2, more: s2}"))
    assert "+ host more" in line("apply", str(file), "--dry-run").stdout
    assert "more" not in [host["name"] for host in line.json("status")["hosts"]]
    assert "+ host more" in line("apply", str(file)).stdout
    assert reaches(line, "h1", "more", 2)  # also by its name
    file.write_text(TWO.replace("[here, there]", "[here, nowhere]").replace("far: s2", "far: s7"))
    bad = line("apply", str(file), code=1).stderr
    assert "lab.yaml:" in bad and "nowhere" in bad and "s7" in bad
    file.write_text(TWO.replace("s2: {domain: d2}", "s2: {domain: d2}, s3: {domain: d2}"))
    assert (
        "can't change while the lab runs: switch s3 would be added" in line("apply", str(file), code=1).stderr
    )
    assert "more" in [host["name"] for host in line.json("status")["hosts"]]
    file.write_text(TWO)
    assert "- host more" in line("apply", str(file)).stdout
    before = line.json("flows", "s1")
    file.write_text("# all entries move down\n" + TWO)
    assert line("apply", str(file)).stdout.startswith("nothing to do")
    after = line.json("flows", "s1")
    assert [entry["cookie"] for entry in after] == [entry["cookie"] for entry in before]
    for one, other in zip(before, after, strict=True):
        assert (one["place"] and one["place"]["line"] + 1) == (other["place"] and other["place"]["line"])
    assert any(entry["place"] for entry in after)
    # nothing of all this has touched a function
    assert pids == {name: state["pid"] for name, state in instances(line).items()}
    assert line.json("ping")["reached"] == line.json("ping")["total"]


def test_a_function_whose_program_fails_leaves_the_lab_as_it_was(one: tuple[CommandLine, Path]) -> None:
    line, file = one
    script = file.with_name("broken.py")
    script.write_text("import no_such_module\n\n\ndef process(packet):\n    return packet\n")
    added = ONE.replace(
        "functions:\n", "functions:\n  mine: {kind: python, file: broken.py, switch: s1}\n", 1
    )
    file.write_text(added.replace("[wire]", "[wire, mine]"))
    failed = line("apply", str(file), code=1).stderr
    assert "some functions don't work" in failed, failed
    assert "no_such_module" in failed and "the lab is unchanged" in failed
    assert [function["name"] for function in line.json("functions")] == ["wire"]
    takes_part(line, "wire.1")
    assert reaches(line, "h1", "h2", 3)
    script.write_text(
        "import os\nprint(sorted(os.environ), 'a\\x1b[2Jb')\ndef process(packet):\n    return packet\n"
    )
    line("apply", str(file))
    takes_part(line, "mine.1")
    # what it prints is told, steers no terminal, and it knows nothing of who started the lab
    assert r"mine.1: ['HOME', 'LANG', 'PATH'] a\x1b[2Jb" in [event["text"] for event in line.json("events")]
    assert reaches(line, "h1", "h2", 3)


def test_a_backend_that_dies_is_reported_and_gets_no_connections(tmp_path: Path) -> None:
    serve = (
        "import http.server as h; h.ThreadingHTTPServer(('', 80), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    with running(BALANCED, tmp_path) as (line, _):
        servers = {name: line.start("exec", name, "--", "python3", "-c", serve) for name in ("web1", "web2")}

        def up() -> dict[str, bool]:
            (lb,) = line.json("functions")
            return {backend["name"]: backend["up"] for backend in lb["backends"]}

        def fetched() -> bool:
            words = ["exec", "client", "--", "curl", "-sf", "-m2", "-o", "/dev/null", "http://lb/"]
            return line(*words, code=None).returncode == 0

        try:
            until(lambda: up() == {"web1": True, "web2": True}, "both are up")
            until(fetched, "the service answers by its name")
            servers["web1"].terminate()
            until(lambda: up() == {"web1": False, "web2": True}, "one is down")
            until(lambda: "lb: backend web1 is down" in line("events").stdout, "an event says so")
            assert all(fetched() for _ in range(10))
            assert "lb: backend web1 is down" in " ".join(line.json("status")["troubles"])
        finally:
            for server in servers.values():
                server.terminate()
                server.communicate(timeout=PATIENCE)


def test_nothing_is_left_of_functions_when_a_lab_is_killed(tmp_path: Path) -> None:
    with running(ONE, tmp_path) as (line, _):
        takes_part(line, "wire.1")
        supervisor = line.json("status")["pid"]
        listed = subprocess.run(["pgrep", "-f", "nfv/__main__.py bridge"], capture_output=True, text=True)
        ours = [int(pid) for pid in listed.stdout.split() if _below(int(pid), supervisor)]
        assert ours
        os.kill(supervisor, 9)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ours), "they are gone with it")


def _below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False
