"""TCP between a host and the machine through a way out and a published port, against slirp4netns alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import ours
from bench.figures import Figure
from linux import syscalls

ADDRESS = "192.0.2.1"
PORT, PUBLISHED = "5201", 5202
SECONDS = "3"
FILE = f"""\
switches: [s1]
hosts: {{h1: s1}}
outside: [lan]
publish: {{{PUBLISHED}: "h1:{PORT}"}}
"""
JOIN = (
    "ip link set lo up && ip link set tap0 up && ip address add 10.0.2.100/24 dev tap0 && "
    "ip route add default via 10.0.2.2"
)
MTUS = (1500, 65520)
"""What a lab's hosts have, and the largest that slirp4netns takes."""
Run = Callable[[Sequence[str]], str]


@contextmanager
def machine() -> Iterator[None]:
    """The calling thread is in a network namespace of its own, with an address that is not loopback."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        for words in (["link", "set", "lo", "up"], ["address", "add", f"{ADDRESS}/32", "dev", "lo"]):
            subprocess.run(["ip", *words], check=True)
        yield
    finally:
        syscalls.setns(own, syscalls.CLONE_NEWNET)
        os.close(own)


@contextmanager
def server() -> Iterator[None]:
    """iperf3 at the machine's address."""
    process = subprocess.Popen(["iperf3", "-s", "-B", ADDRESS], stdout=subprocess.DEVNULL)
    try:
        await_server(lambda command: subprocess.run(command, capture_output=True, text=True).stdout)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def alone(mtu: int) -> Iterator[Run]:
    """A namespace that slirp4netns alone joins to the machine; runs commands there."""
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec cat"], stdin=-1, stdout=-1)
    assert holder.stdout is not None
    holder.stdout.readline()
    ready, told = os.pipe()
    words = [
        "slirp4netns",
        f"--mtu={mtu}",
        f"--ready-fd={told}",
        "--disable-host-loopback",
        "--enable-sandbox",
    ]
    stack = subprocess.Popen(
        [*words, "--enable-seccomp", str(holder.pid), "tap0"],
        pass_fds=[told],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(told)
    enter = ["nsenter", "-t", str(holder.pid), "-n"]
    try:
        if os.read(ready, 1) != b"1":
            raise ours.Failed("slirp4netns does not start")
        subprocess.run([*enter, "sh", "-c", JOIN], check=True)
        yield (
            lambda command: (
                subprocess.run(
                    [*enter, *command], capture_output=True, text=True, timeout=60, check=True
                ).stdout
            )
        )
    finally:
        os.close(ready)
        for process in (stack, holder):
            process.send_signal(signal.SIGKILL)
            process.wait()


def rate(said: str) -> float:
    """Gbit/s that the receiver got, by iperf3's JSON."""
    answer = json.loads(said)
    if "error" in answer:
        raise ours.Failed(f"iperf3: {answer['error']}")
    return float(answer["end"]["sum_received"]["bits_per_second"]) / 1e9


def await_server(look: Run) -> None:
    """Wait until iperf3 listens where ``look`` runs commands."""
    for _ in range(100):
        if f":{PORT}" in look(["ss", "-ltn"]):
            return
        time.sleep(0.05)
    raise ours.Failed("iperf3 does not listen")


def measure(runs: int) -> list[Figure]:
    """Each in turn, ``runs`` times over."""
    client = ["iperf3", "-J", "-t", SECONDS, "-c", ADDRESS]
    out: dict[str, list[float]] = {}
    back: dict[str, list[float]] = {}
    published: list[float] = []
    with tempfile.TemporaryDirectory() as folder, machine(), server():
        file = Path(folder) / "out.yaml"
        file.write_text(FILE, encoding="utf-8")
        for _ in range(runs):
            for mtu in MTUS:
                name = f"peer: slirp4netns alone, packets of {mtu} bytes"
                with alone(mtu) as run:
                    out.setdefault(name, []).append(rate(run(client)))
                    back.setdefault(name, []).append(rate(run([*client, "-R"])))
            with ours.up(file) as lab:
                out.setdefault("sdnlab", []).append(rate(lab.exec("h1", client)))
                back.setdefault("sdnlab", []).append(rate(lab.exec("h1", [*client, "-R"])))
                lab.exec("h1", ["iperf3", "-s", "-D"])
                await_server(lambda command, lab=lab: lab.exec("h1", command))  # type: ignore[misc]
                inward = ["iperf3", "-J", "-t", SECONDS, "-c", "127.0.0.1", "-p", str(PUBLISHED)]
                done = subprocess.run(inward, capture_output=True, text=True, timeout=60)
                published.append(rate(done.stdout))
    figures = []
    for title, samples in (("TCP out of a lab", out), ("TCP into a lab, asked for by a host", back)):
        figure = Figure(title)
        for name, values in samples.items():
            figure.row(name, values, "Gbit/s")
        peer, _, mine = figure.rows
        figure.notes.append(
            f"divided by slirp4netns alone with packets of the same size: {mine.median / peer.median:.2f}"
        )
        figures.append(figure)
    inside = Figure("TCP into a lab by a published port")
    inside.row("sdnlab", published, "Gbit/s")
    return [*figures, inside]
