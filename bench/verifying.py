"""Proving networks of growing size with any link cut, on one core; and one changed flow of the largest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from bench import cogentco, ours
from bench.figures import Figure, Growth, Row

NETWORKS = ("Abilene", "Belnet2010", "Geant2012", "Uninett2010", "Cogentco")
"""Of the Topology Zoo, by size."""
TENANTS = 10
SECONDS = 60.0
"""The aim for Cogentco: all pairs, and all single cuts."""
_VERIFY = """
import json, statistics, sys, time
from dataclasses import replace
import topologies
from controller.compiler.recompile import Recompiler
from controller.compiler.forwarding import DIRECT
from controller.flow.tables import Table
from controller.verify.verify import Verification
topology = topologies.load(sys.argv[1])
begin = time.process_time()
compiler = Recompiler(topology, same_tags=True)
run = Verification(topology, compiler.tables, None, compiler)
proven = run.everything().proven
whole = time.process_time() - begin
run.failures(1)
cuts = time.process_time() - begin - whole
times = []
for name in list(run.tables)[:20]:
    held = run.tables[name]
    # the way to one destination is lost: all hosts behind this switch are concerned
    at = next(n for n, f in enumerate(held.flows) if f.table is Table.FORWARD and f.priority == DIRECT)
    flow = held.flows[at]
    flows = (*held.flows[:at], replace(flow, actions=(), cookie=flow.cookie ^ 1), *held.flows[at + 1 :])
    other = {**run.tables, name: replace(held, flows=flows)}
    begin = time.process_time()
    run.recheck(other)
    times.append(time.process_time() - begin)
print(json.dumps({
    "switches": len(topology.switches), "links": len(topology.links), "hosts": len(topology.hosts),
    "flows": sum(len(held.flows) for held in run.tables.values()),
    "whole": whole, "cuts": cuts, "recheck": statistics.median(times[1:] or times),
    "proven": proven and run.report.proven,
}))
"""


def once(path: Path) -> dict[str, float]:
    """Seconds of one core's time for a network, in a fresh process that has one core."""
    command = ["taskset", "-c", "0", sys.executable, "-c", _VERIFY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ours.ROOT, timeout=3600)
    if done.returncode:
        raise ours.Failed(f"{path.name}: {done.stderr[-300:]}")
    measured: dict[str, float] = json.loads(done.stdout)
    if not measured["proven"]:
        raise ours.Failed(f"{path.name}: not proven")
    return measured


def shared_out(path: Path, folder: Path) -> Path:
    """A file of the same network with its hosts in ``TENANTS`` networks by turns."""
    file = folder / f"{path.stem}.yaml"
    ours.sdnlab(["convert", str(path), "-o", str(file)])
    content = yaml.safe_load(file.read_text())
    content["networks"] = {
        f"n{n}": {"subnet4": f"10.{n}.0.0/16", "subnet6": f"fd00:{n}::/64"} for n in range(TENANTS)
    }
    content["hosts"] = {
        name: {"switch": host["switch"], "network": f"n{turn % TENANTS}"}
        for turn, (name, host) in enumerate(content["hosts"].items())
    }
    file.write_text(yaml.safe_dump(content))
    return file


def measure(runs: int) -> list[Figure]:
    """Each network in turn; the largest takes a minute a run."""
    folder = cogentco.find().parent
    figure = Figure("Prove all pairs, with no link and with any one link cut, on one core")
    sizes: list[tuple[int, float]] = []
    for name in NETWORKS:
        some = [once(folder / f"{name}.graphml") for _ in range(min(runs, 3))]
        about = "{switches} switches, {links} links, {flows:,} flows".format(**some[0])
        figure.row(f"{name}: {about}: no cut", [one["whole"] for one in some])
        figure.row("… and any one link cut, at once and after the controller", [one["cuts"] for one in some])
        total = figure.row("… together", [one["whole"] + one["cuts"] for one in some])
        sizes.append((int(some[0]["switches"]), total.median))
        figure.row("… check again after one changed flow", [1000 * one["recheck"] for one in some], "ms")
    with TemporaryDirectory() as name:
        file = shared_out(folder / f"{NETWORKS[-1]}.graphml", Path(name))
        some = [once(file) for _ in range(min(runs, 3))]
    total = figure.row(
        f"{NETWORKS[-1]} with its hosts in {TENANTS} networks: no cut, and any one link cut",
        [one["whole"] + one["cuts"] for one in some],
    )
    limit = Row("a minute", (SECONDS,))
    figure.within("Cogentco in ten networks, all pairs and all single cuts, in minutes", total, limit, 1)
    figure.growths.append(Growth("All pairs, and any one link cut", "switches", tuple(sizes)))
    figure.notes.append("Seconds are of processor time. One host is at each switch.")
    return [figure]
