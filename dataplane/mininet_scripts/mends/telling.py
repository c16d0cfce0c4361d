"""Tells the user what is different here, each thing once; asks the room for controllers."""

from __future__ import annotations

import json
import socket
import sys

from dataplane.mininet_scripts.layout import ASK

_told: set[str] = set()


def say(text: str) -> None:
    """A line on standard error."""
    sys.stdout.flush()
    sys.stderr.write(f"sdnlab mininet: {text}\n")
    sys.stderr.flush()


def say_once(text: str) -> None:
    """The same, but each text once."""
    if text not in _told:
        _told.add(text)
        say(text)


def provide(address: str, port: int) -> str:
    """See that a controller answers at an address; the answer of ``Controllers.provide``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(str(ASK))
        stream.sendall(json.dumps({"address": address, "port": port}).encode() + b"\n")
        return stream.makefile().readline().strip()
