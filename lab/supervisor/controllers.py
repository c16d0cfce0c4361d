"""The controllers of a lab by name, each with a process that is kept running, and the switches of each.

A switch's ``controller`` in the topology names its controller.  To add a controller: describe it in
``topologies.model.choices.CONTROLLERS`` (the words of topology files), and put a function that makes one from
``Means`` into ``MAKERS`` under the same name.  The lab's own controller always exists: it knows the whole
topology, and answers requests about functions and chains. The applications of a topology, a user's own apps,
are controllers under their own names.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from controller.messages import Names
from lab.events.log import EventLog
from lab.supervisor.controller import Controller, Programming
from topologies.model.choices import SDNLAB

if TYPE_CHECKING:
    from lab.supervisor.ryu_apps import RyuApps
    from topologies.model.applications import Application
    from topologies.model.topology import Topology


@dataclass(frozen=True)
class Means:
    """The parts of its lab that a controller uses.

    ``port``: the TCP port of the lab's own controller, at the management network's address of controllers;
    ``openflow``: its listening socket. ``run_dir``: the folder for files.
    """

    port: int
    openflow: int
    run_dir: Path
    events: EventLog
    clear: Callable[[frozenset[str]], list[str]] = lambda switches: []
    """Empties the tables of switches; texts about those that it could not empty."""


class SwitchController(Protocol):
    """The interface of a controller to its lab. Several threads call its methods."""

    name: str
    port: int
    """The TCP port for its switches, at the management network's address of controllers."""
    api: Path | None
    """The socket of its northbound API (``controller.api``); None: it has no API."""
    state: Programming
    """The state of its switches from its events; ``state.switches`` are its own switches."""
    restarts: int
    compiled: Callable[[], None]
    """Called when a new process is about to program its switches."""
    names: Callable[[], Names]
    """The names of addresses, for the texts of its events."""

    @property
    def pid(self) -> int:
        """Its process id, 0 while there is none."""

    def start(self) -> None:
        """Start it, before it has an intent."""

    def keep(self, topology: Topology) -> None:
        """Give it its intent, and restart it whenever it dies."""

    def replace(self, topology: Topology) -> int:
        """Write the intent for processes that start from now on; its number."""

    def has_read(self, number: int) -> bool:
        """Whether it was started with this intent or a later one. A controller without API then has it."""

    def restart(self) -> None:
        """Kill it. A new one starts immediately."""

    def stop(self) -> None:
        """End it, and don't start it again."""

    def wait_until(
        self, holds: Callable[[Programming], bool], timeout: float, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        """Wait until ``holds`` is true of its ``state``; raises Failure."""

    def wait_programmed(
        self, timeout: float, most_restarts: int = 3, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        """Wait until its switches have their first tables; raises Failure."""

    def wait_ready(self, timeout: float) -> None:
        """Wait until its process, which was started, can take switches; not for one that can't run."""


Maker = Callable[[Means], SwitchController]


def own(means: Means) -> Controller:
    """The lab's own controller."""
    at = means.run_dir
    return Controller(
        means.openflow,
        at / "topology.json",
        at / "controller.sock",
        at / "controller.log",
        means.events,
        means.port,
        copied=True,
    )


MAKERS: dict[str, Maker] = {SDNLAB: own}
READY_PATIENCE = 6.0
"""Timeout in seconds for a new controller, before switches that have another one are given to it."""
_HTTP = 8080
"""The port of the first app's HTTP server, as Ryu has it."""


def ryu_apps(application: Application, number: int, means: Means) -> RyuApps:
    """The controller of a user's apps, the ``number``-th of its lab, from 0 on."""
    from lab.supervisor.ryu_apps import RyuApps

    at = means.port + 1 + number if means.port else 0
    return RyuApps(application, at, means.run_dir, means.events, _HTTP + number, means.clear)


class Controllers:
    """The controllers of one lab. ``own`` is the lab's own."""

    def __init__(self, means: Means) -> None:
        self.own = MAKERS[SDNLAB](means)
        self._means = means
        self._all: dict[str, SwitchController] = {SDNLAB: self.own}
        self._whose: dict[str, str] = {}
        self._applications: dict[str, RyuApps] = {}
        self._numbers: dict[str, int] = {}

    def start(self) -> None:
        """Start the lab's own controller early: it imports while the topology is being loaded."""
        self.own.start()

    def prove(self, whether: bool) -> None:
        """Whether the lab's own controller, if it is started now, proves all pairs of hosts."""
        if isinstance(self.own, Controller):
            self.own.proves = whether

    def keep(self, topology: Topology) -> None:
        """Make and start the other controllers of ``topology``, and give all their intents."""
        self._whose = {switch.name: switch.controller for switch in topology.switches}
        self._make(topology)
        for controller in self._all.values():
            controller.keep(topology)

    def extend(self, topology: Topology) -> None:
        """Start the controllers that ``topology`` has in addition, before it applies; returns when they can
        take switches."""
        come = self._make(topology)
        for controller in come:
            controller.keep(topology)
        for controller in come:
            controller.wait_ready(READY_PATIENCE)

    def become(self, topology: Topology) -> None:
        """``topology`` applies: its switches are those of its controllers, and the others end."""
        self._whose = {switch.name: switch.controller for switch in topology.switches}
        for name in [*self._all]:
            if name != SDNLAB and name not in self._whose.values():
                self._applications.pop(name, None)
                self._numbers.pop(name, None)
                self._all.pop(name).stop()

    def _make(self, topology: Topology) -> list[SwitchController]:
        """Make and start the controllers that ``topology`` has and that are not there yet."""
        come: list[SwitchController] = []
        applications = {application.name: application for application in topology.applications}
        for name in sorted({switch.controller for switch in topology.switches} - self._all.keys()):
            if name in applications:
                number = next(n for n in itertools.count() if n not in self._numbers.values())
                self._numbers[name] = number
                self._all[name] = self._applications[name] = ryu_apps(applications[name], number, self._means)
            else:
                self._all[name] = MAKERS[name](self._means)
            self._all[name].start()
            come.append(self._all[name])
        return come

    def applications(self) -> list[RyuApps]:
        """The controllers that are a user's own apps."""
        return list(self._applications.values())

    def of(self, switch: str) -> SwitchController:
        """The controller of a switch. Raises KeyError if there is no such switch."""
        return self._all[self._whose[switch]]

    def all(self) -> list[SwitchController]:
        """All controllers, the lab's own first."""
        return list(self._all.values())

    def at_work(self) -> list[SwitchController]:
        """The controllers with a switch, the lab's own first."""
        return [controller for name, controller in self._all.items() if name in self._whose.values()]

    def ports(self) -> dict[str, int]:
        """Controller -> the TCP port for its switches."""
        return {name: controller.port for name, controller in self._all.items()}

    @property
    def converged(self) -> bool:
        """Whether every controller has programmed its switches."""
        return all(controller.state.converged for controller in self.at_work())

    def wait_programmed(self, timeout: float, doubt: Callable[[str], Callable[[], str]]) -> None:
        """Wait until all switches have their first tables; raises Failure.

        ``doubt``: controller's name -> a function that returns a reason not to wait for it, or empty.
        """
        for controller in self.at_work():
            controller.wait_programmed(timeout, doubt=doubt(controller.name))
