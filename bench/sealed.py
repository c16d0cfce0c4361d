"""Peers run as they are, but sealed: private namespaces with an Open vSwitch of their own.

``mn`` talks to the machine's Open vSwitch and leaves devices in the machine's network namespace; in here
both are private, so nothing of the machine is touched and everything ends with the process.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

_PREPARE = r"""
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/openvswitch /run/netns
ip link set lo up
ovsdb-tool create /run/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server /run/openvswitch/conf.db --remote=punix:/run/openvswitch/db.sock --detach --pidfile \
    --log-file=/run/openvswitch/ovsdb-server.log 2>/dev/null
ovs-vsctl --no-wait init
ovs-vswitchd --detach --pidfile --log-file=/run/openvswitch/ovs-vswitchd.log 2>/dev/null
echo '@@ prepared'
"$@"
"""
NAMESPACES = (
    "unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
    "--propagation", "private",
)  # fmt: skip


@dataclass(frozen=True)
class Transcript:
    """What a sealed command wrote, piece by piece with the time (seconds since its start) of each."""

    pieces: tuple[tuple[float, str], ...]
    ended: float
    code: int

    @property
    def text(self) -> str:
        return "".join(piece for _, piece in self.pieces)

    def when(self, marker: str) -> float:
        """When ``marker`` had been written completely; ValueError when it never was."""
        so_far = ""
        for moment, piece in self.pieces:
            so_far += piece
            if marker in so_far:
                return moment
        raise ValueError(f"no {marker!r} in:\n{self.text[-2000:]}")


def run(command: Sequence[str], timeout: float) -> Transcript:
    """Run ``command`` sealed; times count from the moment at which its Open vSwitch was ready.

    Raises TimeoutError after ``timeout`` seconds; nothing of it is left then either.
    """
    begin = time.monotonic()
    process = subprocess.Popen(
        [*NAMESPACES, "bash", "-c", _PREPARE, "sealed", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    pieces: list[tuple[float, str]] = []
    try:
        while data := _read(process.stdout.fileno(), begin + timeout - time.monotonic()):
            pieces.append((time.monotonic(), data.decode(errors="replace")))
        code = process.wait(10)
        ended = time.monotonic()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    raw = Transcript(tuple(pieces), ended, code)
    zero = raw.when("@@ prepared\n")
    return Transcript(tuple((moment - zero, piece) for moment, piece in pieces), ended - zero, code)


def _read(fd: int, patience: float) -> bytes:
    import select

    if patience <= 0 or not select.select([fd], [], [], patience)[0]:
        raise TimeoutError("a sealed command took too long")
    return os.read(fd, 65536)
