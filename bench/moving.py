"""Pings lost when a host moves to another domain, and when the underlay's path in use is cut."""

from __future__ import annotations

import time
from functools import partial

from bench import ours
from bench.figures import Figure
from bench.under_stream import during


def measure(runs: int) -> list[Figure]:
    """Moves there and back; cuts of each of a domain's two ways; partition and mending."""
    moved: list[tuple[float, float]] = []
    with ours.up(ours.ROOT / "topologies/two-domains.yaml") as lab:
        for _ in range(runs):
            for domain in ("d2", "d1"):
                moved.append(
                    during(
                        lab,
                        "blue3",
                        "10.0.0.1",
                        200,
                        0.01,
                        partial(lab.post, "/hosts/blue1/move", {"domain": domain}),
                    )
                )
    cut: list[tuple[float, float]] = []
    healed: list[float] = []
    with ours.up(ours.ROOT / "topologies/multi-domain.yaml") as lab:
        for _ in range(runs):
            for link in ("d1-r1", "d1-r2"):
                cut.append(
                    during(
                        lab,
                        "web1",
                        "10.1.1.2",
                        1000,
                        0.001,
                        partial(lab.post, f"/links/{link}", {"up": False}),
                    )
                )
                lab.post(f"/links/{link}", {"up": True})
                time.sleep(0.2)
            for link in ("d1-r1", "d1-r2"):
                lab.post(f"/links/{link}", {"up": False})
            lab.post("/links/d1-r1", {"up": True})
            begin = time.monotonic()
            while not lab.post("/ping", {"pairs": [["web1", "web2"]], "timeout": 1.0})["reached"]:
                pass
            healed.append(time.monotonic() - begin)
            lab.post("/links/d1-r2", {"up": True})
    figure = Figure("pings lost when a host moves, and when its domain's underlay link is cut")
    figure.row("host moved, one ping each 10 ms: lost", [lost for lost, _ in moved], "")
    figure.row("host moved: longest silence", [silence for _, silence in moved], "ms")
    figure.row("underlay link cut, one ping each ms: lost", [lost for lost, _ in cut], "")
    figure.row("underlay link cut: longest silence", [silence for _, silence in cut], "ms")
    figure.row("partitioned domain: mending a link to the first ping answered", healed)
    figure.notes.append("half of the cuts hit the path in use; kernels choose it by a hash")
    return [figure]
