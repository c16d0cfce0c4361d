"""Cogentco as a lab: compile, start, reach all pairs; time and memory, against Mininet."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import cogentco, ours, sealed
from bench.figures import Figure, Row

PEER_RUNS = 1
"""The peer takes minutes a run."""
_COMPILE = """
import sys, time
import topologies, controller.compiler.compile
begin = time.perf_counter()
topology = topologies.load(sys.argv[1])
loaded = time.perf_counter()
tables = controller.compiler.compile.compile_topology(topology)
print(loaded - begin, time.perf_counter() - loaded)
"""


def compile_once(path: Path) -> tuple[float, float]:
    """Seconds for loading and for compiling, in a fresh process, so that nothing is cached."""
    command = [sys.executable, "-c", _COMPILE, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ours.ROOT)
    loading, compiling = done.stdout.split()
    return float(loading), float(compiling)


def mn(path: Path) -> tuple[float, float, float]:
    """Seconds until Mininet has started the same graph, until it has stopped, and its memory in MB."""
    import topologies

    topology = topologies.load(path)
    index = {switch.name: number for number, switch in enumerate(topology.switches)}
    graph = {
        "switches": len(index),
        "at": [index[host.port.switch] for host in topology.hosts],
        "links": [(index[link.a.switch], index[link.b.switch]) for link in topology.links],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(graph, file)
        file.flush()
        program = str(Path(__file__).with_name("graph_peer.py"))
        seen = sealed.run(["/usr/bin/python3", program, file.name], timeout=400)
    started = seen.when("@@ started ")
    megabytes = float(seen.text.partition("@@ started ")[2].split()[0])
    return started, seen.ended - started, megabytes


def measure(runs: int) -> list[Figure]:
    """Compile in fresh processes; whole labs fewer times; the peer once."""
    path = cogentco.find()
    compiled = [compile_once(path) for _ in range(runs)]
    starts, stops, used, drops, reached = [], [], [], [], []
    stages: dict[str, list[float]] = {}
    nodes = 0
    for _ in range(runs):
        before = ours.available()
        with ours.up(path, partial=True) as lab:
            starts.append(lab.seconds)
            reached.append(100 * lab.reached)
            for stage, taken in lab.stages().items():
                stages.setdefault(stage, []).append(taken)
            used.append(ours.memory(lab.processes()))
            drops.append(before - ours.available())
            nodes = len(lab.api("/status")["switches"])
            stops.append(ours.down())
    figure = Figure(f"Cogentco: {nodes} switches, {nodes} hosts")
    figure.row("load the GraphML file", [loading for loading, _ in compiled])
    compiling = figure.row("compile all tables", [compiling for _, compiling in compiled])
    mine = figure.row("start: ./sdnlab up, programmed and all pairs probed", starts)
    for name, seconds in stages.items():
        figure.row(f"… of it: {name}", seconds)
    figure.row("… of it: pairs reached before the probe gave up", reached, "%")
    my_stop = figure.row("stop: ./sdnlab down", stops)
    figure.row("memory of all processes, ours, all tables installed", used, "MB")
    figure.row("… per switch with its host", [1024 * value / nodes for value in used], "kB")
    figure.row("… with the kernel's, ours (decrease of MemAvailable)", drops, "MB")
    figure.within("compile, in seconds", compiling, Row("one second", (1.0,)), 2)
    try:
        peers = [mn(path) for _ in range(min(runs, PEER_RUNS))]
    except (TimeoutError, ValueError) as error:
        figure.notes.append(f"mn did not get that far: {str(error)[-300:]}")
        return [figure]
    peer = figure.row("start: Mininet, the same graph, without controller", [start for start, _, _ in peers])
    peer_stop = figure.row("stop: Mininet", [stop for _, stop, _ in peers])
    figure.row("memory of all processes, Mininet, nothing installed", [used for _, _, used in peers], "MB")
    figure.faster("start: Mininet / ours", peer, mine, 10)
    figure.faster("stop: Mininet / ours", peer_stop, my_stop, 10)
    return [figure]
