"""Converts the prober's result to the API's answer. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from lab.messages.lab import PingResult
from lab.probe.prober import ProbeResult
from topologies.model.policy import ALLOWED, Expectation, Policy
from topologies.model.topology import Host, Topology

PAIRS_SHOWN = 2000
"""A result with more pairs lists only those that were not reached: 40,000 pairs take a second to send."""


def ping_result(
    topology: Topology,
    result: ProbeResult,
    links_down: list[str],
    detail: str = "auto",
    policy: Policy | None = None,
) -> PingResult:
    """The API's answer: the prober's result, compared with the file (``policy``)."""
    whole = detail == "all" or result.total <= PAIRS_SHOWN
    against = _against(topology, result, policy)
    missed = [against[key] for f in result.failures if (key := (f.src, f.dst, f.family)) in against]
    apart = sum(expected.apart for expected in missed)
    held = len(missed) - apart
    leaked = len(against) - len(missed)
    good = Counter(family for _, _, family in result.rtt)
    bad = Counter(failure.family for failure in result.failures)
    reached = [
        {
            "src": src,
            "dst": dst,
            "family": family,
            "reached": True,
            "rtt": rtt,
            "reason": "",
            **_expected(against.get((src, dst, family), ALLOWED)),
        }
        for (src, dst, family), rtt in result.rtt.items()
        if whole or (src, dst, family) in against
    ]
    failed = [
        {
            "src": f.src,
            "dst": f.dst,
            "family": f.family,
            "reached": False,
            "rtt": None,
            "reason": f.reason,
            **_expected(expected),
        }
        for f in result.failures
        if not (expected := against.get((f.src, f.dst, f.family), ALLOWED)).apart or whole
    ]
    return {
        "hosts": [host.name for host in topology.hosts],
        "families": list(result.families),
        "method": result.method,
        "note": result.note,
        "total": result.total,
        "reached": result.reached,
        "held": held,
        "apart": apart,
        "leaked": leaked,
        "good": result.reached + held + apart == result.total and not leaked,
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


def _expected(expected: Expectation) -> dict[str, str | bool]:
    return {"policy": expected.why, "apart": expected.apart}


def _against(
    topology: Topology, result: ProbeResult, policy: Policy | None
) -> dict[tuple[str, str, int], Expectation]:
    """The probed pairs that should not be reached, and the reasons."""
    if not policy:
        return {}
    hosts = {host.name: host for host in topology.hosts}
    probed = [*result.rtt, *((f.src, f.dst, f.family) for f in result.failures)]
    unwanted = {}
    for src, dst, family in probed:
        expected = policy.ping(hosts[src], hosts[dst], family)
        if expected.allowed is False:
            unwanted[src, dst, family] = expected
    return unwanted


def tellable(
    hosts: Sequence[Host], pairs: Sequence[tuple[str, str]], policy: Policy
) -> tuple[list[tuple[str, str]], str]:
    """The pairs whose result the prober can know from outside, and a note about the others (empty: none)."""
    by_name = {host.name: host for host in hosts}
    kept: list[tuple[str, str]] = []
    whys: Counter[str] = Counter()
    for src, dst in pairs:
        unknown = [
            expected.why
            for family in (4, 6)
            if (expected := policy.ping(by_name[src], by_name[dst], family)).allowed is None
        ]
        if unknown:
            whys[unknown[0]] += 1
        else:
            kept.append((src, dst))
    parts = [f"{number} {'pairs' if number > 1 else 'pair'} left out: {why}" for why, number in whys.items()]
    return kept, "; ".join(parts)
