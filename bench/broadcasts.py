"""Frames on each wire for one broadcast in the shipped campus, which is full of loops."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import topologies
from bench import ours
from bench.figures import Figure
from topologies import shipped
from topologies.model.topology import Topology

SENDER = "staff1"
SETTLED = 0.5
"""Seconds after which no copy of a broadcast is on its way any more, or it circles."""
_SEND = (
    "import socket, sys\n"
    "raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
    "raw.bind((sys.argv[1], 0))\n"
    "raw.send(bytes.fromhex(sys.argv[2]))\n"
)


def measure(runs: int) -> list[Figure]:
    """One run: what is counted doesn't vary."""
    topology = topologies.load(shipped.path("campus"))
    network = next(host.network for host in topology.hosts if host.name == SENDER)
    with tempfile.TemporaryDirectory() as folder, ours.up(shipped.path("campus")) as lab:
        file = Path(folder) / "wire.pcap"
        counts = {wire: _frames(lab, wire, file, topology) for wire in _wires(topology)}
    links = Counter(counts[link.name] for link in topology.links)
    members = {host.name for host in topology.hosts if host.network == network} - {SENDER}
    others = {host.name for host in topology.hosts if host.network != network}
    figure = Figure(f"Frames on each wire for one broadcast of {SENDER} in campus")
    for number in sorted(links):
        figure.row(f"links with {number} of {len(topology.links)}", [links[number]], "links")
    figure.row(
        f"least of the {len(members)} other hosts of {network}", [min(counts[n] for n in members)], "frames"
    )
    figure.row("most of them", [max(counts[n] for n in members)], "frames")
    figure.row(
        f"most of the {len(others)} hosts of other networks", [max(counts[n] for n in others)], "frames"
    )
    figure.row("its own wire, from it and back", [counts[SENDER]], "frames")
    figure.notes.append("Each wire is captured by itself, while another broadcast is sent.")
    return [figure]


def _wires(topology: Topology) -> list[str]:
    return [*(link.name for link in topology.links), *(host.name for host in topology.hosts)]


def _frames(lab: ours.Up, wire: str, file: Path, topology: Topology) -> int:
    """How many copies of one broadcast a wire carries, in both directions."""
    text = f"to all, seen at {wire}".encode()
    mac = next(host.mac for host in topology.hosts if host.name == SENDER)
    frame = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x88\xb5" + text
    file.unlink(missing_ok=True)
    capture = subprocess.Popen(
        [ours.SDNLAB, "capture", "--lab", ours.NAME, wire, "-w", str(file)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while not file.exists() or file.stat().st_size < 24:
            if time.monotonic() > end:
                raise ours.Failed(f"no capture of {wire}")
            time.sleep(0.02)
        lab.exec(SENDER, ["python3", "-c", _SEND, f"{SENDER}-eth0", frame.hex()])
        time.sleep(SETTLED)
    finally:
        capture.terminate()
        capture.wait(120)
    return file.read_bytes().count(text)
