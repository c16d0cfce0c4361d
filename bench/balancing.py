"""The layer-4 load balancer against HAProxy in TCP mode: connections a second, distribution, disruption."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import ours, service_labs
from bench.figures import Figure
from bench.firewalls import PROGRAM, open_connections, serving

BACKENDS, MANY = 10, 10_000
ENGINES = {"openflow": "sdnlab, flows", "haproxy": "peer: HAProxy in TCP mode"}


def once(engine: str) -> dict[str, float]:
    """One lab: connections a second; how evenly 10,000 are spread; what failed while a backend left."""
    names = [f"web{number}" for number in range(1, BACKENDS + 1)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "balanced.yaml"
        file.write_text(service_labs.balanced(engine, BACKENDS))
        with ours.up(file) as lab, serving(lab, *names, port=80) as servers:
            _until_up(lab, BACKENDS)
            opened = open_connections(lab, "client", "10.0.0.100", 80, f"#{MANY}")
            answered = opened["answered"]
            assert isinstance(answered, dict) and isinstance(opened["seconds"], float)
            counts = [answered.get(name, 0) for name in names]
            command = [ours.SDNLAB, "exec", "--lab", ours.NAME, "client", "--", sys.executable, PROGRAM]
            opening = subprocess.Popen(
                [*command, "open", "10.0.0.100", "80", "4"], stdout=subprocess.PIPE, text=True
            )
            time.sleep(1.5)  # in mid-stream; nothing waits for this
            servers.stop("web5")
            during = json.loads(opening.communicate(timeout=60)[0])
            return {
                "rate": sum(answered.values()) / opened["seconds"],
                "least": min(counts) / (MANY / BACKENDS),
                "most": max(counts) / (MANY / BACKENDS),
                "failed": float(during["failed"]),
                "opened": float(sum(during["answered"].values())),
            }


def _until_up(lab: ours.Up, wanted: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        functions = lab.api("/functions")
        up = sum(b["up"] for function in functions for b in function.get("backends") or ())
        if up >= wanted:
            return
        if time.monotonic() > deadline:
            raise ours.Failed(f"{up} of {wanted} backends are up")


def measure(runs: int) -> list[Figure]:
    """Both engines in turn."""
    samples: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
    for _ in range(runs):
        for engine in ENGINES:
            samples[engine].append(once(engine))
    figure = Figure("a load balancer before ten servers")
    for engine, name in ENGINES.items():
        figure.row(f"{name}: connections a second", [run["rate"] for run in samples[engine]], "/s")
        figure.row(
            f"{name}: of 10,000, the least loaded server's share of a tenth",
            [run["least"] for run in samples[engine]],
            "",
        )
        figure.row(f"{name}: … the most loaded one's", [run["most"] for run in samples[engine]], "")
        figure.row(
            f"{name}: connections failed while one of ten left",
            [run["failed"] for run in samples[engine]],
            "",
        )
        figure.row(f"{name}: … of so many", [run["opened"] for run in samples[engine]], "")
    return [figure]
