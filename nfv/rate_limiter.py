"""A rate limiter: a bridge whose both ends send through a token bucket (tc-tbf(8)).

A TCP super-packet that is larger than the burst is cut into its segments by the bucket itself, so only a
burst smaller than one frame would stop traffic for good; ``limits`` keeps it larger.

``rate.json``: ``bandwidth`` in bit/s in each direction, ``burst`` in bytes.
"""

from __future__ import annotations

import json

from nfv import devices
from nfv.lines import INWARD, OUTWARD, say
from nfv.process import Failed, Loop, command, content, fail, running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

QUEUE_SECONDS = 0.1
FEWEST_FRAMES = 20
ETHERNET = 18
"""Octets of a frame beside what the MTU counts: header and a VLAN tag."""


def limits(bandwidth: int, burst: int, mtu: int) -> tuple[int, int, int]:
    """Bytes a second, bytes at once, and bytes that may wait: a tenth of a second's, at least 20 frames'."""
    rate = max(1, bandwidth // 8)
    frame = mtu + ETHERNET
    waiting = max(FEWEST_FRAMES * frame, int(rate * QUEUE_SECONDS))
    return rate, max(burst, frame), waiting


def buckets(bandwidth: int, burst: int, mtu: int) -> list[str]:
    """Lines for ``tc -batch`` that set the rate of both directions, also while packets wait."""
    rate, at_once, waiting = limits(bandwidth, burst, mtu)
    bucket = f"tbf rate {rate}bps burst {at_once} limit {at_once + waiting}"
    return [f"qdisc replace dev {device} root handle 1: {bucket}" for device in (INWARD, OUTWARD)]


def dropped(shown: str) -> int:
    """Packets that the buckets dropped, from what ``tc -s -j qdisc show`` wrote."""
    return sum(each.get("drops", 0) for each in json.loads(shown) if each.get("kind") == "tbf")


def _set() -> None:
    wanted = json.loads(content("rate.json"))
    lines = buckets(wanted["bandwidth"], wanted["burst"], devices.mtu(INWARD))
    command(("tc", "-batch", "-"), "iproute2", "\n".join(lines) + "\n")


def _replace() -> None:
    try:
        _set()
    except Failed as reason:
        running(f"the changed rate was not taken: {reason}")
    else:
        running()


def _count() -> None:
    found: dict[str, Any] = devices.counters()
    found["dropped"] += dropped(command(("tc", "-s", "-j", "qdisc", "show"), "iproute2"))
    say("counters", **found)


def main() -> None:
    """Limit, and count each second, until the standard input ends."""
    try:
        _set()
        devices.join(filtered=False)
    except Failed as reason:
        fail(reason)
    running()
    loop = Loop()
    loop.every(1.0, _count)
    loop.run(_replace)
