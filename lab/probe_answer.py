"""The prober's result in the API's words. Pure."""

from __future__ import annotations

import statistics
from collections import Counter

from lab.messages import PingResult
from lab.prober import ProbeResult
from topologies.model import Topology

PAIRS_SHOWN = 2000
"""A result with more pairs lists those that were not reached: 40,000 cost a second to pass on."""


def ping_result(
    topology: Topology, result: ProbeResult, links_down: list[str], detail: str = "auto"
) -> PingResult:
    """The prober's result in the API's words."""
    whole = detail == "all" or result.total <= PAIRS_SHOWN
    good = Counter(family for _, _, family in result.rtt)
    bad = Counter(failure.family for failure in result.failures)
    reached = [
        {"src": src, "dst": dst, "family": family, "reached": True, "rtt": rtt, "reason": ""}
        for (src, dst, family), rtt in (result.rtt.items() if whole else ())
    ]
    failed = [
        {"src": f.src, "dst": f.dst, "family": f.family, "reached": False, "rtt": None, "reason": f.reason}
        for f in result.failures
    ]
    return {
        "hosts": [host.name for host in topology.hosts],
        "families": list(result.families),
        "method": result.method,
        "note": result.note,
        "total": result.total,
        "reached": result.reached,
        "seconds": result.seconds,
        "frames_sent": result.frames_sent,
        "links_down": links_down,
        "counts": [
            {"family": family, "reached": good[family], "total": good[family] + bad[family]}
            for family in result.families
        ],
        "median": statistics.median(result.rtt.values()) if result.rtt else None,
        "pairs": [*reached, *failed],  # type: ignore[list-item]
    }
