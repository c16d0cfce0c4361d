"""First and second packet from end to end of a row of switches, ARP included, with the same ``ping``."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from bench import ours, sealed, shapes
from bench.figures import Figure

SWITCHES = 10
_RTT = re.compile(r"icmp_seq=(\d+) .*time=([\d.]+) ms")


def round_trips(text: str) -> tuple[float, float]:
    """Round-trip times of the first and the second ping, in ms."""
    times = {int(number): float(time) for number, time in _RTT.findall(text)}
    if not {1, 2} <= times.keys():
        raise ours.Failed(f"ping: {text[-500:]}")
    return times[1], times[2]


def reactive() -> tuple[float, float]:
    """The learning switch: a fresh network each time."""
    lab = str(Path(__file__).with_name("reactive_lab.py"))
    seen = sealed.run(["/usr/bin/python3", lab, sys.executable, str(SWITCHES)], timeout=90)
    return round_trips(seen.text)


def proactive(file: Path, check: bool | str) -> tuple[float, float]:
    """Ours: a fresh lab each time, in which no packet was sent before, or only the check of ``up``."""
    with ours.up(file, check=check) as lab:
        target = lab.api("/status")["hosts"][-1]["ipv4"].partition("/")[0]
        return round_trips(lab.exec("h1", ["ping", "-c", "2", "-i", "0.5", target]))


def measure(runs: int) -> list[Figure]:
    """Both, in turns."""
    theirs, mine, checked = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        file = shapes.linear(SWITCHES).write(Path(folder))
        for _ in range(runs):
            theirs.append(reactive())
            mine.append(proactive(file, check=False))
            checked.append(proactive(file, check="all"))
    figure = Figure(f"First packet across linear,{SWITCHES}")
    their_first = figure.row("learning switch on os-ken: first ping", [first for first, _ in theirs], "ms")
    figure.row("learning switch on os-ken: second ping", [second for _, second in theirs], "ms")
    first = figure.row("sdnlab, no packet sent before: first ping", [first for first, _ in mine], "ms")
    second = figure.row("sdnlab, no packet sent before: second ping", [second for _, second in mine], "ms")
    after = figure.row("sdnlab, after the check of up: first ping", [first for first, _ in checked], "ms")
    later = figure.row("sdnlab, after the check of up: second ping", [second for _, second in checked], "ms")
    figure.within("first / second, ours, no packet sent before", first, second, 1.5)
    figure.within("first / second, ours, after the check of up", after, later, 1.5)
    figure.faster("first: learning switch / ours", their_first, first, 10)
    return [figure]
