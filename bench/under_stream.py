"""Doing something to a lab under a stream of pings, and counting what that lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench import ours


def during(
    lab: ours.Up, source: str, target: str, count: int, interval: float, act: Callable[[], object]
) -> tuple[float, float]:
    """Lost pings, and the longest silence in ms, while ``act`` is done in mid-stream."""
    program = str(Path(__file__).with_name("stream.py"))
    stream = [sys.executable, program, target, str(count), str(interval)]
    command = [ours.SDNLAB, "exec", "--lab", ours.NAME, source, "--", *stream]
    pings = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert pings.stdout is not None
    try:
        if pings.stdout.readline().strip() != "started":
            raise ours.Failed("the stream of pings got no answer")
        act()
        result = json.loads(pings.communicate(timeout=60)[0])
    finally:
        pings.kill()
        pings.wait()
    return float(result["lost"]), 1000 * float(result["longest_silence"])
