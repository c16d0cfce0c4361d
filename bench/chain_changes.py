"""Packets lost while a chain changes: 1,000 pings a second through it, as many packets each way."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import ours, service_labs
from bench.figures import Figure
from bench.under_stream import during

COUNT, INTERVAL = 2500, 0.001
Sample = tuple[float, float]


def _kill(lab: ours.Up, instance: str) -> None:
    """An instance stops passing frames, from one moment to the next: its bridge is down."""
    lab.exec(instance, ["ip", "link", "set", "br0", "down"])


def _repair(lab: ours.Up, instance: str) -> None:
    lab.exec(instance, ["ip", "link", "set", "br0", "up"])


def _healthy(lab: ours.Up, wanted: int) -> None:
    """Wait until so many instances are alive."""
    deadline = time.monotonic() + 20
    while True:
        functions = lab.api("/functions")
        live = sum(i["health"] == "live" for function in functions for i in function["instances"])
        if live >= wanted:
            return
        if time.monotonic() > deadline:
            raise ours.Failed(f"{live} of {wanted} instances are alive: {functions}")


def _scaled(*numbers: int) -> None:
    for number in numbers:
        ours.sdnlab(["scale", "--lab", ours.NAME, "f1", str(number)])


def _controller_killed(lab: ours.Up) -> None:
    pid = lab.api("/status")["controller"]["pid"]
    for process in lab.processes():
        words = Path(f"/proc/{process}/status").read_text().split("NSpid:", 1)[1].splitlines()[0].split()
        if int(words[-1]) == pid:
            os.kill(process, signal.SIGKILL)
            return
    raise ours.Failed("no controller to kill")


def measure(runs: int) -> list[Figure]:
    """Each kind of change, so many times."""
    samples: dict[str, list[Sample]] = {}

    def note(name: str, lab: ours.Up, act: Callable[[], object]) -> None:
        samples.setdefault(name, []).append(during(lab, "a", "10.0.0.2", COUNT, INTERVAL, act))

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "changing.yaml"

        def apply(policy: str, order: str) -> None:
            file.write_text(service_labs.replaceable(1, policy, order))
            ours.sdnlab(["apply", "--lab", ours.NAME, str(file)])

        for _ in range(runs):
            file.write_text(service_labs.replaceable(1, "open"))
            with ours.up(file) as lab:
                note("chain re-ordered (f1, f2, f3 to f3, f2, f1)", lab, lambda: apply("open", "f3, f2, f1"))
                note("chain shortened (f3, f2, f1 to f3, f2)", lab, lambda: apply("open", "f3, f2"))
                note("chain extended (f3, f2 to f1, f3, f2)", lab, lambda: apply("open", "f1, f3, f2"))
                note("a function scaled 1 to 4 to 2", lab, lambda: _scaled(4, 2))
                _scaled(1)
                _healthy(lab, 3)
                apply("open", "f1, f2, f3")
                note("a function killed, open", lab, lambda: _kill(lab, "f1.1"))
                _repair(lab, "f1.1")
                _healthy(lab, 3)
                note("controller killed (and restarted)", lab, lambda: _controller_killed(lab))
            file.write_text(service_labs.replaceable(1, "closed"))
            with ours.up(file) as lab:

                def killed_and_back() -> None:
                    _kill(lab, "f1.1")
                    time.sleep(0.5)
                    _repair(lab, "f1.1")

                note("a function killed, closed; brought back 0.5 s later", lab, killed_and_back)
    figure = Figure("packets lost while a chain changes, one each millisecond each way")
    for name, some in samples.items():
        figure.row(f"{name}: lost", [lost for lost, _ in some], "")
        figure.row(f"{name}: longest silence", [silence for _, silence in some], "ms")
    return [figure]
