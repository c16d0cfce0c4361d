"""Whether what a lab consists of is alive and at work; what isn't, in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.ovs import unixctl
from lab.events.log import EventLog
from lab.functions.state import InstanceRecord
from lab.supervisor.pulse import Pulse, Target
from lab.supervisor.watch import DaemonWatch, Key

if TYPE_CHECKING:
    from lab.supervisor.controller import Controller

CONTROLLER: Key = ("", "controller")
VSWITCHD = "ovs-vswitchd"
_VERSION = unixctl.question("version")
_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

Sockets = Callable[[], Mapping[Key, tuple[int, Path]]]
"""(domain, program) -> process id and control socket of every daemon that runs."""


class Health:
    """Looks after the daemons (``sockets``), the controller and the functions' processes (``records``)."""

    def __init__(
        self,
        daemons: DaemonWatch,
        sockets: Sockets,
        controller: Controller,
        records: Callable[[], Mapping[str, InstanceRecord]],
        events: EventLog,
    ) -> None:
        self._daemons = daemons
        self._sockets, self._controller, self._records, self._events = sockets, controller, records, events
        self._pulse: Pulse[Key] = Pulse(self._targets, self._said)

    def start(self) -> None:
        """Begin to look, and to say in events what is found."""
        self._pulse.start()

    def _targets(self) -> dict[Key, Target]:
        found = {key: Target(pid, path, _VERSION) for key, (pid, path) in self._sockets().items()}
        if pid := self._controller.pid:
            found[CONTROLLER] = Target(pid, self._controller.api, _HEALTH)
        records = self._records()
        return found | {("", name): Target(each.pid) for name, each in records.items() if each.pid}

    def _said(self, key: Key, pid: int, why: str) -> None:
        text = hung(key, why) if why else f"{called(key)} goes on"
        kind = "daemon" if key[0] else "controller" if key == CONTROLLER else "function"
        self._events.add(kind, text, {"domain": key[0], "program": key[1], "pid": pid, "hung": bool(why)})

    def pids(self, domain: str) -> dict[str, int]:
        """Program -> process id of one domain's daemons, 0 for one that is not there."""
        there = self._sockets()
        return {
            program: there[domain, program][0] if (domain, program) in there else 0
            for program in ("ovsdb-server", VSWITCHD)
        }

    def ailing(self) -> dict[Key, str]:
        """What is wrong with processes now, in words: daemons that died, and whatever hangs."""
        stuck = {key: hung(key, why) for key, why in self._pulse.hung().items()}
        return {**stuck, **self._daemons.ailing()}

    def why_no_answer(self, domains: Collection[str] | None = ()) -> str:
        """Why nobody should wait for the controller's answer, or for that of these domains' switches (None:
        of any): the process that hangs, in words; empty: there is no reason."""
        for key, why in self._pulse.hung().items():
            asked = key[1] == VSWITCHD and key[0] and (domains is None or key[0] in domains)
            if asked or key == CONTROLLER:
                return hung(key, why)
        return ""

    def controller_works(self) -> bool:
        """Whether the controller is there, and does not hang."""
        return bool(self._controller.pid) and CONTROLLER not in self._pulse.hung()


class Lasting:
    """A reason for doubt that counts when it has held for so many seconds, at every time that it was asked
    for."""

    def __init__(self, doubt: Callable[[], str], seconds: float) -> None:
        self._doubt, self._seconds, self._since = doubt, seconds, 0.0

    def __call__(self) -> str:
        why, now = self._doubt(), time.monotonic()
        if not why:
            self._since = 0.0
            return ""
        self._since = self._since or now
        return why if now - self._since >= self._seconds else ""


def called(key: Key) -> str:
    """A process as people call it."""
    domain, program = key
    if domain:
        return f"{program} of domain {domain}"
    return "the controller" if key == CONTROLLER else program


def hung(key: Key, why: str) -> str:
    """That a process hangs, and what that means."""
    if key[1] == VSWITCHD and key[0]:
        loss = "its switches forward nothing"
    elif key[0]:
        loss = "its switches forward, and can't be changed"
    else:
        loss = "the switches keep forwarding" if key == CONTROLLER else "no traffic passes it"
    return f"{called(key)} {why}; until then {loss}"
