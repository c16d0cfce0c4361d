"""Which controller has which switch: the controllers of a lab by name, each with a process that is kept.

A switch's ``controller`` in the topology says whose it is.  To add a controller: describe it in
``topologies.model.choices.CONTROLLERS`` (what files may say), and put a function that makes one from
``Means`` into ``MAKERS`` under the same name.  The lab's own is always there: it knows the whole topology,
and answers for functions and chains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from controller.messages import Names
from lab.events.log import EventLog
from lab.supervisor.controller import Controller, Programming
from topologies.model.choices import SDNLAB

if TYPE_CHECKING:
    from topologies.model.topology import Topology


@dataclass(frozen=True)
class Means:
    """What a controller gets of the lab that it is in.

    ``port``: where the lab's own listens, by TCP, at the management network's address of controllers;
    ``openflow``: that socket. ``run_dir``: where its files go.
    """

    port: int
    openflow: int
    run_dir: Path
    events: EventLog


class SwitchController(Protocol):
    """A controller as its lab sees it. Its methods are called from several threads."""

    name: str
    port: int
    """Where its switches connect to, by TCP, at the management network's address of controllers."""
    api: Path | None
    """The socket of its northbound API (``controller.api``); None: it has none, and is asked nothing."""
    state: Programming
    """What it said of its switches so far; ``state.switches`` are those that are its own."""
    restarts: int
    compiled: Callable[[], None]
    """What it calls when one that was just started is about to program its switches."""
    names: Callable[[], Names]
    """What addresses are called in the words of its events."""

    @property
    def pid(self) -> int:
        """Its process id, 0 while there is none."""

    def start(self) -> None:
        """Start it, before it has a task."""

    def keep(self, topology: Topology) -> None:
        """Give it its task, and start it again whenever it dies."""

    def replace(self, topology: Topology) -> int:
        """Note what one that starts from now on finds as its task; the task's number."""

    def has_read(self, number: int) -> bool:
        """Whether it has started with this task, or a later one. One without API knows of it by then."""

    def restart(self) -> None:
        """Kill it; a new one starts at once."""

    def stop(self) -> None:
        """End it, for good."""

    def wait_until(
        self, holds: Callable[[Programming], bool], timeout: float, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        """Wait until ``holds`` of its ``state``; raises Failure."""

    def wait_programmed(
        self, timeout: float, most_restarts: int = 3, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        """Wait until its switches have their first tables; raises Failure."""


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
    )


MAKERS: dict[str, Maker] = {SDNLAB: own}


class Controllers:
    """The controllers of one lab. ``own`` is the lab's own."""

    def __init__(self, means: Means) -> None:
        self.own = MAKERS[SDNLAB](means)
        self._means = means
        self._all: dict[str, SwitchController] = {SDNLAB: self.own}
        self._whose: dict[str, str] = {}

    def start(self) -> None:
        """Start the lab's own at once: it imports while the topology is being loaded."""
        self.own.start()

    def keep(self, topology: Topology) -> None:
        """Make and start the others that ``topology`` names, and tell all what to do.

        Whose a switch is stays as it is while the lab runs.
        """
        self._whose = {switch.name: switch.controller for switch in topology.switches}
        for name in sorted(set(self._whose.values()) - self._all.keys()):
            self._all[name] = MAKERS[name](self._means)
            self._all[name].start()
        for controller in self._all.values():
            controller.keep(topology)

    def of(self, switch: str) -> SwitchController:
        """Whose a switch is. KeyError: there is no such switch."""
        return self._all[self._whose[switch]]

    def all(self) -> list[SwitchController]:
        """Every one, the lab's own first."""
        return list(self._all.values())

    def at_work(self) -> list[SwitchController]:
        """Those that have a switch, the lab's own first."""
        return [controller for name, controller in self._all.items() if name in self._whose.values()]

    def ports(self) -> dict[str, int]:
        """Controller -> the TCP port where its switches connect to."""
        return {name: controller.port for name, controller in self._all.items()}

    @property
    def converged(self) -> bool:
        """Whether each has brought its switches what it wants them to have."""
        return all(controller.state.converged for controller in self.at_work())

    def wait_programmed(self, timeout: float, doubt: Callable[[str], Callable[[], str]]) -> None:
        """Wait until all switches have their first tables; raises Failure. ``doubt`` makes, of a controller's
        name, what says why there is no sense in waiting for it."""
        for controller in self.at_work():
            controller.wait_programmed(timeout, doubt=doubt(controller.name))
