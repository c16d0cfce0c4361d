"""Runs a piece of test inside a sandbox, as root or as an ordinary user, and brings back what it says."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# An ordinary user may be unable to read the interpreter's own directory, so all is imported before.
import dataplane.mininet_view.net
from dataplane import machine
from dataplane.fabric.fabric import Fabric
from dataplane.sandbox import sandbox
from linux import syscalls
from topologies.model.topology import Topology

RUN = "/run/sdnlab"
ORDINARY = 54321
TUN = Path("/dev/net/tun")

Body = Callable[[Fabric], Any]


@contextmanager
def loosened_tun() -> Iterator[None]:
    """The usual mode of /dev/net/tun, for the duration; restored, and said aloud.

    One at a time on this machine: tests run in several processes, and the first to end restores it.
    """
    with (Path(tempfile.gettempdir()) / "sdnlab-tests.tun").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mode = TUN.stat().st_mode & 0o777
        if mode & 0o666 == 0o666:
            yield
            return
        print(f"note: {TUN} is mode {mode:o}; loosened to 666 for this test")
        TUN.chmod(mode | 0o666)
        try:
            yield
        finally:
            TUN.chmod(mode)


def run(command: str, **more: Any) -> str:
    """Standard output of a shell command."""
    return subprocess.run(command, shell=True, text=True, capture_output=True, timeout=60, **more).stdout


def build(topology: Topology) -> Fabric:
    """A lab without a controller, whose switches forward as ordinary ones (so it must have no loop)."""
    fabric = Fabric(topology, RUN, controllers={})
    fabric.build_lab()
    for domain in fabric.plan.domains:
        for bridge in domain.bridges:
            forward_normally(fabric, bridge.switch)
    return fabric


def forward_normally(fabric: Fabric, switch: str) -> None:
    for domain in fabric.plan.domains:
        for bridge in domain.bridges:
            if bridge.switch == switch:
                ofctl(domain.netns, "add-flow", bridge.device, "actions=NORMAL")


def ofctl(netns: str, *arguments: str) -> str:
    environment = {**os.environ, "OVS_RUNDIR": f"{RUN}/{netns}"}
    command = ["ovs-ofctl", "-O", "OpenFlow15", *arguments]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=True).stdout


def reaches(host: str, address: str, tries: int = 1) -> bool:
    """Does a ping arrive?"""
    return ", 0% packet loss" in run(f"ip netns exec {host} ping -c{tries} -i0.2 -W2 {address}")


@contextmanager
def started(topology: Topology, body: Body) -> Iterator[tuple[sandbox.Sandbox, Any]]:
    """A lab that stays up for the with block, and what ``body(fabric)`` returned inside it."""

    def main(status: int) -> None:
        try:
            answer = {"answer": body(build(topology))}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        os.write(status, json.dumps(answer).encode() + b"\n")
        while True:
            signal.pause()

    box = sandbox.spawn(main, tied=True)
    try:
        yield box, _answer(box)
    finally:
        box.kill(30)
        box.close()


def _answer(box: sandbox.Sandbox) -> Any:
    data = b""
    box.status.settimeout(120)
    while not data.endswith(b"\n"):
        more = box.status.recv(65536)
        if not more:
            raise AssertionError("the supervisor ended")
        data += more
    said = json.loads(data)
    if "error" in said:
        raise AssertionError(said["error"])
    return said["answer"]


def inside(topology: Topology, body: Body) -> Any:
    """What ``body(fabric)`` returns inside a lab."""
    with started(topology, body) as (_, answer):
        return answer


def as_user(uid: int, job: Callable[[], Any]) -> Any:
    """Do a job as another user, in a child process; its result, which must be JSON."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            syscalls.make_dumpable()
            os.chdir("/")
            said = {"answer": job()}
        except BaseException:
            said = {"error": traceback.format_exc()}
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    said = json.loads(text)
    if "error" in said:
        raise AssertionError(said["error"])
    return said["answer"]


def why_no_lab(topology: Topology) -> str:
    """Why a lab can't start here; empty when it can."""
    return "; ".join(map(str, machine.missing(machine.probe(topology), topology)))


MININET = dataplane.mininet_view.net.LabNet
