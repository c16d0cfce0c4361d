"""The text about volumes: pure functions from a lab's answers to text."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lab.cli.say import Paint, table
from lab.messages.lab import VolumeInfo


def volumes(states: Sequence[VolumeInfo], paint: Paint) -> str:
    """The page of ``sdnlab volume list``: a line for each volume."""
    if not states:
        return "this lab has no volumes; see: topologies/README.md, storage"
    rows = []
    for state in states:
        where = f"{state['host']}:{state['path']}" if state["path"] else state["host"] or "-"
        used = "-" if state["used"] is None else mebibytes(state["used"])
        copies = ", ".join(_copy(state, number, paint) for number in range(len(state["copies"])))
        size, snapshots = mebibytes(state["size"]), str(len(state["snapshots"]))
        kept = state["keep"] or "-"
        rows.append([state["name"], state["pool"], size, used, where, copies, snapshots, kept])
    heads = ["VOLUME", "POOL", "SIZE", "USED", "AT", "COPIES", "SNAPSHOTS", "KEPT IN"]
    parts = [table(heads, rows, paint, right=(2, 3, 6))]
    parts += [f"{paint('!', 'red', 'bold')} {s['name']}: {s['trouble']}" for s in states if s["trouble"]]
    return "\n".join(parts)


def _copy(state: VolumeInfo, number: int, paint: Paint) -> str:
    copy = state["copies"][number]
    if copy["state"] == "current":
        return paint(copy["host"], "green")
    if copy["state"] == "rebuilding":
        return paint(f"{copy['host']} (rebuilt to {state['rebuilt']:.0%})", "yellow")
    return f"{copy['host']} ({paint(copy['state'], 'red') if copy['state'] == 'lost' else copy['state']})"


def snapshots(state: VolumeInfo, paint: Paint) -> str:
    """The snapshots of a volume."""
    if not state["snapshots"]:
        return f"{state['name']} has no snapshots"
    rows = [
        [snapshot["name"], time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(snapshot["saved"]))]
        for snapshot in state["snapshots"]
    ]
    return table(["SNAPSHOT", "SAVED"], rows, paint)


def mebibytes(number: int) -> str:
    """``256 MiB``, or ``1.5 MiB`` of a small number of bytes."""
    whole = number / (1 << 20)
    return f"{whole:.0f} MiB" if whole >= 10 else f"{whole:.1f} MiB"
