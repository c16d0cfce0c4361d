"""A link on the active path of ``leaf-spine`` dies under a stream of pings, one each millisecond."""

from __future__ import annotations

from functools import partial

from bench import ours
from bench.figures import Figure, Row
from bench.under_stream import during

SOURCE, TARGET = "h1", "h7"
COUNT, INTERVAL = 2000, 0.001


def cut_under_stream(lab: ours.Up, link: str, target: str) -> tuple[float, float]:
    """Lost pings and the longest silence in ms when ``link`` is cut in mid-stream; it is mended after."""
    try:
        return during(
            lab, SOURCE, target, COUNT, INTERVAL, partial(lab.post, f"/links/{link}", {"up": False})
        )
    finally:
        lab.post(f"/links/{link}", {"up": True})
        whole(lab)


def whole(lab: ours.Up, tries: int = 20) -> None:
    """Wait until all pairs are reached again."""
    for _ in range(tries):
        result = lab.post("/ping", {"timeout": 2.0})
        if result["reached"] == result["total"]:
            return
    raise ours.Failed("the mended lab did not become whole")


def measure(runs: int) -> list[Figure]:
    """Cut each uplink of both leaves in turn: requests take one path and replies another, by a hash."""
    lost: dict[str, list[float]] = {}
    silent: dict[str, list[float]] = {}
    with ours.up(ours.ROOT / "topologies/leaf-spine.yaml") as lab:
        status = lab.api("/status")
        hosts = {host["name"]: host for host in status["hosts"]}
        target = hosts[TARGET]["ipv4"].partition("/")[0]
        leaves = {hosts[SOURCE]["switch"], hosts[TARGET]["switch"]}
        links = [
            link["name"]
            for link in status["links"]
            if leaves & {link["a"].rpartition(":")[0], link["b"].rpartition(":")[0]}
        ]
        for _ in range(runs):
            for link in links:
                count, silence = cut_under_stream(lab, link, target)
                lost.setdefault(link, []).append(count)
                silent.setdefault(link, []).append(silence)
    figure = Figure(f"Pings lost when a link dies (leaf-spine, {SOURCE} to {TARGET}, one each millisecond)")
    rows = [figure.row(f"cut {link}: lost", lost[link], "pings") for link in links]
    worst_runs = [max(lost[link][run] for link in links) for run in range(runs)]
    worst = figure.row("the worst cut of each round", worst_runs, "pings")
    figure.row("longest silence of each round", [max(silent[k][n] for k in links) for n in range(runs)], "ms")
    figure.within("lost at the worst cut", worst, Row("one", (1.0,), "pings"), 9)
    active = [row for row in rows if row.median > 0]
    figure.notes.append(
        f"{len(active)} of the {len(rows)} uplinks of the two leaves lost anything: the others were not "
        "on the path of this flow or its replies (one hash chooses each)."
    )
    return [figure]
