"""Starts commands in hosts: those of the topology file (``run:``), and those of requests. The driver of the
host's kind says how."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from dataplane.fabric.fabric import Fabric
from dataplane.hosts.driver import RunsDaemons
from dataplane.hosts.drivers import driver
from lab.commands.command import Start
from lab.commands.frr import Daemon
from lab.commands.scripted import Scripted
from topologies.model.hosts import Command


class Invocation(NamedTuple):
    """A program to start in the sandbox: its arguments and its environment."""

    arguments: list[str]
    environment: dict[str, str]


def invocation(net: Fabric, lab: str, host: str, words: Sequence[str], as_daemon: bool = False) -> Invocation:
    """The program that runs ``words`` in a host of ``net``. Raises KeyError when there is no such host.

    ``as_daemon``: they ask for capabilities that a host has not.
    """
    place = net.place(host)
    of_kind = driver(place.kind)
    more = {"SDNLAB": lab, "SDNLAB_PLACE": host}
    if as_daemon and isinstance(of_kind, RunsDaemons):
        arguments = of_kind.daemon(place, words)
    else:
        arguments = of_kind.command(place, words)
    return Invocation(arguments, {**os.environ, **more})


def starter(net: Fabric, lab: str) -> Start:
    """What starts a command in a host of ``net``."""

    def start(host: str, command: Command, output: int) -> subprocess.Popen[bytes]:
        words = command.started_by if isinstance(command, Scripted) else command.words
        program = invocation(net, lab, host, words, isinstance(command, Daemon))
        with open(os.memfd_create("input"), "w+b") as given:  # noqa: PTH123 - a descriptor
            if isinstance(command, Scripted):
                given.write(command.input.encode())
                given.seek(0)
            return subprocess.Popen(
                program.arguments,
                stdin=given if isinstance(command, Scripted) else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=program.environment,
                start_new_session=True,
            )

    return start
