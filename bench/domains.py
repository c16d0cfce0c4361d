"""What a second and a fifth domain cost, and fifty of them with a hundred networks."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench import ours
from bench.figures import Figure

_COMPILE = """
import sys, time
import topologies, controller.compiler.compile
topology = topologies.load(sys.argv[1])
begin = time.perf_counter()
tables = controller.compiler.compile.compile_topology(topology)
seconds = time.perf_counter() - begin
counts = sorted(len(each.flows) for name, each in tables.items() if name.startswith("s"))
tunnel = sorted(len(each.flows) for name, each in tables.items() if name.startswith("vtep"))
print(seconds, sum(counts) + sum(tunnel), *counts[len(counts) // 2 : len(counts) // 2 + 1], counts[-1],
      tunnel[len(tunnel) // 2] if tunnel else 0, tunnel[-1] if tunnel else 0)
"""


def several(domains: int) -> str:
    """Ten hosts of one network on as many domains, a switch in each."""
    lines = [f"domains: [{', '.join(f'd{d}' for d in range(1, domains + 1))}]", "switches:"]
    lines += [f"  s{d}: {{domain: d{d}}}" for d in range(1, domains + 1)]
    lines += ["hosts:"] + [f"  h{h}: s{h % domains + 1}" for h in range(10)]
    return "\n".join(lines) + "\n"


def mesh(domains: int = 50, networks: int = 100, members: int = 8) -> str:
    """``members`` hosts of each network, each in another domain, so that every two domains share some."""
    lines = [f"domains: [{', '.join(f'd{d}' for d in range(domains))}]", "switches:"]
    lines += [f"  s{d}: {{domain: d{d}}}" for d in range(domains)]
    lines += ["networks:"] + [f"  n{n}: {{vni: {n + 1}, subnet4: 10.0.0.0/16}}" for n in range(networks)]
    lines += ["hosts:"]
    for n in range(networks):
        steps = [(m * m * (n % 7 + 1) + m * (n + 1)) % domains for m in range(domains)]
        places = list(dict.fromkeys(steps + list(range(domains))))[:members]
        lines += [f"  h{n}-{m}: {{switch: s{d}, network: n{n}}}" for m, d in enumerate(places)]
    return "\n".join(lines) + "\n"


def measure(runs: int) -> list[Figure]:
    """Small labs ``runs`` times; the big one once as a lab."""
    figures = []
    added = Figure("ten hosts on one, two and five domains: start, and memory of all processes (PSS)")
    for domains in (1, 2, 5):
        starts, used = [], []
        for _ in range(runs):
            with _lab(several(domains)) as file, ours.up(file) as lab:
                starts.append(lab.seconds)
                used.append(ours.memory(lab.processes()))
        added.row(f"{domains} domains: sdnlab up -d", starts)
        added.row(f"{domains} domains: memory", used, "MB")
    figures.append(added)

    big = Figure("50 domains in full mesh, 100 networks of 8 hosts in 8 domains")
    with _lab(mesh()) as file:
        command = [sys.executable, "-c", _COMPILE, str(file)]
        compiled = [
            [
                float(word)
                for word in subprocess.run(
                    command, check=True, capture_output=True, text=True, cwd=ours.ROOT
                ).stdout.split()
            ]
            for _ in range(runs)
        ]
        big.row("compile", [run[0] for run in compiled])
        columns = [median(column) for column in zip(*compiled, strict=True)]
        flows, middle, most, tunnel, tunnel_most = columns[1:]
        big.notes.append(
            f"{flows:.0f} flows in all; of a switch {middle:.0f} (median) and {most:.0f} (most), of a tunnel "
            f"switch {tunnel:.0f} and {tunnel_most:.0f}"
        )
        with ours.up(file, check=False, timeout=400) as lab:
            stages = lab.stages()
            big.row("from the order to all switches programmed", [sum(stages.values())])
            big.row("of that, after the last daemon and port was there", [stages.get("programming", 0.0)])
            big.row("memory", [ours.memory(lab.processes())], "MB")
            result = lab.post("/ping", {"timeout": 120.0})
            big.notes.append(
                f"all pairs: {result['reached']} of {result['total']} reached in {result['seconds']:.1f} s"
            )
    figures.append(big)
    return figures


class _lab:
    """A topology file for the with block."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __enter__(self) -> Path:
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "lab.yaml"
        file.write_text(self.text, encoding="utf-8")
        return file

    def __exit__(self, *_: object) -> None:
        self.folder.cleanup()
