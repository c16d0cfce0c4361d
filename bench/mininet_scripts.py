"""The same Mininet script by ``sdnlab mininet`` and by Python with Debian's Mininet: start and stop."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import ours, sealed
from bench.figures import Figure

PYTHON = "/usr/bin/python3"
"""The interpreter of Debian's Mininet."""
SCRIPT = """
import sys
from functools import partial
from mininet.net import Mininet
from mininet.node import OVSSwitch
from mininet.topo import LinearTopo, SingleSwitchTopo
from mininet.topolib import TreeTopo
topologies = {'tree,2,4': TreeTopo(2, 4), 'linear,20': LinearTopo(20), 'single,40': SingleSwitchTopo(40)}
topology = topologies[sys.argv[1]]
net = Mininet(topo=topology, switch=partial(OVSSwitch, datapath='user'), controller=None)
net.start()
print('@@ started', flush=True)
net.stop()
"""
SHAPES = ("tree,2,4", "linear,20", "single,40")


def peer(script: Path, shape: str) -> tuple[float, float]:
    """Seconds until the network is started, from the moment when Open vSwitch is ready; and its stop."""
    seen = sealed.run([PYTHON, str(script), shape], timeout=300)
    if seen.code:
        raise ours.Failed(f"Mininet: exit {seen.code}: {seen.text[-500:]}")
    started = seen.when("@@ started\n")
    return started, seen.ended - started


def mine(script: Path, shape: str) -> tuple[float, float]:
    """Seconds of the whole command until the network is started, Open vSwitch included; and its stop."""
    words = [sys.executable, "-c", "from lab.cli import main; main()", "mininet", str(script), shape]
    begin = time.monotonic()
    process = subprocess.Popen(
        words, cwd=ours.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=os.environ, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        started = time.monotonic()
        code = process.wait(300)
        ended = time.monotonic()
    finally:
        process.kill()
        process.wait()
    if code or line != "@@ started\n":
        raise ours.Failed(f"sdnlab mininet: exit {code}: {line}")
    return started - begin, ended - started


def measure(runs: int) -> list[Figure]:
    """Start and stop of each shape; the two take turns."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"
        script.write_text(SCRIPT)
        return [_shape(script, shape, runs) for shape in SHAPES]


def _shape(script: Path, shape: str, runs: int) -> Figure:
    theirs, own = [], []
    for _ in range(runs):
        theirs.append(peer(script, shape))
        own.append(mine(script, shape))
    figure = Figure(f"A Mininet script, {shape}")
    start = figure.row("start: python3 SCRIPT, Open vSwitch runs already", [pair[0] for pair in theirs])
    my_start = figure.row(
        "start: sdnlab mininet SCRIPT, sandbox and Open vSwitch included", [pair[0] for pair in own]
    )
    stop = figure.row("stop: python3 SCRIPT", [pair[1] for pair in theirs])
    my_stop = figure.row("stop: sdnlab mininet SCRIPT, nothing is left", [pair[1] for pair in own])
    figure.faster("start: Mininet / ours", start, my_start, 1)
    figure.faster("stop: Mininet / ours", stop, my_stop, 5)
    return figure
