"""Samples what hosts have used: processor, memory, disks and network.

A host's processes are those in its network namespace, whatever its kind: a virtual machine is its QEMU.  What
it sends and receives is counted at the far end of its wire, in few namespaces.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dataplane.fabric.fabric import Fabric
from dataplane.plan.pieces import HostPlan
from dataplane.sandbox.namespaces import run_in
from lab.messages.usage import HostUsage, Usage

TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


class Process(NamedTuple):
    """What a process and its ended children have used: seconds, bytes."""

    cpu: float
    memory: int
    read: int
    written: int


class Wire(NamedTuple):
    """What a device has received and sent: bytes and packets."""

    received: int
    received_packets: int
    sent: int
    sent_packets: int


def sample(net: Fabric) -> Usage:
    """A sample of all hosts of the lab."""
    plans = net.plan.hosts
    spaces: dict[int, str] = {}
    for host in plans:
        with contextlib.suppress(KeyError, OSError):  # it comes or goes
            spaces[os.fstat(net.space_fd(host.netns)).st_ino] = host.name
    running: dict[str, list[Process]] = {}
    for name, process in processes_in(spaces):
        running.setdefault(name, []).append(process)
    wires: dict[tuple[str, str], Wire] = {}
    for netns in {host.far.netns for host in plans}:
        with contextlib.suppress(KeyError, OSError):
            text = run_in(net.space_fd(netns), _devices)
            wires |= {(netns, device): wire for device, wire in devices(text).items()}
    return {
        "time": time.monotonic(),
        "hosts": [_host(host, running.get(host.name, []), wires) for host in plans],
    }


def _host(host: HostPlan, running: list[Process], wires: Mapping[tuple[str, str], Wire]) -> HostUsage:
    wire = wires.get((host.far.netns, host.far.device))
    return {
        "name": host.name,
        "kind": host.kind,
        "processes": len(running),
        "cpu": sum(process.cpu for process in running),
        "memory": sum(process.memory for process in running),
        "received": wire.sent if wire is not None else None,  # what the switch sends
        "received_packets": wire.sent_packets if wire is not None else None,
        "sent": wire.received if wire is not None else None,
        "sent_packets": wire.received_packets if wire is not None else None,
        "read": sum(process.read for process in running),
        "written": sum(process.written for process in running),
    }


def processes_in(spaces: Mapping[int, str]) -> Iterator[tuple[str, Process]]:
    """The processes in these network namespaces. ``spaces``: inode -> name."""
    for entry in os.scandir(PROC):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended
            link = os.readlink(f"{entry.path}/ns/net")  # noqa: PTH115 - thousands of times
            name = spaces.get(int(link[5:-1]))
            if name is not None:
                yield name, process(Path(entry.path))


def process(folder: Path) -> Process:
    """A process by its folder in /proc (proc(5)). Raises OSError and ValueError when it has ended."""
    fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    # utime, stime, cutime, cstime are the fields 14 to 17; state, the first after the name, is field 3
    cpu = sum(int(field) for field in fields[11:15]) / TICKS
    sizes = (folder / "statm").read_text().split()
    read = written = 0
    with contextlib.suppress(OSError):  # a kernel without CONFIG_TASK_IO_ACCOUNTING
        for line in (folder / "io").read_text().splitlines():
            word, _, number = line.partition(": ")
            read += int(number) if word == "read_bytes" else 0
            written += int(number) if word == "write_bytes" else 0
    return Process(cpu, (int(sizes[1]) - int(sizes[2])) * PAGE, read, written)


def _devices() -> str:
    return Path("/proc/thread-self/net/dev").read_text()


def devices(text: str) -> dict[str, Wire]:
    """Device -> its counters, by the text of /proc/net/dev (proc(5))."""
    rows = [line.rpartition(":") for line in text.splitlines()[2:]]
    known = {}
    for name, _, counters in rows:
        numbers = [int(word) for word in counters.split()]
        known[name.strip()] = Wire(numbers[0], numbers[1], numbers[8], numbers[9])
    return known
