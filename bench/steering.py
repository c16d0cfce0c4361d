"""What steering costs: host to host through functions that do nothing, ours and joined by plain wires."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

from bench import ours, service_labs
from bench.figures import Figure
from bench.sealed import NAMESPACES

COUNTS = (0, 1, 2, 3, 5)
KINDS = {"bridge": "Linux bridges", "nftables": "nftables"}
QUANTITIES = {
    "rtt": ("mean round trip", "ms", 1.0),
    "tcp": ("TCP", "Gbit/s", 1e9),
    "udp": ("64-byte UDP packets received a second", "kpps", 2e3),
}


def joined(count: int, kind: str) -> dict[str, float]:
    """The peer: one run of ``joined.sh``."""
    script = str(Path(__file__).with_name("joined.sh"))
    done = subprocess.run(
        [*NAMESPACES, "bash", script, str(count), kind], capture_output=True, text=True, timeout=90
    )
    if "@@end" not in done.stdout:
        raise ours.Failed(f"{count} {kind}: {(done.stderr or done.stdout)[-300:]}")
    return {name: float(value) for name, value in re.findall(r"@@(\w+) ([0-9.e+]+)", done.stdout)}


def between(lab: ours.Up, a: str, b: str, address: str) -> dict[str, float]:
    """Round trip in ms, TCP in bit/s, and small packets in two seconds, from ``a`` to ``b``."""
    pings = lab.exec(a, ["ping", "-q", "-c", "300", "-i", "0.002", address])
    quantities = {"rtt": float(re.findall(r"= [0-9.]+/([0-9.]+)/", pings)[0])}
    for name, options in (("tcp", ["-t", "3"]), ("udp", ["-u", "-b", "0", "-l", "64", "-t", "2"])):
        lab.exec(b, ["iperf3", "-s", "-1", "-D"])
        for _ in range(50):
            if ":5201" in lab.exec(b, ["ss", "-ltn"]):
                break
        said = json.loads(lab.exec(a, ["iperf3", "-J", "-c", address, *options]))["end"]
        if name == "tcp":
            quantities["tcp"] = said["sum_received"]["bits_per_second"]
        else:
            quantities["udp"] = said["sum"]["packets"] - said["sum"]["lost_packets"]
    return quantities


def once(count: int, kind: str, datapath: str | None = None) -> dict[str, float]:
    """Our lab with ``count`` functions, on another datapath than the run's if one is given."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "steering.yaml"
        file.write_text(service_labs.inline(count, kind))
        with ours.up(file, datapath=datapath) as lab:
            return between(lab, "a", "b", "10.0.0.2")


def measure(runs: int) -> list[Figure]:
    """Ours and the peer in turn, for each kind and number of functions."""
    figures = [Figure(f"{title} through functions that do nothing") for title, _, _ in QUANTITIES.values()]
    for kind, joint in KINDS.items():
        for count in COUNTS if kind == "bridge" else COUNTS[1:]:
            mine: list[dict[str, float]] = []
            peers: list[dict[str, float]] = []
            alone: list[dict[str, float]] = []
            for _ in range(runs):
                mine.append(once(count, kind))
                peers.append(joined(count, kind))
                if kind == "bridge":
                    alone.append(joined(count, "ovs"))
            for figure, (quantity, (_, unit, per)) in zip(figures, QUANTITIES.items(), strict=True):
                name = f"{count} × {kind}"
                one = figure.row(f"{name}: sdnlab", [run[quantity] / per for run in mine], unit)
                other = figure.row(
                    f"{name}: {joint}, plain wires", [run[quantity] / per for run in peers], unit
                )
                if alone:
                    limit = [run[quantity] / per for run in alone]
                    row = figure.row(f"{name}: limit: Open vSwitch alone, a flow for each port", limit, unit)
                    figure.notes.append(f"{name}: ours / Open vSwitch alone: {one.median / row.median:.2f}")
                if quantity == "rtt":
                    figure.within(f"{name}: ours / peer", one, other, 1.1)
                else:
                    figure.faster(f"{name}: ours / peer", one, other, 0.9)
    return figures
