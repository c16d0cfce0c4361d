"""Rows of 10, 60 and 300 switches with a host at each end: start, memory, round trip; against ``mn``."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from bench import ours, sealed
from bench.figures import Figure
from bench.shapes import Shape

LENGTHS = (10, 60, 300)
PINGS = 20
_ROUND_TRIP = re.compile(r"= [\d.]+/([\d.]+)/")


def row(switches: int) -> Shape:
    """A row of switches with a host at each end."""
    links = tuple((n, n + 1) for n in range(1, switches))
    return Shape(f"row-{switches}", f"linear,{switches}", switches, (1, switches), links)


def mn(shape: Shape) -> float:
    """Seconds until Debian's ``mn`` has started a row of as many switches, which has a host at each."""
    command = ["mn", "--switch", "ovs,datapath=user", "--topo", shape.mn, "--controller", "none"]
    seen = sealed.run([*command, "--test", "none"], timeout=300)
    if seen.code:
        raise ValueError(f"mn: exit {seen.code}: {seen.text[-300:]}")
    return seen.when("*** Stopping 0 controllers")


def measure(runs: int) -> list[Figure]:
    """Each row in turn; the peer once, since it takes minutes."""
    return [_row(row(switches), runs) for switches in LENGTHS]


def _row(shape: Shape, runs: int) -> Figure:
    starts, used, trips, stops = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        file = shape.write(Path(folder))
        for _ in range(runs):
            with ours.up(file) as lab:
                starts.append(lab.seconds)
                used.append(ours.memory(lab.processes()))
                said = lab.exec("h1", ["ping", "-c", f"{PINGS + 1}", "-i", "0.05", "-q", "h2"])
                median = _ROUND_TRIP.search(said)
                if median is None:
                    raise ours.Failed(f"no ping from end to end: {said[-300:]}")
                trips.append(float(median[1]))
                stops.append(ours.down())
    figure = Figure(f"A row of {shape.switches} switches, a host at each end")
    mine = figure.row("start: ./sdnlab up, programmed, proven, each link by packets", starts)
    figure.row("memory of all processes, all tables installed", used, "MB")
    figure.row("mean round trip from end to end", trips, "ms")
    figure.row("stop: ./sdnlab down", stops)
    try:
        peer = figure.row("start: mn, without controller, a host at each switch", [mn(shape)])
    except (TimeoutError, ValueError) as error:
        figure.notes.append(f"mn did not get that far: {str(error)[-300:]}")
    else:
        figure.faster("start: mn / ours", peer, mine, 1)
    return figure
