"""Running labs with tenants: started, captured, and sent any frame at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from scapy.packet import Packet, Raw
from scapy.utils import rdpcap

from tests.system.command_line import CommandLine, of_an_owner_of_its_own
from tests.waiting import until

TOPOLOGIES = Path(__file__).resolve().parents[2] / "topologies"
PATIENCE = 60.0

for program, name in (("ovs-vswitchd", "Open vSwitch"), ("tcpdump", "tcpdump")):
    if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip(f"{name} is not installed", allow_module_level=True)


@contextmanager
def running(file: Path) -> Iterator[CommandLine]:
    """A lab of the file, with an owner of its own, for as long as the context lasts."""
    line = of_an_owner_of_its_own()
    try:
        started = line("up", str(file), "-d", code=None)
        if started.returncode == 3:
            pytest.skip(started.stderr.strip())
        assert started.returncode == 0, started.stdout + started.stderr  # the lab may be up all the same
        yield line
    finally:
        line("down", "--all", code=None)


@contextmanager
def capturing(line: CommandLine, name: str, file: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """``capture`` running and listening; ended by Ctrl-C."""
    file.unlink(missing_ok=True)  # an earlier capture's would look like one that has begun
    process = line.start("capture", name, "-w", str(file), *more)
    try:
        until(lambda: file.exists() and file.stat().st_size >= 24, f"capture of {name} began")
        yield process
    finally:
        # Ctrl-C goes to the whole foreground group; here the command is told, and passes it on
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def packets(file: Path) -> list[Packet]:
    return list(rdpcap(str(file)))


def _sender(host: str) -> str:
    return (
        "import socket, sys\n"
        "raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
        f"raw.bind(('{host}-eth0', 0))\n"
        "for line in sys.stdin: raw.send(bytes.fromhex(line))\n"
    )


def send(line: CommandLine, host: str, frames: list[Packet]) -> None:
    """Put frames on the wire at a host, whatever they claim."""
    text = "\n".join(bytes(frame).hex() for frame in frames)
    line("exec", host, "--", "python3", "-c", _sender(host), stdin=text)


BURST = 50
"""Frames that a switch's socket holds without dropping one."""


def send_all(
    line: CommandLine, host: str, frames: list[Packet], last: Packet, came: Callable[[bytes], bool]
) -> None:
    """The same for more frames than a switch's socket holds: after each few, ``last`` with a number behind it
    is sent and waited for. A switch takes a port's frames in their order, so it has seen those before."""
    with line.start("exec", host, "--", "python3", "-c", _sender(host)) as sender:
        assert sender.stdin is not None
        for start in range(0, len(frames), BURST):
            mark = f"{start:06d}".encode()
            for frame in (*frames[start : start + BURST], last / Raw(mark)):
                sender.stdin.write(f"{bytes(frame).hex()}\n")
            sender.stdin.flush()
            until(partial(came, bytes(last[Raw].load) + mark), f"the frames from {start} have passed")
        sender.stdin.close()
        assert sender.wait(PATIENCE) == 0
