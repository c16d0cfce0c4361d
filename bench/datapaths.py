"""Labs on Open vSwitch's kernel datapath and on its userspace one, beside Linux's own bridges, in one run.

Needs the kernel module openvswitch: on most laptops it is there, and in the machine of ``sdnlab test
--in-vm --bench``.
"""

from __future__ import annotations

from bench import ours, overlay, steering
from bench.figures import Figure, Row

COUNTS = (0, 1, 2, 3, 4, 5)
DATAPATHS = ("kernel", "userspace")
PEER = "Linux bridges"


def measure(runs: int) -> list[Figure]:
    """Chains of bridges, then two domains; contestants take turns."""
    return [*_chains(runs), *_overlay(runs)]


def _chains(runs: int) -> list[Figure]:
    samples: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(runs):
        for count in COUNTS:
            samples.setdefault((PEER, count), []).append(steering.joined(count, "bridge"))
            for datapath in DATAPATHS:
                samples.setdefault((datapath, count), []).append(steering.once(count, "bridge", datapath))
    figures = []
    for quantity, (title, unit, per) in steering.QUANTITIES.items():
        figure = Figure(f"{title} through functions that do nothing, by datapath")
        for count in COUNTS:
            name = f"{count} × bridge"
            peer, kernel, userspace = (
                figure.row(f"{name}: {who}", [run[quantity] / per for run in samples[who, count]], unit)
                for who in (PEER, *DATAPATHS)
            )
            _compare(figure, name, quantity, kernel, peer, userspace)
        figures.append(figure)
    return figures


def _overlay(runs: int) -> list[Figure]:
    samples: dict[str, list[dict[str, float]]] = {}
    for _ in range(runs):
        samples.setdefault(PEER, []).append(overlay.sealed("linux"))
        for datapath in DATAPATHS:
            with ours.up(ours.ROOT / "topologies/two-domains.yaml", datapath=datapath) as lab:
                samples.setdefault(datapath, []).append(overlay.ours_once(lab))
    figures = []
    for quantity, (title, unit, per) in overlay.QUANTITIES.items():
        figure = Figure(f"{title}, by datapath")
        peer, kernel, userspace = (
            figure.row(who, [run[quantity] / per for run in samples[who]], unit) for who in (PEER, *DATAPATHS)
        )
        _compare(figure, "two domains", quantity, kernel, peer, userspace)
        figures.append(figure)
    return figures


def _compare(figure: Figure, name: str, quantity: str, kernel: Row, peer: Row, userspace: Row) -> None:
    if quantity == "rtt":
        figure.within(f"{name}: kernel / {PEER}", kernel, peer, 1.2)
    else:
        figure.faster(f"{name}: kernel / {PEER}", kernel, peer, 0.9)
    figure.notes.append(f"{name}: kernel / userspace: {kernel.median / userspace.median:.2f}")
