"""The files of the agent, for whoever makes a machine's disk, and how it is started there."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDER = "/usr/lib/sdnlab"
"""The folder for the agent in a machine."""
MODULES = (
    "dataplane/__init__.py",
    "dataplane/hosts/__init__.py",
    "dataplane/hosts/guest/__init__.py",
    "dataplane/hosts/guest/agent.py",
    "dataplane/hosts/guest/command.py",
    "dataplane/hosts/guest/configure.py",
    "dataplane/hosts/guest/protocol.py",
    "linux/__init__.py",
    "linux/netlink.py",
)
COMMAND = (
    "python3",
    "-I",
    "-S",
    "-c",
    f"import sys; sys.path.insert(0, {FOLDER!r}); from dataplane.hosts.guest.agent import main; main()",
)
"""Starts the agent; an init starts it again when it ends. Where the folder can't be written to, compile its
modules before (``python3 -m compileall``): else each boot compiles them."""


def shipped() -> dict[str, Path]:
    """Path in the machine -> the file here. All are readable text, mode 0644."""
    return {f"{FOLDER}/{module}": ROOT / module for module in MODULES}
