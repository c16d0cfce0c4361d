"""Measures the throughput between two Mininet nodes with iperf3, for a limited time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import Any

from dataplane.hosts.packages import how_to_install
from linux.readiness import readable

_START = 5.0
"""Seconds that a server gets to listen, and a client to connect."""


class CannotMeasure(Exception):
    """The measurement failed; the message says why."""


def measure(client: Any, server: Any, udp: str = "", seconds: int = 5, port: int = 5201) -> list[str]:
    """The rates that server and client saw, as Mininet writes them: ``['9.41 Gbits/sec', '9.43 Gbits/sec']``.

    ``client``, ``server``: nodes with an IPv4 address. ``udp``: the bandwidth to send with; TCP when empty.
    Raises CannotMeasure.
    """
    if shutil.which("iperf3") is None:
        raise CannotMeasure(f"iperf3 is not installed: {how_to_install('iperf3')}")
    if client is server:
        raise CannotMeasure("name two hosts")
    for node in (client, server):
        if not node.IP():
            raise CannotMeasure(f"{node.name} has no IPv4 address")
    words = ["iperf3", "-s", "-1", "-p", str(port), "--forceflush"]
    serving = server.popen(words, stderr=subprocess.STDOUT)
    try:
        _listening(serving, server.name)
        words = ["iperf3", "-c", server.IP(), "-p", str(port), "-t", str(seconds), "-J"]
        words += ["--connect-timeout", str(int(_START * 1000)), *(["-u", "-b", udp] if udp else [])]
        asking = client.popen(words, stderr=subprocess.STDOUT, text=True)
        try:
            said, _ = asking.communicate(timeout=seconds + 2 * _START)
        except subprocess.TimeoutExpired:
            raise CannotMeasure(f"no answer from {server.name} in {seconds + 2 * _START:.0f} s") from None
        finally:
            asking.kill()
            asking.wait()
    finally:
        serving.kill()
        serving.wait()
    return _rates(said)


def _listening(serving: subprocess.Popen[bytes], name: str) -> None:
    assert serving.stdout is not None
    deadline, said = time.monotonic() + _START, b""
    while b"listening" not in said:
        ready = readable([serving.stdout], max(0.0, deadline - time.monotonic()))
        more = os.read(serving.stdout.fileno(), 4096) if ready else b""
        if not more:
            words = said.decode(errors="replace").strip("-\n ") or "it says nothing"
            raise CannotMeasure(f"iperf3 does not listen at {name}: {words}")
        said += more


def _rates(said: str) -> list[str]:
    try:
        report = json.loads(said)
    except ValueError:
        raise CannotMeasure(f"iperf3 says: {said.strip()[:200]}") from None
    if "error" in report:
        raise CannotMeasure(f"iperf3 says: {report['error']}")
    end = report["end"]
    sums = [end[key] for key in ("sum_received", "sum_sent") if key in end] or [end["sum"], end["sum"]]
    return [rate(total["bits_per_second"]) for total in sums]


def rate(bits: float) -> str:
    """Bits a second as iperf writes them."""
    for unit in ("bits", "Kbits", "Mbits"):
        if bits < 1000:
            return f"{bits:.3g} {unit}/sec"
        bits /= 1000
    return f"{bits:.3g} Gbits/sec"
