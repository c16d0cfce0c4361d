"""Runs the checks of a lab's file, for the API."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from dataplane.hosts.drivers import driver
from lab.checks.diagnosis import Ailing
from lab.checks.room import Cancelled, Visit
from lab.checks.run import Numbered, Run
from lab.checks.ways import Ways
from lab.failure import Failure, unknown
from lab.messages.checks import CheckLine
from lab.messages.lab import Event, FlowState
from lab.messages.trace import TraceRequest, TraceState
from lab.probe.prober import open_in, visiting
from lab.supervisor.following import follow
from topologies.model.check import AnyCheck
from topologies.model.checks_of_ways import Survives
from topologies.model.topology import Topology

if TYPE_CHECKING:
    from lab.supervisor.lab import Lab

HEARTBEAT = 1.0
"""Seconds after which a line is sent in any case, so that a client knows that the lab works."""
REPAIRED = 20.0
"""Seconds until a lab works again after what a check has broken is repaired."""
T = TypeVar("T")
CHANGED = Failure("the lab was changed while it was checked", "check again: sdnlab check")


class LabRoom:
    """The lab, as ``lab.checks.room.Room``."""

    def __init__(self, lab: Lab, topology: Topology, cancelled: Callable[[], bool]) -> None:
        self._lab, self._topology, self._cancelled = lab, topology, cancelled

    @property
    def topology(self) -> Topology:
        return self._topology

    @contextmanager
    def still(self) -> Iterator[None]:
        with _held(self._lab.lock, self._cancelled):
            if self._lab.topology is not self._topology and self._lab.topology != self._topology:
                raise CHANGED
            yield

    def open_socket(self, host: str) -> socket.socket:
        net = self._lab.net
        seen = net.seen_at(host)
        return open_in(net.space_fd(seen.netns), seen.device)

    def command(self, host: str, words: Sequence[str]) -> list[str]:
        place = self._lab.net.place(host)
        return driver(place.kind).command(place, words)

    def inside(self, host: str, make: Callable[[], T]) -> T:
        return visiting(self._lab.net.namespace_fd(host), make)

    def flows(self, switch: str) -> list[FlowState]:
        return self._lab.flows(switch)

    def last_event(self) -> int:
        events = self._lab.events.since(0)
        return events[-1]["number"] if events else 0

    def events(self, after: int) -> list[Event]:
        return self._lab.events.since(after)

    def break_(self, action: str, target: str) -> None:
        lab = self._lab
        match action:
            case "link":
                lab.set_link(target, False)
            case "switch":
                lab.set_switch(target, False)
            case "function":
                function, instance = self._instance(target)
                lab.control_function(function, "stop", instance)
            case "controller":
                lab.controllers.own.restart()
            case "domain":
                pid, _ = lab.net.daemon_sockets()[target, "ovs-vswitchd"]
                os.kill(pid, signal.SIGKILL)

    def repair(self, action: str, target: str) -> None:
        lab = self._lab
        match action:
            case "link":
                lab.set_link(target, True)
            case "switch":
                lab.set_switch(target, True)
            case "function":
                function, instance = self._instance(target)
                lab.control_function(function, "start", instance)
        until = time.monotonic() + REPAIRED
        while lab.health.ailing() or not lab.controllers.converged:
            if time.monotonic() > until:
                words = "; ".join(lab.health.ailing().values()) or "not all switches are programmed"
                raise Failure(f"the lab has not recovered: {words}", "see: sdnlab status")
            time.sleep(0.05)

    def _instance(self, target: str) -> tuple[str, str | None]:
        functions = [function.name for function in self._topology.functions]
        return (target, None) if target in functions else (target.rpartition(".")[0], target)

    def trace(self, request: TraceRequest) -> TraceState:
        return follow(self._lab, request)

    def ailing(self) -> Ailing:
        lab = self._lab
        down = frozenset(name for name, up in lab.net.link_states().items() if not up)
        return Ailing(down, frozenset(lab.switches_down), frozenset(lab.functions.failed()))

    def watched(
        self, functions: Sequence[str], links: Sequence[str]
    ) -> dict[str, Callable[[], socket.socket]]:
        net = self._lab.net
        points: dict[str, Callable[[], socket.socket]] = {}

        def opener(netns: str, device: str) -> Callable[[], socket.socket]:
            return lambda: open_in(net.space_fd(netns), device)

        for instance in net.plan.instances:
            if instance.function in functions:
                for wire in instance.wires:
                    point = f"{instance.name}:{wire.near.device}"
                    points[point] = opener(instance.netns, wire.near.device)
        for between in net.plan.underlay.links:
            for end in (between.a, between.b) if between.name in links else ():
                points[f"link {between.name} at {end.node}"] = opener(end.netns, end.device)
        return points


class Checking:
    """A run of checks in a thread of its own; ``lines`` are those of the answer, as they come."""

    def __init__(self, lab: Lab, only: Sequence[str] | None = None, within: float = 0.0) -> None:
        """``only``: names of checks; None: all. ``within``: seconds of each at least. Raises Failure."""
        chosen(lab.topology, only, lab.file)
        self._lab, self._only, self._within = lab, only, within
        self._cancel, self._began = threading.Event(), time.monotonic()
        self._lines: queue.SimpleQueue[CheckLine | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="checks", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End the run soon."""
        self._cancel.set()

    def line(self) -> CheckLine | None:
        """The next line; after some time without one, a line that says that the run goes on. None: the
        end."""
        try:
            return self._lines.get(timeout=HEARTBEAT)
        except queue.Empty:
            return {"kind": "progress"}

    def _run(self) -> None:
        lab, counts = self._lab, {"passed": 0, "failed": 0, "error": 0}

        def say(line: CheckLine) -> None:
            if line["kind"] == "result":
                counts[line["result"]["verdict"]] += 1
            self._lines.put(line)

        try:
            with _held(lab.checking, self._cancelled, self._wait):
                with _held(lab.lock, self._cancelled, self._wait):  # not in the middle of a change
                    topology = lab.topology
                checks = chosen(topology, self._only, lab.file, self._within)
                room = LabRoom(lab, topology, self._cancelled)
                Run(Visit(room, Ways(topology), self._cancelled), say).all(checks)
                with room.still():
                    text = f"{counts['passed']} of {sum(counts.values())} checks passed"
                    lab.events.add("check", text, counts)
                    self._lines.put({"kind": "end", "seconds": time.monotonic() - self._began})
        except Cancelled:
            self._fail("the checks were interrupted", "")
        except Exception as error:
            what = error.what if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
            remedy = error.remedy if isinstance(error, Failure) else "see: sdnlab logs supervisor"
            self._fail(f"the checks can't go on: {what}", remedy)
        finally:
            self._lines.put(None)

    def _wait(self) -> None:
        self._lines.put({"kind": "progress", "what": "waiting for another change or check of this lab"})

    def _cancelled(self) -> bool:
        return self._cancel.is_set()

    def _fail(self, what: str, remedy: str) -> None:
        self._lines.put({"kind": "failure", "what": what, "remedy": remedy})


