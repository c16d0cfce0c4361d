"""Starts commands of hosts (``run:``): the driver of the host's kind says how."""

from __future__ import annotations

import os
import subprocess

from dataplane.fabric.fabric import Fabric
from dataplane.hosts.drivers import driver
from lab.commands.command import Start
from topologies.model.hosts import Command


def starter(net: Fabric, lab: str) -> Start:
    """What starts a command in a host of ``net``."""

    def start(host: str, command: Command, output: int) -> subprocess.Popen[bytes]:
        place = net.place(host)
        return subprocess.Popen(
            driver(place.kind).command(place, command.words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={**os.environ, "SDNLAB": lab, "SDNLAB_PLACE": host},
            start_new_session=True,
        )

    return start
