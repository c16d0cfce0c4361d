"""A rate limiter: a bridge with a token bucket (tc-tbf(8)) at each end.

The controller's probes must not wait with the limited packets: otherwise a busy limiter would count as
failed.  So the bucket is below a class of tc-htb(8) that limits nothing, and probes have a second class with
a higher priority.  That class has a rate of its own, enough for probes; so their EtherType can't bypass the
limit.  (The kernel's log says once that the bucket is "non-work-conserving", which is intended.)

The bucket segments a TCP super-packet that is larger than the burst (the lab's hosts send none, because this
slows BBR down).  Only a burst smaller than one frame would stop all traffic; ``limits`` keeps it larger.

``rate.json``: ``bandwidth`` in bit/s in each direction, ``burst`` in bytes.
"""

from __future__ import annotations

import json

from nfv import devices
from nfv.lines import INWARD, OUTWARD, say
from nfv.process import Failed, Loop, command, content, fail, running
from wire import ethertype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

QUEUE_SECONDS = 0.1
FEWEST_FRAMES = 20
ETHERNET = 18
"""Octets of a frame in addition to the MTU: header and a VLAN tag."""

PROBES = "rate 1mbit burst 15kb cburst 15kb prio 0 quantum 1514"
"""The class of probes: enough for a thousand probes a second; one limiter gets a few tens."""
REST = "rate 100gbit burst 1mb cburst 1mb prio 1 quantum 60000"


def limits(bandwidth: int, burst: int, mtu: int) -> tuple[int, int, int]:
    """Bytes per second, burst in bytes, and queue in bytes: those of 0.1 s, at least 20 frames."""
    rate = max(1, bandwidth // 8)
    frame = mtu + ETHERNET
    waiting = max(FEWEST_FRAMES * frame, int(rate * QUEUE_SECONDS))
    return rate, max(burst, frame), waiting


def classes() -> list[str]:
    """Lines for ``tc -batch``, once before ``buckets``: a class of their own for probes, in both
    directions."""
    return [
        line
        for device in (INWARD, OUTWARD)
        for line in (
            f"qdisc replace dev {device} root handle 1: htb default 2",
            f"class replace dev {device} parent 1: classid 1:1 htb {PROBES}",
            f"class replace dev {device} parent 1: classid 1:2 htb {REST}",
            f"filter add dev {device} parent 1: protocol {ethertype.PROBE:#06x} prio 1"
            " u32 match u32 0 0 flowid 1:1",
        )
    ]


def buckets(bandwidth: int, burst: int, mtu: int) -> list[str]:
    """Lines for ``tc -batch`` that set the rate of both directions, also while packets wait."""
    rate, at_once, waiting = limits(bandwidth, burst, mtu)
    bucket = f"tbf rate {rate}bps burst {at_once} limit {at_once + waiting}"
    return [f"qdisc replace dev {device} parent 1:2 handle 2: {bucket}" for device in (INWARD, OUTWARD)]


def dropped(shown: str) -> int:
    """Packets that the buckets dropped, from the output of ``tc -s -j qdisc show``."""
    return sum(qdisc.get("drops", 0) for qdisc in json.loads(shown) if qdisc.get("kind") == "tbf")


def _set(before: Sequence[str] = ()) -> None:
    wanted = json.loads(content("rate.json"))
    lines = [*before, *buckets(wanted["bandwidth"], wanted["burst"], devices.mtu(INWARD))]
    command(("tc", "-batch", "-"), "iproute2", "\n".join(lines) + "\n")


def _replace() -> None:
    try:
        _set()
    except Failed as reason:
        running(f"the changed rate was not taken: {reason}")
    else:
        running()


def _count() -> None:
    counts: dict[str, Any] = devices.counters()
    counts["dropped"] += dropped(command(("tc", "-s", "-j", "qdisc", "show"), "iproute2"))
    say("counters", **counts)


def main() -> None:
    """Limit, and count each second, until the standard input ends."""
    try:
        _set(classes())
        devices.join(filtered=False)
        # Otherwise waiting packets count in the send buffer of their sender's socket. Open vSwitch in
        # userspace sends through one socket for all ports (netdev-linux's AF_PACKET), and loses other frames,
        # probes too, when its buffer is full. A bridge that is promiscuous itself forwards a copy, which
        # counts for no socket.
        devices.ip([f"link set dev {devices.BRIDGE} promisc on"])
    except Failed as reason:
        fail(reason)
    running()
    loop = Loop()
    loop.every(1.0, _count)
    loop.run(_replace)
