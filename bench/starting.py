"""Starting and stopping: against ``mn`` of the same shape, and against what the kernel alone takes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import ours, sealed, shapes
from bench.figures import Figure

SHAPES = (shapes.single(200), shapes.linear(50), shapes.tree(3, 4))


def mn(shape: shapes.Shape) -> tuple[float, float]:
    """Seconds until Debian's ``mn`` has started the shape, and until it has stopped it again."""
    switch = "ovs,datapath=user" if ours.Setting.datapath == "userspace" else "ovs"
    command = ["mn", "--switch", switch, "--topo", shape.mn, "--controller", "none"]
    seen = sealed.run([*command, "--test", "none"], timeout=180)
    if seen.code:
        raise ours.Failed(f"mn: exit {seen.code}: {seen.text[-500:]}")
    started = seen.when("*** Stopping 0 controllers")
    return started, seen.ended - started


def kernel(hosts: int) -> tuple[float, float]:
    """Seconds of the bare kernel: of the work alone, and of the whole small program."""
    begin = time.monotonic()
    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-m", "bench.kernel_cost", str(hosts)],
        check=True, capture_output=True, text=True, cwd=ours.ROOT,
    )  # fmt: skip
    return float(done.stdout), time.monotonic() - begin


def measure(runs: int) -> list[Figure]:
    """Start and stop of every shape; contestants take turns, so that a busy moment hits all."""
    return [_shape(shape, runs) for shape in SHAPES]


def _shape(shape: shapes.Shape, runs: int) -> Figure:
    starts: dict[str, list[float]] = {name: [] for name in ("mn", "ours", "kernel", "program")}
    stops: dict[str, list[float]] = {name: [] for name in ("mn", "ours")}
    stages: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = shape.write(Path(folder))
        for _ in range(runs):
            start, stop = mn(shape)
            starts["mn"].append(start)
            stops["mn"].append(stop)
            work, program = kernel(shape.hosts)
            starts["kernel"].append(work)
            starts["program"].append(program)
            with ours.up(file) as lab:
                starts["ours"].append(lab.seconds)
                for stage, taken in lab.stages().items():
                    stages.setdefault(stage, []).append(taken)
                stops["ours"].append(ours.down())
    figure = Figure(f"Start and stop {shape.mn} ({shape.hosts} hosts, {shape.switches} switches)")
    peer = figure.row("start: mn, without controller", starts["mn"])
    mine = figure.row("start: ./sdnlab up, programmed and all pairs proven", starts["ours"])
    bare = figure.row("the kernel alone, whole program", starts["program"])
    figure.row("the kernel alone, without Python's start", starts["kernel"])
    for name, seconds in stages.items():
        figure.row(f"… of ./sdnlab up: {name}", seconds)
    peer_stop = figure.row("stop: mn", stops["mn"])
    my_stop = figure.row("stop: ./sdnlab down", stops["ours"])
    figure.faster("start: mn / ours", peer, mine, 6 if shape.switches == 1 else 4)
    figure.within("start: ours / kernel alone", mine, bare, 2)
    figure.faster("stop: mn / ours", peer_stop, my_stop, 10)
    return figure
