"""Whether a lab's processes are alive and work; texts about those that don't."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.ovs import unixctl
from lab.events.log import EventLog
from lab.functions.state import InstanceRecord
from lab.supervisor.pulse import Pulse, Target
from lab.supervisor.watch import DaemonWatch, Key
from topologies.model.choices import SDNLAB

if TYPE_CHECKING:
    from lab.supervisor.controllers import SwitchController

CONTROLLER: Key = ("", "controller")
"""The key of the lab's own controller; see ``key_of``."""
VSWITCHD = "ovs-vswitchd"
_VERSION = unixctl.question("version")
_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

Sockets = Callable[[], Mapping[Key, tuple[int, Path]]]
"""(domain, program) -> process id and control socket of every daemon that runs."""


class Health:
    """Watches the daemons (``sockets``), the controllers and the functions' processes (``records``)."""

    def __init__(
        self,
        daemons: DaemonWatch,
        sockets: Sockets,
        controllers: Callable[[], Sequence[SwitchController]],
        records: Callable[[], Mapping[str, InstanceRecord]],
        events: EventLog,
    ) -> None:
        self._daemons = daemons
        self._sockets, self._controllers, self._records, self._events = sockets, controllers, records, events
        self._pulse: Pulse[Key] = Pulse(self._targets, self._said)

    def start(self) -> None:
        """Start to watch, and to write events about problems."""
        self._pulse.start()

    def _targets(self) -> dict[Key, Target]:
        targets = {key: Target(pid, path, _VERSION) for key, (pid, path) in self._sockets().items()}
        for controller in self._controllers():
            if pid := controller.pid:
                question = (controller.api, _HEALTH) if controller.api is not None else ()
                targets[key_of(controller.name)] = Target(pid, *question)
        records = self._records()
        return targets | {("", name): Target(record.pid) for name, record in records.items() if record.pid}

    def _said(self, key: Key, pid: int, why: str) -> None:
        text = hung(key, why) if why else f"{process_name(key)} goes on"
        kind = "daemon" if key[0] else "controller" if is_controller(key) else "function"
        self._events.add(kind, text, {"domain": key[0], "program": key[1], "pid": pid, "hung": bool(why)})

    def pids(self, domain: str) -> dict[str, int]:
        """Program -> process id of one domain's daemons, 0 for one that doesn't run."""
        there = self._sockets()
        return {
            program: there[domain, program][0] if (domain, program) in there else 0
            for program in ("ovsdb-server", VSWITCHD)
        }

    def ailing(self) -> dict[Key, str]:
        """Texts about present problems with processes: daemons that died, and processes that hang."""
        stuck = {key: hung(key, why) for key, why in self._pulse.hung().items()}
        return {**stuck, **self._daemons.ailing()}

    def why_no_answer(self, domains: Collection[str] | None = (), controller: str = SDNLAB) -> str:
        """The reason not to wait for this controller, or for switches of these domains (None: all); empty:
        none.

        The reason is a text about the process that hangs.
        """
        for key, why in self._pulse.hung().items():
            asked = key[1] == VSWITCHD and key[0] and (domains is None or key[0] in domains)
            if asked or key == key_of(controller):
                return hung(key, why)
        return ""

    def controller_works(self, name: str = SDNLAB) -> bool:
        """Whether the controller of this name runs and does not hang."""
        there = any(controller.name == name and controller.pid for controller in self._controllers())
        return there and key_of(name) not in self._pulse.hung()


class Lasting:
    """A reason not to wait that counts only after it was given at every call for so many seconds."""

    def __init__(self, doubt: Callable[[], str], seconds: float) -> None:
        self._doubt, self._seconds, self._since = doubt, seconds, 0.0

    def __call__(self) -> str:
        why, now = self._doubt(), time.monotonic()
        if not why:
            self._since = 0.0
            return ""
        self._since = self._since or now
        return why if now - self._since >= self._seconds else ""


def key_of(controller: str) -> Key:
    """The key of a controller among watched processes; no function's instance has a space in its name."""
    return CONTROLLER if controller == SDNLAB else ("", f"{CONTROLLER[1]} {controller}")


def is_controller(key: Key) -> bool:
    """Whether the process is a controller."""
    return not key[0] and key[1].partition(" ")[0] == CONTROLLER[1]


def process_name(key: Key) -> str:
    """The name of a process for people: ``ovs-vswitchd of domain d1``, ``the controller``."""
    domain, program = key
    if domain:
        return f"{program} of domain {domain}"
    return f"the {program}" if is_controller(key) else program


def hung(key: Key, why: str) -> str:
    """A sentence about a process that hangs, and about its consequences."""
    if key[1] == VSWITCHD and key[0]:
        loss = "its switches forward nothing"
    elif key[0]:
        loss = "its switches forward, and can't be changed"
    else:
        loss = "the switches keep forwarding" if is_controller(key) else "no traffic passes it"
    return f"{process_name(key)} {why}; until then {loss}"