def chosen(topology: Topology, only: Sequence[str] | None, file: str, within: float = 0.0) -> list[Numbered]:
    """The checks of a topology with the names in ``only``; None: all. ``within``: seconds that each has at
    least. Raises Failure."""
    numbered = [Numbered(number, patient(check, within)) for number, check in enumerate(topology.checks, 1)]
    if not numbered:
        remedy = "write checks: [{reachable: {from: all, to: all}}] in it, and: sdnlab apply FILE"
        raise Failure(f"the topology file of this lab, {file}, has no checks", remedy)
    names = [check.name for check in topology.checks]
    for name in only or ():
        if name not in names:
            raise unknown("check", name, names)
    return [some for some in numbered if only is None or some.check.name in only]


def patient(check: AnyCheck, within: float) -> AnyCheck:
    """The same check, with at least so many seconds; so has the check that it repeats."""
    if isinstance(check, Survives):
        check = check.model_copy(update={"check": patient(check.check, within)})
    return check.model_copy(update={"within": max(check.within, within)})


@contextmanager
def _held(
    lock: threading.Lock, cancelled: Callable[[], bool], waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold a lock, for which the caller waits as long as it takes. Raises Cancelled."""
    while not lock.acquire(timeout=HEARTBEAT):
        if cancelled():
            raise Cancelled
        waiting()
    try:
        yield
    finally:
        lock.release()
