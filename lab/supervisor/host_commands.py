"""Starts commands in hosts: those of the topology file (``run:``), and those of requests. The driver of the
host's kind says how."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from dataplane.fabric.fabric import Fabric
from dataplane.hosts.drivers import driver
from lab.commands.command import Start
from topologies.model.hosts import Command


class Invocation(NamedTuple):
    """A program to start in the sandbox: its arguments and its environment."""

    arguments: list[str]
    environment: dict[str, str]


def invocation(net: Fabric, lab: str, host: str, words: Sequence[str]) -> Invocation:
    """The program that runs ``words`` in a host of ``net``. Raises KeyError when there is no such host."""
    place = net.place(host)
    more = {"SDNLAB": lab, "SDNLAB_PLACE": host}
    return Invocation(driver(place.kind).command(place, words), {**os.environ, **more})


def starter(net: Fabric, lab: str) -> Start:
    """What starts a command in a host of ``net``."""

    def start(host: str, command: Command, output: int) -> subprocess.Popen[bytes]:
        program = invocation(net, lab, host, command.words)
        return subprocess.Popen(
            program.arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=program.environment,
            start_new_session=True,
        )

    return start
