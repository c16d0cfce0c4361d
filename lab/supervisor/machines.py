"""The hosts of a lab that are machines: their power switches and screens."""

from __future__ import annotations

import base64
import time

from dataplane.hosts.driver import HostError, MachineDriver, Place, PowerAction
from dataplane.hosts.drivers import DRIVERS, driver
from lab.failure import Failure, unknown
from lab.messages.lab import MachineChange, Screen
from lab.supervisor.lab import Lab

WORDS = {
    "start": "switched on",
    "stop": "switched off",
    "pause": "paused",
    "resume": "resumed",
    "reset": "reset",
}


def power(lab: Lab, host: str, action: PowerAction) -> MachineChange:
    """Start, stop, pause, resume or reset a machine. Raises Failure."""
    began = time.monotonic()
    place, machines = _machine(lab, host)
    try:
        state, changed = machines.power(place, action)
    except HostError as error:
        raise Failure(error.what, error.remedy) from None
    if changed:
        lab.events.add("vm", f"{host} was {WORDS[action]}", {"host": host, "action": action})
        if action in ("start", "reset"):
            for problem in lab.servers.become(lab.topology):
                lab.events.add("server", problem, {"host": host})
    return {"host": host, "state": state, "changed": changed, "seconds": time.monotonic() - began}


def screen(lab: Lab, host: str) -> Screen:
    """A picture of a machine's screen. Raises Failure."""
    place, machines = _machine(lab, host)
    try:
        return {"host": host, "png": base64.b64encode(machines.screen(place)).decode()}
    except HostError as error:
        raise Failure(error.what, error.remedy) from None


def _machine(lab: Lab, host: str) -> tuple[Place, MachineDriver]:
    try:
        place = lab.net.place(host)
    except KeyError:
        raise unknown("host", host, [known.name for known in lab.topology.hosts]) from None
    hosts = driver(place.kind)
    if not isinstance(hosts, MachineDriver):
        kinds = ", ".join(kind for kind, known in DRIVERS.items() if isinstance(known, MachineDriver))
        raise Failure(f"{host} is no machine, but a {place.kind}", f"machines are hosts with kind: {kinds}")
    return place, hosts
