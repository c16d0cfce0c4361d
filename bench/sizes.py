"""What grows with a lab: 100 to 1,000 hosts on a switch, 20 labs at once, a fat tree that loses a switch."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from bench import ours, sealed, shapes
from bench.figures import Figure

SIZES = (100, 300, 1000)
LABS, HOSTS = 20, 40
MN_PATIENCE = 240.0
"""Seconds after which ``mn`` has not got that far."""


def measure(runs: int) -> list[Figure]:
    """Each size in turn; the peer once."""
    figures = [_single(shapes.single(hosts), runs) for hosts in SIZES]
    return [*figures, _labs(runs), _fat_tree(runs)]


def _single(shape: shapes.Shape, runs: int) -> Figure:
    starts, stops, used, taken, worked = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        file = shape.write(Path(folder))
        for _ in range(runs):
            before = ours.available()
            with ours.up(file) as lab:
                starts.append(lab.seconds)
                processes = lab.processes()
                used.append(ours.memory(processes))
                worked.append(ours.processor_time(processes))
                taken.append(before - ours.available())
                stops.append(ours.down())
    figure = Figure(f"{shape.hosts} hosts on one switch")
    mine = figure.row("start: ./sdnlab up, programmed and all pairs proven", starts)
    figure.row("processor time of the lab's processes until then", worked)
    figure.row("memory of all processes", used, "MB")
    figure.row("less memory available, the kernel's own included", taken, "MB")
    my_stop = figure.row("stop: ./sdnlab down", stops)
    if shape.hosts == SIZES[-1]:
        figure.within("start of 1,000 hosts, against 15 s", mine, figure.row("wanted", [15.0]), 1)
    try:
        peer = _mn(shape)
    except (TimeoutError, ours.Failed) as error:
        figure.notes.append(f"mn did not get that far in {MN_PATIENCE:.0f} s: {str(error)[-200:]}")
        return figure
    figure.faster("start: mn / ours", figure.row("start: mn, without controller", [peer[0]]), mine, 6)
    figure.faster("stop: mn / ours", figure.row("stop: mn", [peer[1]]), my_stop, 10)
    return figure


def _mn(shape: shapes.Shape) -> tuple[float, float]:
    command = ["mn", "--switch", "ovs,datapath=user", "--topo", shape.mn, "--controller", "none"]
    seen = sealed.run([*command, "--test", "none"], timeout=MN_PATIENCE)
    if seen.code:
        raise ours.Failed(f"exit {seen.code}: {seen.text[-200:]}")
    started = seen.when("*** Stopping 0 controllers")
    return started, seen.ended - started


def _labs(runs: int) -> Figure:
    starts, stops, used = [], [], []
    names = [f"{ours.NAME}-{number}" for number in range(LABS)]
    with tempfile.TemporaryDirectory() as folder:
        file = str(shapes.single(HOSTS).write(Path(folder)))
        for _ in range(runs):
            before = ours.available()
            try:
                starts.append(_all(["up", file, "-d", "--name", name] for name in names))
                used.append(before - ours.available())
            finally:
                stops.append(_all(["down", name] for name in names))
    figure = Figure(f"{LABS} labs of {HOSTS} hosts at once")
    figure.row("start: all are up and all their pairs are proven", starts)
    figure.row("less memory available, the kernel's own included", used, "MB")
    figure.row("stop: nothing is left of any", stops)
    return figure


def _all(commands: Iterable[list[str]]) -> float:
    """Run commands of ours at the same time; the seconds until the last has ended."""
    begin = time.monotonic()
    running = [
        subprocess.Popen(
            [ours.SDNLAB, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    for process in running:
        _, errors = process.communicate(timeout=300)
        if process.returncode:
            raise ours.Failed(f"{process.args}: exit {process.returncode}: {errors[-300:]}")
    return time.monotonic() - begin


def _fat_tree(runs: int) -> Figure:
    starts, before, after, again = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fat-tree.yaml"
        ours.sdnlab(["generate", "fat-tree", "8", "-o", str(file)])
        for _ in range(runs):
            with ours.up(file) as lab:
                starts.append(lab.seconds)
                before.append(_ping())
                edge = lab.api("/status")["hosts"][0]["switch"]
                ours.sdnlab(["switch", "down", "--lab", ours.NAME, edge])
                after.append(_ping())
                again.append(_ping())
    figure = Figure("A fat tree of k=8 (80 switches, 128 hosts) loses the switch of four hosts")
    figure.row("start: ./sdnlab up, programmed and all pairs proven", starts)
    figure.row("./sdnlab ping before", before)
    late = figure.row("./sdnlab ping right after: 1,009 of 16,384 pairs have no way", after)
    figure.row("and the next one", again)
    figure.within("ping after the cut, against 3 s", late, figure.row("wanted", [3.0]), 1)
    return figure


def _ping() -> float:
    return ours.sdnlab(["ping", "--json", "--lab", ours.NAME], permitted=(0, 1))[0]
