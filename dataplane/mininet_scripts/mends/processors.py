"""CPULimitedHost: control groups (cgroups(7)) without cgroup-tools, where this user may make some."""

from __future__ import annotations

import contextlib
import math
import os
import time
from pathlib import Path
from typing import Any

from mininet import net, node
from mininet.log import info, output

from dataplane.hosts.cgroups import LabGroups, Limits, NoGroups, of_process
from dataplane.mininet_scripts.mends.telling import say_once

_groups: list[LabGroups] = []


def apply() -> None:
    """Mend the class."""
    limited = node.CPULimitedHost
    limited.__init__ = _init
    net.Mininet.runCpuLimitTest = _run_limit_test
    limited.init = classmethod(lambda cls: None)
    limited.setCPUFrac = _set_fraction
    limited.setCPUs = _set_processors
    limited.popen = _popen
    limited.cleanup = _cleanup
    limited.cgroupSet = lambda self, param, value, resource="cpu": value
    limited.cgroupGet = lambda self, param, resource="cpu": -1
    limited.cgroupDel = lambda self: True


def _init(self: Any, name: str, sched: str = "cfs", **params: Any) -> None:
    self.limits = None
    node.Host.__init__(self, name, **params)
    self.cgroup = f"cpu,cpuacct,cpuset:/{self.name}"
    self.period_us = params.get("period_us", 100000)
    self.sched, self.rtprio = sched, 20


def _set_fraction(self: Any, f: Any, sched: str | None = None) -> None:
    """Limit the host to the fraction ``f`` of all processors."""
    if not f or f < 0:
        return
    if (sched or self.sched) == "rt":
        say_once("real-time scheduling (sched='rt') is left out: cfs limits the processors")
    try:
        if not _groups:
            _groups.append(LabGroups(f"mininet-{os.getpid()}-{os.urandom(3).hex()}", of_process()))
        self.limits = _groups[0].make(self.name, Limits(cpus=f * (os.cpu_count() or 1)))
        for file in self.limits.joined():
            Path(file).write_text(str(self.pid))
    except (NoGroups, OSError, ValueError) as error:
        self.limits = None
        say_once(f"LIMITS OF PROCESSORS (cpu=) HAVE NO EFFECT HERE: {error}")


def _set_processors(self: Any, cores: Any, mems: int = 0) -> None:
    """Let the host run on these processors only."""
    if cores is None or cores == "":
        return
    words = cores if isinstance(cores, (list, tuple)) else str(cores).split(",")
    try:
        os.sched_setaffinity(self.pid, {int(word) for word in words})
    except (OSError, ValueError) as error:
        say_once(f"cores={cores} has no effect here: {error}")


def _run_limit_test(self: Any, cpu: float, duration: int = 5) -> list[float]:
    """Mininet's own test, by the processes' times (proc(5)), not by files of cgroups of version 1."""
    info(f"*** Testing CPU {cpu * 100:.0f}% bandwidth limit\n")
    cores = os.cpu_count() or 1
    busy: dict[Any, list[int]] = {}
    for host in self.hosts:
        for _ in range(math.ceil(cores * cpu)):
            host.cmd("while true; do a=1; done &")
            busy.setdefault(host, []).append(int(host.cmd("echo $!").split()[-1]))
    fractions = []
    used = {host: sum(map(_seconds, pids)) for host, pids in busy.items()}
    for _ in range(duration):
        time.sleep(1)
        for host, pids in busy.items():
            now = sum(map(_seconds, pids))
            fractions.append((now - used[host]) / cores * 100)
            used[host] = now
    for host, pids in busy.items():
        for pid in pids:
            host.cmd(f"kill -9 {pid}")
    output(f"*** Results: {fractions}\n")
    return fractions


def _seconds(pid: int) -> float:
    """The processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _popen(self: Any, *args: Any, **params: Any) -> Any:
    if self.limits is None or "mncmd" in params:
        return node.Host.popen(self, *args, **params)
    joining = "; ".join(f"echo 0 > {file}" for file in self.limits.joined())
    entering = ["sh", "-c", joining + '; exec "$@"', "sh", "mnexec", "-da", str(self.pid)]
    return node.Host.popen(self, *args, mncmd=entering, **params)


def _cleanup(self: Any) -> None:
    node.Host.cleanup(self)
    if self.limits is not None:
        with contextlib.suppress(OSError):
            self.limits.kill(1.0)
            self.limits.remove(1.0)
        self.limits = None
