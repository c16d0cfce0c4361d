"""All pairs among 64 hosts on one switch: ``sdnlab ping`` against Mininet's ``pingall``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench import ours, sealed, shapes
from bench.figures import Figure

HOSTS = 64
PEER_RUNS = 1
"""The peer takes a minute a run and hardly varies."""


def mn(shape: shapes.Shape) -> float:
    """Seconds of ``pingall`` (4,032 pings, one after the other), on a switch that learns by itself."""
    switch = "ovs,datapath=user,failMode=standalone"
    command = ["mn", "--switch", switch, "--topo", shape.mn, "--controller", "none", "--test", "pingall"]
    seen = sealed.run(command, timeout=400)
    if "0% dropped" not in seen.text:
        raise ours.Failed(f"mn's pingall: {seen.text[-500:]}")
    return seen.when("*** Results:") - seen.when("*** Ping: testing ping reachability")


def measure(runs: int) -> list[Figure]:
    """Both, the peer fewer times."""
    shape = shapes.single(HOSTS)
    peer = [mn(shape) for _ in range(min(runs, PEER_RUNS))]
    whole, inside = [], []
    what = ""
    with tempfile.TemporaryDirectory() as folder, ours.up(shape.write(Path(folder)), check=False):
        for _ in range(runs):
            seconds, output = ours.sdnlab(["ping", "--json", "--lab", ours.NAME])
            result = json.loads(output)
            if result["reached"] != result["total"]:
                raise ours.Failed(f"{result['reached']} of {result['total']} pairs reached")
            whole.append(seconds)
            inside.append(result["seconds"])
            families = " and ".join(f"IPv{family}" for family in result["families"])
            what = f"{result['total']:,} pairs ({families})"
    figure = Figure(f"All pairs among {HOSTS} hosts")
    theirs = figure.row(f"mn's pingall, {HOSTS * (HOSTS - 1):,} pairs (IPv4)", peer)
    mine = figure.row(f"sdnlab ping, {what}, the whole command", whole)
    figure.row("… of it: probing", inside)
    figure.faster("mn's pingall / sdnlab ping", theirs, mine, 30)
    return [figure]
