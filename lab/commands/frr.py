"""The commands by which FRR's daemons run in a router while the lab runs: one for each daemon."""

from __future__ import annotations

from pathlib import Path

from dataplane.hosts.frr import DAEMONS
from lab.commands.scripted import Scripted
from topologies.model.frr import configuration, daemons
from topologies.model.hosts import Host

_START = Path(__file__).with_name("frr.sh")


class Daemon(Scripted):
    """A command that asks for capabilities which a host has not, and runs without them."""


def daemons_of(host: Host) -> tuple[Daemon, ...]:
    """The daemons of a host's FRR, if it has one.

    Each gets the whole configuration, so a changed one starts all of them again.
    """
    text = configuration(host)
    if text is None:
        return ()
    script = _START.read_text(encoding="utf-8")
    # FRR before 10 has no mgmtd; later, zebra and staticd get their configuration from it.
    first = ("mgmtd",) if (DAEMONS / "mgmtd").exists() else ()
    return tuple(
        Daemon(
            name=daemon,
            words=(str(DAEMONS / daemon),),
            restart="always",
            script=script,
            input=text,
        )
        for daemon in (*first, *daemons(text))
    )
