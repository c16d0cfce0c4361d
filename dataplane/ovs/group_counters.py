"""How often a switch has used each bucket of its groups, as Open vSwitch counts it (ovs-ofctl(8))."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

Counters = Mapping[int, tuple[int, ...]]
"""Group -> packets of each of its buckets, in their order."""
_GROUP = re.compile(r"group_id=(\d+),")
_BUCKET = re.compile(r"bucket\d+:packet_count=(\d+)")


def read(folder: Path, bridge: str, timeout: float = 5.0) -> Counters:
    """The counters of a bridge; ``folder``: of its daemon's sockets. Empty when it does not answer."""
    command = ["ovs-ofctl", "-O", "OpenFlow15", "dump-group-stats", f"unix:{folder / bridge}.mgmt"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parsed(done.stdout)


def parsed(said: str) -> Counters:
    """The counters in the output of ``ovs-ofctl dump-group-stats``."""
    counters = {}
    for line in said.splitlines():
        group = _GROUP.search(line)
        if group is not None:
            counters[int(group[1])] = tuple(map(int, _BUCKET.findall(line)))
    return counters


def used(before: Counters, after: Counters) -> dict[int, int]:
    """The groups that have used one bucket, and no other, between two readings; and which, from 0."""
    buckets = {}
    for group, counts in after.items():
        earlier = before.get(group, (0,) * len(counts))
        if len(earlier) == len(counts):
            grown = [number for number, count in enumerate(counts) if count > earlier[number]]
            if len(grown) == 1:
                buckets[group] = grown[0]
    return buckets
