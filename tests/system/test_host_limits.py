"""Hosts that are namespaces share a core as the file says, and stay within their memory and processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import topologies
from dataplane.fabric.fabric import Fabric
from dataplane.hosts.cgroups import Limits
from dataplane.hosts.drivers import driver
from dataplane.hosts.limits import why_no_limits
from lab.start.stop import parent
from tests.system.command_line import CommandLine
from tests.system.dataplane_lab import ORDINARY, as_user, inside, loosened_tun
from tests.system.tenants_lab import running
from tests.system.test_containers import as_lab, groups_of
from tests.waiting import until

CPUS = 0.2
MARK = f"limited{os.getpid()}"
TOPOLOGY = f"""\
name: limits
switches: [s1]
hosts:
  h1: s1
  {MARK}:
    {{switch: s1, cpus: {CPUS}, memory: 48MiB, pids: 60, limits: required, serves: http, run: sleep 4323}}
"""
BUSY = ["sh", "-c", "while :; do :; done"]
TICK = 1 / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    if why := as_lab(lambda: why_no_limits(Limits(CPUS, 48 << 20, 60))):
        pytest.skip(f"control groups can't be used here: {why}")
    file = tmp_path_factory.mktemp("limits") / "limits.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    with running(file) as line:
        yield line
    assert groups_of(MARK) == []


def group(controller: str) -> Path:
    """The control group of the host that has this controller."""
    groups = [
        Path(folder) / name
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith(f"host-{MARK}@")
    ]
    return next(path for path in groups if list(path.glob(f"{controller}.*")))


def counted(key: str) -> int:
    words = (group("cpu") / "cpu.stat").read_text().split()
    return int(words[words.index(key) + 1])


def inside_group(controller: str) -> dict[int, str]:
    """The processes in it, with their words."""
    processes = {}
    for pid in (group(controller) / "cgroup.procs").read_text().split():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            continue
        processes[int(pid)] = " ".join(words).strip()
    return processes


def seconds(pids: list[int]) -> float:
    """The processor time that these processes have used."""
    used = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) * TICK
    return used


def test_all_that_runs_in_it_is_limited(lab: CommandLine) -> None:
    assert "limited" in lab("exec", "h1", "--", "curl", "-s", f"http://{MARK}/").stdout
    sleeping = lab.start("exec", MARK, "--", "sleep", "4324")
    wanted = ["sleep 4323", "sleep 4324", "serving"]

    def all_there() -> bool:
        words = list(inside_group("pids").values())
        return all(any(text in word for word in words) for text in wanted)

    try:
        until(all_there, "commands of the file and of the user, and servers, are in the group")
        assert inside_group("cpu").keys() == inside_group("pids").keys() == inside_group("memory").keys()
    finally:
        sleeping.kill()
        sleeping.communicate()


def test_busy_loops_share_their_part_of_a_core(lab: CommandLine) -> None:
    busy = [lab.start("exec", MARK, "--", *BUSY) for _ in range(2)]
    loops: list[int] = []
    try:

        def begun() -> bool:
            loops[:] = [pid for pid, words in inside_group("cpu").items() if words == " ".join(BUSY)]
            return len(loops) == 2

        until(begun, "both run")
        held, periods, before = counted("nr_throttled"), counted("nr_periods"), seconds(loops)
        until(lambda: counted("nr_throttled") >= held + 20, "they were held back in 20 periods")
        usage = {row["name"]: row for row in lab.json("top", "--interval", "1s")}
        used = seconds(loops) - before
        held, periods = counted("nr_throttled") - held, counted("nr_periods") - periods
        # A period is 0.1 s. Where they were held back, they had all of their part; nowhere had they more.
        assert 0.8 * held * CPUS * 0.1 - 4 * TICK <= used <= 1.2 * (periods + 1) * CPUS * 0.1 + 4 * TICK
        assert 0 < usage[MARK]["cpu"] <= 100 * CPUS * 2
        told = [event["text"] for event in lab.json("events") if event["event"] == "limit"]
        assert any(f"{MARK}: it uses all of its {CPUS} processors" in text for text in told)
    finally:
        for process in busy:
            process.kill()
            process.communicate()


def test_its_memory_and_its_processes_are_bounded(lab: CommandLine) -> None:
    hog = lab("exec", MARK, "--", "sh", "-c", "head -c 300m /dev/zero | tail >/dev/null; echo $?", code=None)
    assert hog.stdout == "137\n"
    bomb = lab("exec", MARK, "--", "sh", "-c", "for i in $(seq 99); do sleep 7 & done; echo $!", code=None)
    assert "fork" in bomb.stderr.lower()
    detail = {host["name"]: host["detail"] for host in lab.json("status")["hosts"]}
    assert int(detail[MARK]["memory-used"]) <= 48 << 20 and int(detail[MARK]["pids-used"]) <= 60
    assert "limits" not in detail["h1"] and "memory-used" not in detail["h1"]


def test_a_host_without_limits_has_no_group(lab: CommandLine) -> None:
    assert groups_of("h1") == []


def test_a_host_gets_other_limits_and_the_old_group_is_removed(lab: CommandLine, tmp_path: Path) -> None:
    before = set(groups_of(MARK))
    file = tmp_path / "limits.yaml"
    file.write_text(TOPOLOGY.replace("pids: 60", "pids: 70"), encoding="utf-8")
    lab("apply", str(file))
    after = set(groups_of(MARK))
    assert len(before) == len(after) == 1 and before != after
    assert (group("pids") / "pids.max").read_text() == "70\n"
    assert lab("exec", MARK, "--", "echo", "here").stdout == "here\n"


@pytest.mark.parametrize("victim", ["supervisor", "init"])
def test_no_group_is_left_after_kill_9(victim: str, tmp_path: Path) -> None:
    if why := as_lab(lambda: why_no_limits(Limits(pids=60))):
        pytest.skip(f"control groups can't be used here: {why}")
    mark = f"{victim}{os.getpid()}"
    file = tmp_path / "killed.yaml"
    file.write_text(f"{{name: killed, switches: [s1], hosts: {{{mark}: {{switch: s1, pids: 60}}}}}}")
    with running(file) as line:
        running_in_it = line.start("exec", mark, "--", "sleep", "4325")
        until(lambda: groups_of(mark), "it has a group")
        rows = until(lambda: [row for row in line.json("list") if "pid" in row], "it answers")
        supervisor = int(rows[0]["pid"])
        os.kill(supervisor if victim == "supervisor" else parent(supervisor), signal.SIGKILL)
        assert running_in_it.wait(60) != 0
        running_in_it.communicate()
        if victim == "init":  # nothing is there to clean up but the next command
            until(lambda: line.json("list") == [] and not groups_of(mark), "the next command removes it")
        until(lambda: not groups_of(mark), "it is removed")


@pytest.mark.skipif(os.geteuid() != 0, reason="a group that root made is the case here")
def test_where_limits_can_not_be_enforced_it_is_told_or_refused() -> None:
    host = "{switch: s1, cpus: 0.5}"
    topology = topologies.loads(f"{{switches: [s1], hosts: {{h1: s1, x1: {host}}}}}")
    required = topologies.loads(f"{{switches: [s1], hosts: {{h1: s1, x1: {host[:-1]}, limits: required}}}}}}")

    def body(fabric: Fabric) -> Any:
        place, hosts = fabric.place("x1"), driver("namespace")
        done = subprocess.run(hosts.command(place, ["echo", "runs"]), capture_output=True, text=True)
        lacks = [hosts.lacks(some.hosts) for some in (topology, required)]
        return [done.stdout, hosts.state(place), lacks]

    with loosened_tun():
        said, state, (fine, lacking) = as_user(ORDINARY, lambda: inside(topology, body))
    assert said == "runs\n" and "not enforced: " in state["limits"] and fine == []
    assert "limits can't be enforced" in lacking[0][0] and "host x1" in lacking[0][1]
