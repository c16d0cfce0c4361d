"""Asks a bridge by OpenFlow what it holds, whoever controls it, and empties its tables (ovs-ofctl(8)).

The bridge's management socket is used: its controller does not notice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

VERSIONS = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"
_PATIENCE = 5.0


class NoAnswer(Exception):
    """The bridge, or its daemon, does not answer."""


def _ask(run_dir: Path, bridge: str, command: str, version: str = VERSIONS, *more: str) -> str:
    program = shutil.which("ovs-ofctl", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise NoAnswer("ovs-ofctl is not installed")
    words = [program, "-O", version, "--timeout=4", command, f"unix:{run_dir / bridge}.mgmt", *more]
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{bridge} does not answer") from None
    if done.returncode:
        raise NoAnswer((done.stderr.strip().splitlines() or [f"{bridge} does not answer"])[-1])
    return done.stdout


def flows(run_dir: Path, bridge: str) -> str:
    """The flows of a bridge, in the form of ``ovs-ofctl dump-flows``. Raises NoAnswer."""
    return _ask(run_dir, bridge, "dump-flows")


def groups(run_dir: Path, bridge: str) -> str:
    """The groups of a bridge, in the form of ``ovs-ofctl dump-groups``. Raises NoAnswer."""
    return _ask(run_dir, bridge, "dump-groups", "OpenFlow13,OpenFlow14,OpenFlow15")


def ports(run_dir: Path, bridge: str) -> str:
    """The counters of a bridge's ports, in the form of ``ovs-ofctl dump-ports``. Raises NoAnswer."""
    return _ask(run_dir, bridge, "dump-ports")


def send(run_dir: Path, bridge: str, port: int, frame: str) -> None:
    """Send a frame (hexadecimal digits) out of a port. Raises NoAnswer."""
    what = f"in_port=controller packet={frame} actions=output:{port}"
    _ask(run_dir, bridge, "packet-out", "OpenFlow13", what)


def clear(run_dir: Path, bridge: str) -> None:
    """Delete all flows, groups and meters of a bridge. Raises NoAnswer."""
    _ask(run_dir, bridge, "del-flows")
    _ask(run_dir, bridge, "del-groups", "OpenFlow13,OpenFlow14,OpenFlow15")
    _ask(run_dir, bridge, "del-meters", "OpenFlow13,OpenFlow14,OpenFlow15")
