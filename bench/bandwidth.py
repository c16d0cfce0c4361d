"""What TCP and UDP get of a wire's bandwidth, against the same setting of ``tc`` between Linux bridges."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import ours
from bench.figures import Figure, Ratio
from bench.sealed import NAMESPACES

RATES = {"1mbit": 10**6, "10mbit": 10**7, "100mbit": 10**8, "1gbit": 10**9}
CONTROLS = ("reno", "cubic", "bbr", "udp")
SECONDS = 5
PAYLOAD = 1400
TRIES = 4
LEAST = 0.95
"""Of what the peer gets; more than the peer is no fault: the wire itself passes no more than its rate."""
FILE = "switches: [s1, s2]\nhosts: {h1: s1, h2: s2}\nlinks: [{ends: [s1, s2], bandwidth: %s}]\n"


def received(report: str) -> float:
    """Mbit/s that arrived, from iperf3's report."""
    told: dict[str, Any] = json.loads(report)
    if "error" in told:
        raise ours.Failed(f"iperf3: {told['error']}")
    end = told["end"]
    if "sum_received" in end and end["sum_received"].get("bytes"):
        return float(end["sum_received"]["bits_per_second"]) / 1e6
    total = end["sum"]
    return float(total["bits_per_second"]) * (1 - total["lost_percent"] / 100) / 1e6


def setting(rate: int) -> tuple[int, int]:
    """The burst and the queue of our token bucket for this rate, in bytes."""
    from dataplane.netlink.shaping import burst_of, token_bucket
    from topologies.model.wires import Shaping

    return burst_of(rate), struct.unpack_from("=I", token_bucket(Shaping(bandwidth=rate)), 4 + 24)[0]


def bridge(rate: int) -> dict[str, float]:
    """The peer: ``plain_bandwidth.sh``, all kinds of traffic one after the other."""
    script = str(Path(__file__).with_name("plain_bandwidth.sh"))
    words = [str(number) for number in (rate, *setting(rate), SECONDS)]
    done = subprocess.run(
        [*NAMESPACES, "bash", script, *words, *CONTROLS], capture_output=True, text=True, timeout=120
    )
    if "@@end" not in done.stdout:
        raise ours.Failed(f"the bridge with {rate} bit/s: {(done.stderr or done.stdout)[-300:]}")
    return {control: received(report) for control, report in re.findall(r"@@(\w+) (\{.*)", done.stdout)}


def lab(text: str, rate: int) -> dict[str, float]:
    """Our lab with the same bandwidth between two switches."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bandwidth.yaml"
        file.write_text(FILE % text)
        with ours.up(file, check=False) as up:
            return {control: _ours(up, control, rate, 5201 + 10 * n) for n, control in enumerate(CONTROLS)}


def _ours(up: ours.Up, control: str, rate: int, port: int) -> float:
    """``port``: the first of those of servers: each answers once, so none is busy with an earlier test."""
    options = ["-C", control]
    if control == "udp":
        options = ["-u", "-l", str(PAYLOAD), "-b", str(rate + rate // 10)]
    failure = ours.Failed("")
    for number in range(port, port + TRIES):
        up.exec("h2", ["iperf3", "-s", "-1", "-D", "-p", str(number)])
        time.sleep(0.3)
        words = ["iperf3", "-J", "-c", "h2", "-p", str(number), "-t", str(SECONDS), "-O", "1", *options]
        try:
            return received(up.exec("h1", words))
        except ours.Failed as error:  # on a busy machine: the server did not listen yet
            failure = error
    raise failure


def measure(runs: int) -> list[Figure]:
    """Each rate in turn, ours and the peer one after the other."""
    figures = []
    for text, rate in RATES.items():
        mine: dict[str, list[float]] = {control: [] for control in CONTROLS}
        theirs: dict[str, list[float]] = {control: [] for control in CONTROLS}
        for _ in range(runs):
            for samples, one in ((mine, lab(text, rate)), (theirs, bridge(rate))):
                for control, megabits in one.items():
                    samples[control].append(megabits)
        figure = Figure(f"What arrives over a wire of {text}: payload, received in {SECONDS} s")
        for control in CONTROLS:
            own = figure.row(f"{control}: ours", mine[control], "Mbit/s")
            peer = figure.row(f"{control}: Linux bridges with the same tbf", theirs[control], "Mbit/s")
            figure.ratios.append(Ratio(f"{control}: ours / bridges", own.median / peer.median, LEAST))
        figures.append(figure)
    return figures
