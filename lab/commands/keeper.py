"""Keeps the commands of a lab's hosts (``run:`` in the topology file)."""

from __future__ import annotations

import os
import selectors
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue

from lab.commands.command import END_PATIENCE, Kept, Start
from lab.commands.dhcp_client import commands_of
from lab.commands.output import HostLog
from lab.commands.policy import how
from lab.events.log import EventLog
from lab.messages.lab import CommandState
from topologies.model.hosts import Command
from topologies.model.topology import Topology

Key = tuple[str, str]
"""The names of a host and of its command."""


class HostCommands:
    """All commands of a lab's hosts.  One thread starts, reads and ends them; it begins with the first."""

    def __init__(self, start: Start, events: EventLog) -> None:
        self._start, self._events = start, events
        self._kept: dict[Key, Kept] = {}
        self._logs: dict[str, HostLog] = {}
        self._several: set[str] = set()
        self._leaving: list[Kept] = []
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._selector: selectors.BaseSelector | None = None
        self._bell = -1
        self._gone = threading.Condition()

    # Changes

    def retain(self, topology: Topology, marks: Mapping[str, str]) -> None:
        """End the commands that ``topology`` does not have, and those of hosts whose mark is another one.

        ``marks``: host -> the name of its namespace. Returns when they have ended.
        """
        wanted = {
            (host.name, command.name): (marks.get(host.name), command)
            for host in topology.hosts
            for command in commands_of(host)
        }
        with self._gone:
            gone = [kept for key, kept in self._kept.items() if wanted.get(key) != (kept.mark, kept.command)]
            for kept in gone:
                del self._kept[kept.host, kept.command.name]
            for host in self._logs.keys() - {host.name for host in topology.hosts}:
                del self._logs[host]
            self._leaving += gone
        if not gone:
            return
        self._do(lambda: _leave(gone))
        with self._gone:
            self._gone.wait_for(lambda: not any(kept in self._leaving for kept in gone), END_PATIENCE + 2.0)

    def become(self, topology: Topology, marks: Mapping[str, str]) -> None:
        """Like ``retain``, and start the commands that are new. Doesn't wait for them."""
        self.retain(topology, marks)
        fresh: list[Kept] = []
        with self._gone:
            self._several = {host.name for host in topology.hosts if len(commands_of(host)) > 1}
            for host in topology.hosts:
                for command in commands_of(host):
                    key = host.name, command.name
                    if key not in self._kept and host.name in marks:
                        self._kept[key] = self._keep(host.name, marks[host.name], command)
                        fresh.append(self._kept[key])
        if fresh:
            self._do(lambda: self._begin(fresh))

    def _keep(self, host: str, mark: str, command: Command) -> Kept:
        log = self._logs.setdefault(host, HostLog())

        def tell(text: str) -> None:
            self._events.add("command", text, {"host": host, "command": kept.command.name})

        kept = Kept(host, mark, command, log, self._start, tell, lambda: host in self._several)
        return kept

    # Questions

    def states(self) -> dict[str, list[CommandState]]:
        """Host -> its commands, for the hosts that have some."""
        with self._gone:
            states: dict[str, list[CommandState]] = {}
            now = time.monotonic()
            for (host, _), kept in self._kept.items():
                states.setdefault(host, []).append(kept.view(now))
            return states

    def troubles(self) -> list[str]:
        """Texts about commands that failed, or keep failing."""
        return [
            f"{host}: command {state['name']} "
            + (f"failed ({how(code)})" if state["state"] == "failed" else f"keeps failing ({how(code)})")
            + f"; see: sdnlab logs {host}"
            for host, states in self.states().items()
            for state in states
            if state["failing"] and (code := state["code"]) is not None
        ]

    def log(self, host: str) -> HostLog | None:
        """What the host's commands wrote; None: it has none."""
        with self._gone:
            return self._logs.get(host)

    def logs(self) -> dict[str, HostLog]:
        """Host -> what its commands wrote."""
        with self._gone:
            return dict(self._logs)

    # The thread

    def _do(self, order: Callable[[], None]) -> None:
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
            self._bell, self._rope = os.pipe()
            os.set_blocking(self._bell, False)
            self._selector.register(self._bell, selectors.EVENT_READ, None)
            threading.Thread(target=self._serve, name="commands", daemon=True).start()
        self._orders.put(order)
        os.write(self._rope, b"!")

    def _serve(self) -> None:
        while True:
            try:
                self._step()
            except Exception:  # a command must not end the keeper of the others
                traceback.print_exc()
                time.sleep(0.1)

    def _step(self) -> None:
        selector = self._selector
        assert selector is not None
        for key, _ in selector.select(self._patience()):
            if key.data is None:
                os.read(self._bell, 4096)
                continue
            kept, what = key.data
            now = time.monotonic()
            if kept.closed:
                continue
            if what == "end":
                selector.unregister(kept.handle)
                kept.ended(now)
                if kept.leaving:
                    self._forget(kept)
                    continue
            elif kept.paused_until is None:
                kept.read(now)
            if kept.paused_until is not None and kept.output in selector.get_map():
                selector.unregister(kept.output)
        while True:
            try:
                order = self._orders.get_nowait()
            except Empty:
                break
            order()
        self._do_due(time.monotonic())

    def _patience(self) -> float | None:
        with self._gone:
            all_kept = [*self._kept.values(), *self._leaving]
        times = [
            when
            for kept in all_kept
            for when in (kept.due, kept.kill_at, kept.look_at, kept.paused_until)
            if when is not None
        ]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _do_due(self, now: float) -> None:
        selector = self._selector
        assert selector is not None
        with self._gone:
            all_kept = [*self._kept.values(), *self._leaving]
        for kept in all_kept:
            if kept.paused_until is not None and kept.paused_until <= now:
                kept.paused_until = None
                selector.register(kept.output, selectors.EVENT_READ, (kept, "output"))
            if kept.look_at is not None and kept.look_at <= now:
                kept.look()
            if kept.kill_at is not None and kept.kill_at <= now:
                kept.kill()
            if kept.due is not None and kept.due <= now:
                self._run(kept, now)
            if kept.leaving and kept.process is None:
                self._forget(kept)

    def _begin(self, fresh: Iterable[Kept]) -> None:
        assert self._selector is not None
        for kept in fresh:
            self._selector.register(kept.output, selectors.EVENT_READ, (kept, "output"))
            kept.due = time.monotonic()

    def _run(self, kept: Kept, now: float) -> None:
        assert self._selector is not None
        kept.run(now)
        if kept.handle >= 0:
            self._selector.register(kept.handle, selectors.EVENT_READ, (kept, "end"))

    def _forget(self, kept: Kept) -> None:
        """It has ended for good: whoever waits for that may go on."""
        assert self._selector is not None
        with self._gone:
            if kept not in self._leaving:
                return
            self._leaving = [other for other in self._leaving if other is not kept]
            if kept.output in self._selector.get_map():
                self._selector.unregister(kept.output)
            kept.close()
            self._gone.notify_all()


def _leave(gone: Iterable[Kept]) -> None:
    for kept in gone:
        kept.leave(time.monotonic())
