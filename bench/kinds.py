"""What isolation costs: hosts of each kind start, ping each other and send TCP to each other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench import ours
from bench.figures import Figure
from dataplane.images import cache

KINDS = {
    "namespace": "",
    "container": ", kind: container",
    "vm, virtio": ", vm: micro",
    "vm, e1000": ", vm: micro, nic: e1000",
}
BOOTING = "{switch: s1, vm: micro, memory: 255MiB}"
"""No other machine has so much memory, so there is no snapshot of its boot."""
SENDER = """\
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 9))
begin, sent, piece = time.monotonic(), 0, bytes(65536)
while time.monotonic() < begin + 1.5:
    sent += connection.send(piece)
connection.shutdown(socket.SHUT_WR)
connection.recv(1)
print(sent / (time.monotonic() - begin))
"""
PATIENCE = 60.0
AT_ONCE = 5
_UNTIL = "until ping -c 1 -W 0.2 x{}; do :; done"


@dataclass(frozen=True)
class _First:
    """A lab until all its hosts have answered. ``seconds``: from the shell. Of each machine: ``ready``:
    seconds from QEMU's start until it is configured; ``used``: seconds for which QEMU had a processor;
    ``memory``: megabytes."""

    seconds: float
    ready: list[float]
    used: list[float]
    memory: list[float]


def measure(runs: int) -> list[Figure]:
    """Starting; then traffic between all pairs of kinds, in one lab."""
    return [_starting(runs), _containers(runs), *_traffic(runs)]


def _starting(runs: int) -> Figure:
    hosts = {kind: f"{{switch: s1{keys}}}" for kind, keys in KINDS.items()}
    hosts |= {"vm, virtio, which boots": BOOTING}
    first: dict[str, list[float]] = {kind: [] for kind in hosts}
    ready: dict[str, list[float]] = {kind: [] for kind in hosts}
    used: dict[str, list[float]] = {kind: [] for kind in hosts}
    ten: list[float] = []
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kinds.yaml"
        for host in hosts.values():  # the snapshots of their boots are made
            _first_ping(file, [host])
        for _ in range(runs):
            for kind, host in hosts.items():
                if host == BOOTING:
                    _forget_boots()
                answered = _first_ping(file, [host])
                first[kind].append(answered.seconds)
                ready[kind] += answered.ready
                used[kind] += answered.used
            answered = _first_ping(file, [hosts["vm, virtio"]] * 10)
            ten.append(answered.seconds)
            memory += answered.memory
    _forget_boots()
    figure = Figure("from `up` to the first ping that a host of each kind answers")
    for kind, samples in first.items():
        figure.row(kind, samples)
    figure.row("vm, virtio: ten at once, until all have answered", ten)
    for kind, samples in ready.items():
        if samples:
            figure.row(f"{kind}: QEMU's start until it is configured", samples)
    for kind, samples in used.items():
        if samples:
            figure.row(f"{kind}: processor time of QEMU until it has answered", samples)
    figure.row("vm, virtio: memory of QEMU, each of ten (PSS)", memory, "MB")
    figure.notes.append(
        "from the shell: `sdnlab up` without the test of all pairs, then `sdnlab exec h1 -- ping`; virtual "
        "machines start from the snapshot of their boot unless said otherwise"
    )
    return figure


def _first_ping(file: Path, hosts: list[str]) -> _First:
    named = "".join(f"  x{number}: {host}\n" for number, host in enumerate(hosts, 1))
    file.write_text(f"switches: [s1]\nhosts:\n  h1: s1\n{named}", encoding="utf-8")
    begin = time.monotonic()
    with ours.up(file, check=False) as lab:
        for number in range(1, len(hosts) + 1):
            ours.sdnlab(
                [*("exec", "--lab", ours.NAME, "h1", "--", "sh", "-c"), _UNTIL.format(number)], PATIENCE
            )
        seconds = time.monotonic() - begin
        machines = [
            pid for pid in lab.processes() if "qemu" in Path(f"/proc/{pid}/comm").read_text(errors="replace")
        ]
        used = [ours.processor_time([pid]) for pid in machines]
        details = [host["detail"] for host in lab.api("/status")["hosts"]]
        ready = [detail["seconds"] for detail in details if "seconds" in detail]
        return _First(seconds, ready, used, [ours.memory([pid]) for pid in machines])


def _containers(runs: int) -> Figure:
    """The start of containers in a running lab, against unshare and chroot."""
    hosts = "".join(f"  x{number}: s1\n" for number in range(1, AT_ONCE + 1))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "containers.yaml"
        file.write_text(f"switches: [s1]\nhosts:\n  h1: s1\n{hosts}", encoding="utf-8")
        with ours.up(file) as lab:
            entered = ["nsenter", "--target", f"{lab.supervisor()}", "--mount", "--net", "--pid"]
            listed = subprocess.check_output([*entered, "ls", "/run/netns"], text=True)
            spaces = [name for name in listed.split() if name.startswith("x")]
            words = ["-m", "bench.container_start", str(runs), "10.0.0.1", *spaces]
            done = subprocess.run(
                [*entered, f"--wd={ours.ROOT}", "--", sys.executable, *words],
                capture_output=True, text=True, timeout=PATIENCE * (runs + 1),
            )  # fmt: skip
    if done.returncode:
        raise ours.Failed(f"containers: {done.stderr[-500:]}")
    samples = json.loads(done.stdout)
    figure = Figure("from a container's start to its answered ping, in a running lab")
    one = figure.row("a container whose command is `ping -c 1`", samples["one"])
    hand = figure.row("the same ping by `nsenter`, `unshare` and `chroot`", samples["hand"])
    figure.row("the container, seconds of a processor", samples["one CPU"])
    figure.row("by hand, seconds of a processor", samples["hand CPU"])
    figure.row(f"{AT_ONCE} containers at once, until all pings were answered", samples["all"])
    figure.within("container / unshare and chroot", one, hand, 3)
    figure.notes.append(
        "the container has an overlay for each folder of the machine's root, masks, a seccomp filter and a "
        "control group; by hand there are namespaces and the machine's own files. Most of the container's "
        "time is in runc, which runs itself twice: 27 ms of a processor with its filter, masks and mounts, "
        "21 ms without any of them (one thread, no garbage collection, its copy in memory), so 3 times "
        "can't be reached with it"
    )
    return figure


def _forget_boots() -> None:
    """Remove the snapshots of machines of ``BOOTING``, which are not used by anybody else."""
    for noted in cache.root().glob("*/snapshots/*.json"):
        if f'"memory": {255 << 20}' in noted.read_text(encoding="utf-8"):
            noted.with_suffix(".state").unlink(missing_ok=True)
            noted.unlink()


def _traffic(runs: int) -> list[Figure]:
    names = dict(zip(KINDS, "ncve", strict=True))
    hosts = "".join(
        f"  {names[kind]}{number}: {{switch: s1, serves: discard{keys}}}\n"
        for kind, keys in KINDS.items()
        for number in (1, 2)
    )
    trips: dict[tuple[str, str], list[float]] = {pair: [] for pair in product(KINDS, KINDS)}
    rates: dict[tuple[str, str], list[float]] = {pair: [] for pair in product(KINDS, KINDS)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.yaml"
        file.write_text(f"switches: [s1]\nhosts:\n{hosts}", encoding="utf-8")
        with ours.up(file) as lab:
            for _, (a, b) in product(range(runs), trips):
                near, far = f"{names[a]}1", f"{names[b]}2"
                said = lab.exec(near, ["ping", "-c", "20", "-i", "0.05", far])
                average = re.search(r"= [\d.]+/([\d.]+)/", said)
                if average is None:
                    raise ours.Failed(f"{near} does not reach {far}: {said[-300:]}")
                trips[a, b].append(float(average[1]))
                sent = float(lab.exec(near, ["python3", "-c", SENDER, far]))
                rates[a, b].append(sent * 8 / 1e9)
    trip, rate = Figure("round trip between hosts of two kinds"), Figure("TCP between hosts of two kinds")
    for a, b in trips:
        trip.row(f"{a} to {b}", trips[a, b], "ms")
        rate.row(f"{a} to {b}", rates[a, b], "Gbit/s")
    rate.notes.append("one connection for 1.5 s from a Python program to a host's server `discard`")
    return [trip, rate]
