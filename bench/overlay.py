"""Host to host across VXLAN between two domains: our lab, Open vSwitch's settings, Linux itself."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from bench import ours
from bench.figures import Figure

SETTINGS = {
    "linux": "peer: Linux bridge + vxlan device",
    "tunnel": "OVS, AF_PACKET, own tunnel port",
    "afxdp": "OVS, AF_XDP (busy polling), own tunnel port",
    "device": "OVS, AF_PACKET, kernel vxlan device",
    "tso": "OVS, AF_PACKET and TSO, kernel vxlan device (auto)",
}
QUANTITIES = {
    "tcp": ("TCP across VXLAN", "Gbit/s", 1e9),
    "udp": ("64-byte UDP packets received a second across VXLAN", "kpps", 2e3),
    "rtt": ("mean round trip across VXLAN", "ms", 1.0),
}
_NAMESPACES = (
    "unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
    "--propagation", "private",
)  # fmt: skip


def sealed(kind: str, more: int = 0) -> dict[str, float]:
    """One run of ``tunnel.sh``: idle ticks, rtt in ms, bit/s, packets in two seconds."""
    script = str(Path(__file__).with_name("tunnel.sh"))
    done = subprocess.run(
        [*_NAMESPACES, "bash", script, kind, str(more)], capture_output=True, text=True, timeout=90
    )
    if "@@end" not in done.stdout:
        raise ours.Failed(f"{kind}: {(done.stderr or done.stdout)[-300:]}")
    return {name: float(value) for name, value in re.findall(r"@@(\w+) ([0-9.e+]+)", done.stdout)}


def ours_once(lab: ours.Up) -> dict[str, float]:
    """The same three quantities, blue1 to blue3 of ``two-domains``."""
    pings = lab.exec("blue1", ["ping", "-q", "-c", "300", "-i", "0.002", "10.0.0.3"])
    quantities = {"rtt": float(re.findall(r"= [0-9.]+/([0-9.]+)/", pings)[0])}
    for name, options in (("tcp", ["-t", "3"]), ("udp", ["-u", "-b", "0", "-l", "64", "-t", "2"])):
        lab.exec("blue3", ["iperf3", "-s", "-1", "-D"])
        for _ in range(50):
            if ":5201" in lab.exec("blue3", ["ss", "-ltn"]):
                break
        said = json.loads(lab.exec("blue1", ["iperf3", "-J", "-c", "10.0.0.3", *options]))["end"]
        if name == "tcp":
            quantities["tcp"] = said["sum_received"]["bits_per_second"]
        else:
            quantities["udp"] = said["sum"]["packets"] - said["sum"]["lost_packets"]
    return quantities


def measure(runs: int) -> list[Figure]:
    """All settings in turn, ``runs`` times over."""
    samples: dict[str, list[dict[str, float]]] = {kind: [] for kind in SETTINGS}
    lab_samples: list[dict[str, float]] = []
    for _ in range(runs):
        for kind in SETTINGS:
            samples[kind].append(sealed(kind))
        with ours.up(ours.ROOT / "topologies/two-domains.yaml") as lab:
            lab_samples.append(ours_once(lab))
    crowded = {kind: [sealed(kind, 3) for _ in range(runs)] for kind in ("afxdp", "tso")}
    figures = []
    for quantity, (title, unit, per) in QUANTITIES.items():
        figure = Figure(title)
        for kind, name in SETTINGS.items():
            figure.row(name, [run[quantity] / per for run in samples[kind]], unit)
        figure.row("sdnlab, two-domains", [run[quantity] / per for run in lab_samples], unit)
        for kind, crowded_samples in crowded.items():
            name = f"{SETTINGS[kind]}, three more domains beside"
            figure.row(name, [run[quantity] / per for run in crowded_samples], unit)
        linux, *others = figure.rows
        shares = "; ".join(f"{row.name}: {row.median / linux.median:.2f}" for row in others)
        figure.notes.append(f"divided by Linux's own: {shares}")
        figures.append(figure)
    idle = ", ".join(f"{SETTINGS[k]}: {samples[k][0]['idle'] / 200:.2f}" for k in SETTINGS if k != "linux")
    figures[0].notes.append(f"processors used by two idle domains: {idle}")
    return figures
