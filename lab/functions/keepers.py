"""Keeps functions' processes running: starts, reads, restarts and changes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.fabric import functions
from lab.events.host_names import Names
from lab.events.log import EventLog
from lab.failure import Failure
from lab.functions.keeper import Keeper, Running, Starter
from lab.functions.lines import Line
from lab.functions.state import InstanceRecord
from nfv.lines import REPLACE, command
from topologies.model.attachment import Scalable
from topologies.model.functions import Function
from topologies.model.kinds import LoadBalancer
from topologies.model.topology import Topology

if TYPE_CHECKING:
    from nfv.contract import Program

REPLACE_PATIENCE = 10.0
"""Timeout in seconds for a process to confirm changed files."""

Describe = Callable[[Function, str, Topology], "Program"]


def processes(topology: Topology) -> dict[str, Function]:
    """Instances that have a process: those of inline and tap functions, and a balancer (under its own
    name)."""
    instances: dict[str, Function] = {}
    for function in topology.functions:
        instances |= {instance.name: function for instance in function.instances}
        if function.end_system is not None:
            instances[function.name] = function
    return instances


class Functions:
    """All functions' processes of a lab.

    ``changed`` is called when other instances or backends than before don't work. ``reported`` waits until
    the controller knows it.
    """

    def __init__(
        self,
        describe: Describe,
        starter: Starter,
        events: EventLog,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.starter = starter
        self.changed: Callable[[], None] = lambda: None
        self.reported: Callable[[float], bool] = lambda patience: True
        self._describe, self._events, self._clock = describe, events, clock
        self._keepers: dict[str, Keeper] = {}
        self._functions: dict[str, Function] = {}
        self._names: Names | None = None
        self._condition = threading.Condition()

    # Queries

    def records(self) -> dict[str, InstanceRecord]:
        """Every instance's record, by name."""
        with self._condition:
            return {name: keeper.record for name, keeper in self._keepers.items()}

    def failed(self) -> dict[str, str]:
        """Instances without a working process, and backends that are down, under the controller's names, with
        reasons."""
        with self._condition:
            reasons: dict[str, str] = {}
            for name, keeper in self._keepers.items():
                function = self._functions[name]
                own = function.balancer.backends if isinstance(function, LoadBalancer) else ()
                known = {backend.host for backend in own}
                bad = keeper.record.failed(isinstance(function.attachment, Scalable))
                reasons |= {n: why for n, why in bad.items() if "/" not in n or n.partition("/")[2] in known}
            return reasons

    def remarks(self, functions: Iterable[Function]) -> list[str]:
        """Messages of instances of these functions, other than that they run."""
        wanted = {function.name for function in functions}
        records = [record for record in self.records().values() if record.function in wanted]
        return [
            f"{record.name}: {record.message}"
            for record in records
            if record.state == "running" and record.message
        ]

    # Changes

    def prepare(self, topology: Topology, patience: float, but: Collection[str] = ()) -> list[str]:
        """Start the new instances of ``topology``, and give running instances their changed files; skip
        instances ``but``.

        Stops nothing. Waits up to ``patience`` seconds until all work; texts about those that don't.
        """
        wanted = {name: function for name, function in processes(topology).items() if name not in but}
        programs = {name: self._describe(function, name, topology) for name, function in wanted.items()}
        awaited: list[str] = []
        with self._condition:
            self._names = Names(topology)
            for name, function in wanted.items():
                self._functions[name] = function
                if name not in self._keepers:
                    record = InstanceRecord(name, function.name, since=self._clock())
                    self._keepers[name] = Keeper(self, self.starter, record, programs[name])
                    awaited.append(name)
            keepers = dict(self._keepers)
        for name in awaited:
            keepers[name].start()
        late = []
        for name, program in programs.items():
            keeper = keepers[name]
            if keeper.program != program:
                late += self._replace(keeper, program)
        return [*self._not_at_work(awaited, patience), *late]

    def halt(self, names: Iterable[str]) -> None:
        """End these instances, as far as they run, until ``renew``: their devices will be replaced."""
        with self._condition:
            keepers = [self._keepers[name] for name in names if name in self._keepers]
        for keeper in keepers:
            keeper.stop()
        for keeper in keepers:
            keeper.join()

    def renew(self, topology: Topology, names: Collection[str], patience: float) -> list[str]:
        """Start those of these instances that ``topology`` has, old or new.

        Waits like ``prepare``.
        """
        wanted = {name: function for name, function in processes(topology).items() if name in names}
        self.halt(wanted)
        with self._condition:
            there = {name: keeper for name, keeper in self._keepers.items() if name in wanted}
        for name, keeper in there.items():
            keeper.program = self._describe(wanted[name], name, topology)
            keeper.start()
        fresh = self.prepare(topology, patience, [name for name in processes(topology) if name not in names])
        return [*self._not_at_work(there, patience), *fresh]

    def retain(self, topology: Topology) -> None:
        """End and forget the instances that ``topology`` does not have."""
        wanted = processes(topology)
        with self._condition:
            gone = {name: keeper for name, keeper in self._keepers.items() if name not in wanted}
        for keeper in gone.values():
            keeper.stop()
        for name, keeper in gone.items():
            keeper.join()
            with self._condition:
                del self._keepers[name]
                del self._functions[name]
            self.starter.remove(name)
        with self._condition:
            self._names = Names(topology)
            self._functions.update(wanted)
        self.changed()

    def control(self, action: str, names: Iterable[str]) -> None:
        """``stop``, ``start`` or ``restart`` instances."""
        with self._condition:
            keepers = [self._keepers[name] for name in names]
        if action in ("stop", "restart"):
            for keeper in keepers:
                keeper.stop()
            for keeper in keepers:
                keeper.join()
        if action in ("start", "restart"):
            for keeper in keepers:
                keeper.start()
            self._not_at_work([keeper.record.name for keeper in keepers], REPLACE_PATIENCE)
        self.changed()

    def stop_all(self) -> None:
        """Ask all of them to end, without waiting."""
        for keeper in list(self._keepers.values()):
            keeper.stop()

    def _replace(self, keeper: Keeper, program: Program) -> list[str]:
        """Give changed files to a running process, or restart it if it can't load them."""
        old, keeper.program = keeper.program, program
        process, name = keeper.process, keeper.record.name
        if process is None or not keeper.wanted:
            return []  # it loads them when it starts
        if not program.replaceable or old.argv != program.argv:
            keeper.stop()
            keeper.join()
            keeper.start()
            return self._not_at_work([name], REPLACE_PATIENCE)
        before = keeper.replaced
        process.write(program.files)
        if not process.tell(command(REPLACE)):
            return [f"{name} did not take its changed configuration"]
        with self._condition:
            took = self._condition.wait_for(
                lambda: keeper.replaced > before or keeper.process is not process, REPLACE_PATIENCE
            )
        if not took:
            return [f"{name} did not take its changed configuration within {REPLACE_PATIENCE:.0f} s"]
        if keeper.record.state == "failed":
            return [f"{name} could not take its changed configuration: {keeper.record.message}"]
        return []

    def _not_at_work(self, names: Iterable[str], patience: float) -> list[str]:
        waiting = list(names)
        with self._condition:
            keepers = [self._keepers[name] for name in waiting]
            self._condition.wait_for(lambda: all(k.record.state != "starting" for k in keepers), patience)
            bad = [k.record for k in keepers if k.record.state != "running"]
        return [f"{r.name} is {r.state}" + (f": {r.message}" if r.message else "") for r in bad]

    # Callbacks of the keepers

    def starting(self, record: InstanceRecord) -> None:
        """A process is about to start."""
        with self._condition:
            record.become("starting", "", self._clock())

    def started(self, record: InstanceRecord, pid: int) -> None:
        """A process has started; it reports itself when it works."""
        with self._condition:
            record.pid = pid
            record.become("starting", "", self._clock())

    def said(self, record: InstanceRecord, line: Line, quiet: bool) -> None:
        """A process has written a line."""
        with self._condition:
            matters = record.take(line.message, self._clock())
            names = self._names
            self._condition.notify_all()
        if not quiet and names is not None:
            data = {**line.fields, "function": record.function, "instance": record.name}
            self._events.add(line.event_type, line.text(record.name, record.function, names), data)
        if matters:
            self.changed()

    def held_back(self, record: InstanceRecord, number: int) -> None:
        """So many events were suppressed."""
        text = f"{record.name}: {number} more events came too fast and are not listed"
        self._events.add("function", text, {"function": record.function, "instance": record.name})

    def dead(self, record: InstanceRecord, how: str) -> None:
        """A process has ended unexpectedly."""
        with self._condition:
            record.pid = 0
            record.restarts += 1
            if record.state != "failed":  # it has said why itself, which tells more than how it ended
                record.become("dead", how, self._clock())
            self._condition.notify_all()
        text = f"{record.name} {how}; it is started again"
        data = {"function": record.function, "instance": record.name, "state": "dead"}
        self._events.add("function", text, data)
        self.changed()

    def stopped(self, record: InstanceRecord) -> None:
        """A process has ended on request."""
        with self._condition:
            record.pid = 0
            record.become("stopped", "", self._clock())
            self._condition.notify_all()
        data = {"function": record.function, "instance": record.name, "state": "stopped"}
        self._events.add("function", f"{record.name} is stopped", data)
        self.changed()


class NetStarter:
    """Starts processes in the lab's namespaces. ``spaces`` returns the descriptor of an instance's
    namespace."""

    def __init__(self, spaces: Callable[[str], int], run_dir: Path) -> None:
        self._spaces, self._run_dir = spaces, run_dir

    def start(self, instance: str, program: Program) -> Running:
        directory = self._run_dir / "functions" / instance
        try:
            netns = self._spaces(instance)
        except KeyError:
            raise Failure("its namespace is gone") from None
        return functions.start(netns, directory, program.argv, program.files, self._run_dir)

    def remove(self, instance: str) -> None:
        functions.remove(self._run_dir / "functions" / instance)
