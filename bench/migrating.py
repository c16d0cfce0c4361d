"""A virtual machine moves to another domain under pings: live, and by stopping and starting it."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from bench import ours
from bench.figures import Figure
from bench.under_stream import during

TOPOLOGY = """\
name: migrating
domains: [a, b]
switches: {s1: {domain: a}, s2: {domain: b}}
links: [[s1, s2]]
hosts:
  h1: {switch: s1, ipv4: 10.0.0.1/16}
  v1: {switch: s1, vm: micro, ipv4: 10.0.0.2/16}
"""
PINGS, INTERVAL = 1500, 0.01
"""15 seconds: a machine that is stopped and started is back by then, from the snapshot of its boot."""


def measure(runs: int) -> list[Figure]:
    """There and back, in each way, in turn."""
    live: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    answers: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "migrating.yaml"
        file.write_text(TOPOLOGY, encoding="utf-8")
        with ours.up(file) as lab:
            for _ in range(runs):
                for domain in ("b", "a"):
                    live.append(
                        during(
                            lab, "h1", "10.0.0.2", PINGS, INTERVAL, partial(_migrate, lab, domain, answers)
                        )
                    )
                for domain in ("b", "a"):
                    again.append(
                        during(lab, "h1", "10.0.0.2", PINGS, INTERVAL, partial(_stop_and_start, lab, domain))
                    )
    figure = Figure("a virtual machine of 256 MiB moves to another domain, one ping each 10 ms")
    figure.row("live: downtime, from STOP to RESUME", [one["downtime"] for one in answers], "ms")
    figure.row("live: downtime that QEMU tells", [one["downtime_qemu"] for one in answers], "ms")
    figure.row("live: the whole command", [one["seconds"] for one in answers])
    figure.row("live: pings lost", [lost for lost, _ in live], "")
    figure.row("live: longest silence", [silence for _, silence in live], "ms")
    figure.row("stopped, moved and started: pings lost", [lost for lost, _ in again], "")
    figure.row("stopped, moved and started: longest silence", [silence for _, silence in again], "ms")
    figure.notes.append("stopped and started: its memory and connections are gone")
    return [figure]


def _migrate(lab: ours.Up, domain: str, answers: list[dict[str, Any]]) -> None:
    answers.append(lab.post("/hosts/v1/migrate", {"domain": domain}))


def _stop_and_start(lab: ours.Up, domain: str) -> None:
    lab.post("/hosts/v1/power", {"action": "stop"})
    lab.post("/hosts/v1/move", {"domain": domain})
    lab.post("/hosts/v1/power", {"action": "start"})
