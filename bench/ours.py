"""The lab under measurement, driven as a person would: by the command line and the lab's HTTP API."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SDNLAB = str(ROOT / "sdnlab")
NAME = "bench"


class Setting:
    """What all labs of a run have. ``datapath``: userspace or kernel."""

    datapath = "userspace"


class Failed(Exception):
    """A command of ours did not do what the measurement needs."""


@dataclass(frozen=True)
class Up:
    """A running lab. ``seconds``: the whole ``up`` command; ``reached``: which fraction of the pairs."""

    seconds: float
    reached: float

    def stages(self) -> dict[str, float]:
        """The steps of start-up and the seconds of each."""
        return {stage["name"]: stage["seconds"] for stage in self.api("/status")["stages"]}

    def api(self, path: str) -> Any:
        """GET from the lab's HTTP API."""
        from lab.access.client import Client

        return Client(NAME).get(path)

    def post(self, path: str, body: Any) -> Any:
        """POST to the lab's HTTP API."""
        from lab.access.client import Client

        return Client(NAME).post(path, body)

    def exec(self, host: str, command: Sequence[str], timeout: float = 60) -> str:
        """Run a command in a host and give its output."""
        return sdnlab(["exec", "--lab", NAME, host, "--", *command], timeout)[1]

    def supervisor(self) -> int:
        """The process id of the lab's supervisor, out here."""
        from lab.access.client import supervisor_pid

        return supervisor_pid(NAME)

    def processes(self) -> list[int]:
        """All processes of the lab: those in its process-id namespace."""
        inside = Path(f"/proc/{self.supervisor()}/ns/pid").readlink()
        processes = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "ns/pid").readlink() == inside:
                    processes.append(int(entry.name))
            except OSError:
                continue
        return processes


def sdnlab(
    arguments: Sequence[str], timeout: float = 120, permitted: Sequence[int] = (0,)
) -> tuple[float, str]:
    """Run ``./sdnlab``; seconds as a person would clock them, and its output."""
    begin = time.monotonic()
    done = subprocess.run(
        [SDNLAB, *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )
    seconds = time.monotonic() - begin
    if done.returncode not in permitted:
        said = (done.stderr or done.stdout)[-500:]
        raise Failed(f"sdnlab {' '.join(arguments)}: exit {done.returncode}: {said}")
    return seconds, done.stdout


def _fraction(output: str) -> float:
    counts = re.search(r"(\d+) of (\d+) (?:reached|pairs proven)", output.replace(",", ""))
    if not counts:
        raise Failed(f"no lab: {output[-500:]}")
    return int(counts[1]) / int(counts[2])


@contextmanager
def up(
    file: Path,
    check: bool | str = True,
    timeout: float = 300,
    partial: bool = False,
    datapath: str | None = None,
) -> Iterator[Up]:
    """A running lab of ``file``; stopped at the end, if it still runs.

    ``check``: all pairs are proven, or as ``up --check`` has it; Failed when some aren't, unless ``partial``.
    ``datapath``: another one than the run's.
    """
    how = {True: "proof", False: "none"}.get(check, check)  # type: ignore[call-overload]
    options = ["--check", how, "--datapath", datapath or Setting.datapath]
    try:
        seconds, output = sdnlab(["up", str(file), "-d", "--name", NAME, *options], timeout, (0, 1))
        lab = Up(seconds, _fraction(output) if check else 0.0)
        if check and not partial and lab.reached < 1:
            raise Failed(f"only {lab.reached:.1%} of all pairs of {file.name} were reached")
        yield lab
    finally:
        subprocess.run([SDNLAB, "down", NAME], capture_output=True, stdin=subprocess.DEVNULL)


def down() -> float:
    """Stop the lab; seconds of the whole command."""
    return sdnlab(["down", NAME])[0]


def memory(pids: Sequence[int]) -> float:
    """Megabytes of memory that these processes have, shared pages counted by share (PSS)."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def processor_time(pids: Sequence[int]) -> float:
    """Seconds for which these processes, and children that have ended, had a processor."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime (proc(5))
    return total / os.sysconf("SC_CLK_TCK")


def available() -> float:
    """Megabytes that the kernel says are available; its decrease includes the kernel's own memory."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise Failed("no MemAvailable in /proc/meminfo")
