"""Labs on the kernel's datapath, and what tests ask of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.command_line import CommandLine
from tests.waiting import until

TOPOLOGIES = Path(__file__).resolve().parents[2] / "topologies"
PATIENCE = 600.0
"""Seconds that one command may take: in a machine that is interpreted, all is a hundred times slower."""
_RTT = re.compile(r"icmp_seq=(\d+) .*time=([\d.]+) ms")
_SENT = re.compile(r"(\d+) packets transmitted")


class Pings(NamedTuple):
    """What a ping(8) saw. ``times``: number of the answer -> milliseconds."""

    sent: int
    times: dict[int, float]

    @property
    def lost(self) -> int:
        return self.sent - len(self.times)

    @property
    def least(self) -> float:
        return min(self.times.values())

    @property
    def median(self) -> float:
        return sorted(self.times.values())[len(self.times) // 2]


def pings(text: str) -> Pings:
    """What ping(8) has printed."""
    sent = _SENT.search(text)
    assert sent is not None, text
    return Pings(int(sent[1]), {int(number): float(ms) for number, ms in _RTT.findall(text)})


def interval(share: float, of: int, sigmas: float = 4.0) -> tuple[float, float]:
    """Where the measured share of ``of`` independent events lies, but for one of 16,000 runs (4 sigmas)."""
    spread = sigmas * sqrt(share * (1 - share) / of)
    return share - spread, share + spread


class Lab:
    """The command line, with labs on the kernel's datapath."""

    def __init__(self, line: CommandLine) -> None:
        self.line = line

    def up(self, file: str | Path, *more: str) -> Any:
        """Start a lab; what ``up`` tells."""
        told = self.line.json("up", str(file), "-d", "--datapath", "kernel", *more)
        assert told["datapath"] == "kernel"
        return told

    def run(self, host: str, *words: str, code: int | None = 0) -> str:
        """Standard output of a command in a host."""
        return self.line("exec", host, "--", *words, code=code).stdout

    def ping(self, host: str, to: str, count: int, every: float, *more: str) -> Pings:
        """Ping from one host to another."""
        words = ("ping", "-n", "-c", str(count), "-i", str(every), "-W", "2", *more, to)
        return pings(self.run(host, *words, code=None))

    @contextmanager
    def pinging(self, host: str, to: str, every: float = 0.02) -> Iterator[list[Pings]]:
        """Ping while the context lasts; the list has then what was seen."""
        process = self.line.start("exec", host, "--", "ping", "-n", "-i", str(every), to)
        assert process.stdout is not None
        seen: list[Pings] = []
        head = [process.stdout.readline() for _ in range(6)]  # the first line, and five answers
        assert "icmp_seq" in head[-1], head
        try:
            yield seen
        finally:
            self.run(host, "pkill", "-INT", "-x", "ping")
            rest, _ = process.communicate(timeout=PATIENCE)
            seen.append(pings("".join(head) + rest))

    def passes_checks(self) -> None:
        """The checks that the file of the lab has."""
        results = self.line.json("check", "--within", "60")["results"]
        assert results
        assert {result["name"]: result["verdict"] for result in results} == {
            result["name"]: "passed" for result in results
        }, results

    def reaches_all(self) -> None:
        """All pairs of hosts, by packets of both families."""
        self.line("ping")

    def alerts(self, function: str) -> set[str]:
        """What an IDS has alerted."""
        events = self.line.json("events")
        return {
            event["data"]["alert"]["signature"]
            for event in events
            if event["event"] == "alert" and event["data"]["function"] == function
        }

    def await_alert(self, function: str) -> set[str]:
        return until(lambda: self.alerts(function), f"{function} alerted", PATIENCE)


def write(folder: Path, text: str, **values: str) -> Path:
    """A topology file, with values in place of their NAMEs."""
    file = folder / "lab.yaml"
    for name, value in values.items():
        text = text.replace(name, value)
    file.write_text(text, encoding="utf-8")
    return file


def as_user(user: str, words: Sequence[str]) -> str:
    """Standard output of a command of an ordinary user."""
    argv = ["runuser", "-u", user, "--", *words]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
