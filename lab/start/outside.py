"""The process of a lab that stays in the machine's network: it starts what joins the lab to the machine."""

from __future__ import annotations

import os
import socket

from lab import naming

PATIENCE = 2.0
"""Seconds in which another lab must say what it publishes."""


def stay(stream: socket.socket, uid: int) -> None:
    """Serve the lab's requests until it ends. ``uid``: the user outside, whose labs are asked."""
    from dataplane.sandbox import door

    os.environ[naming.OWNER] = str(uid)
    door.serve(stream, publisher)


def publisher(port: int) -> str:
    """The lab of this user that publishes a port, in words; empty: none does."""
    from lab.access import holders
    from lab.access.client import Client
    from lab.failure import Failure

    for name in holders.running():
        try:
            ways = Client(name, patience=0.0, timeout=PATIENCE).get("/status")["outside"]
        except (Failure, OSError, KeyError, TypeError):
            continue  # it is being built, or has ended
        for way in ways:
            for published in way["published"]:
                if published["port"] == port:
                    return f"lab {name} (publish: {{{port}: {published['target']}}})"
    return ""
