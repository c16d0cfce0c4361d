"""Keeps the controller process running, and follows its events about the switches."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from controller.messages import (
    AllProgrammed,
    Compiled,
    Computed,
    Connected,
    ControllerError,
    Disconnected,
    Event,
    Nameless,
    Names,
    Programmed,
    Recompiled,
    TablesHeld,
    decode,
)
from lab.events.log import EventLog
from lab.failure import Failure
from lab.functions.backoff import BACKOFF, restart_delay
from lab.supervisor import controller_main
from lab.supervisor.copies import Copy, copy
from topologies import extensions
from topologies.model.choices import NO_PART_OF_LABS, SDNLAB

if TYPE_CHECKING:
    from topologies.model.topology import Topology

_STEADY = 10.0
_LOOK = 0.1
"""Seconds between two checks of the process that we wait for."""


class Programming:
    """The state that follows from the controller's events: connected switches, and switches with their
    tables.

    ``settled``: the number of the last intent for which all switches were programmed. ``computed``, ``held``:
    what it says of all pairs of hosts, if it was started to prove them.
    """

    def __init__(self) -> None:
        self.switches: frozenset[str] = frozenset()
        self.connected: set[str] = set()
        self.programmed: set[str] = set()
        self.converged = False
        self.settled = 0
        self.flows = 0
        self.groups = 0
        self.compiled: float | None = None
        self.computed: Computed | None = None
        self.held: TablesHeld | None = None
        self.last_error = ""

    def take(self, event: Event) -> None:
        """Apply one event of the controller."""
        match event:
            case Compiled():
                self.flows, self.groups, self.compiled = event.flows, event.groups, event.seconds
            case Connected():
                self.connected.add(event.switch)
            case Disconnected():
                self.connected.discard(event.switch)
                self.programmed.discard(event.switch)
                self.converged = False
            case Programmed():
                self.connected.add(event.switch)
                self.programmed.add(event.switch)
            case Recompiled():
                self.flows, self.groups, self.converged = event.flows, event.groups, False
            case AllProgrammed():
                self.converged, self.settled = True, event.intent
                self.programmed |= self.connected
            case Computed():
                self.computed = event
            case TablesHeld():
                self.held = event
            case ControllerError():
                self.last_error = event.message

    def reset(self) -> None:
        """Forget everything: the controller has died. (The switches continue to forward.)"""
        self.connected.clear()
        self.programmed.clear()
        self.converged = False
        self.settled = 0
        self.computed = self.held = None

    @property
    def proven(self) -> tuple[Computed, TablesHeld] | None:
        """What was computed, and that the switches hold the tables which it was computed on, or how not."""
        computed, held = self.computed, self.held
        if computed is None or held is None or computed.attempt != held.attempt:
            return None
        return computed, held

    @property
    def missing(self) -> list[str]:
        """Switches that have not confirmed their tables, in order."""
        return sorted(self.switches - self.programmed)


class Controller:
    """The controller's process, which is restarted when it dies, until the lab ends.

    ``listen_fd`` is the listening OpenFlow socket, at ``port``.  It stays open here, so that switches can
    connect while there is no controller.  ``api`` is the path of its northbound socket, ``log`` the file of
    its output. ``proves``: processes that start from now on prove all pairs of hosts. ``copied``: the first
    one is a copy of this process, if this has one thread; others are a new Python.
    """

    name = SDNLAB

    def __init__(
        self,
        listen_fd: int,
        topology: Path,
        api: Path,
        log: Path,
        events: EventLog,
        port: int = 0,
        copied: bool = False,
    ) -> None:
        self.port = port
        self._copied = copied
        self.api: Path | None = api
        self._state_file = api.with_suffix(".state")
        self.log = log
        self.restarts = 0
        self.proves = False
        self.state = Programming()
        self._listen_fd = listen_fd
        self._topology = topology
        self._events = events
        self._changed = threading.Condition()
        self._process: Copy | subprocess.Popen[bytes] | None = None
        self._asked = False
        self._over = threading.Event()
        self._intent = self._reader = -1
        self._number = self._read = 1
        self.compiled: Callable[[], None] = lambda: None
        """Called when a new controller is about to program the switches."""
        self.names: Callable[[], Names] = Nameless
        """The names of addresses, for the texts of events."""

    def start(self) -> None:
        """Start it early: it imports its modules while the topology is being loaded."""
        intent, self._intent = os.pipe()
        try:
            self._reader = self._spawn(f"/dev/fd/{intent}", intent)
        finally:
            os.close(intent)

    def keep(self, topology: Topology) -> None:
        """Give it its intent. A thread reads its events and restarts it when it dies."""
        text = topology.model_dump_json(exclude={*NO_PART_OF_LABS}).encode()
        self._topology.write_bytes(text)
        with self._changed:
            self.state.switches = own_switches(topology, self.name)

        def tell() -> None:
            with contextlib.suppress(BrokenPipeError), os.fdopen(self._intent, "wb") as pipe:
                pipe.write(text)

        # The intent may be larger than a pipe's buffer, and the reader is still importing.
        threading.Thread(target=tell, name="intent", daemon=True).start()
        threading.Thread(target=self._keep, args=(self._reader,), name="controller", daemon=True).start()

    def replace(self, topology: Topology) -> int:
        """Write the intent for controllers that start from now on; its number."""
        new = self._topology.with_name(self._topology.name + ".new")
        new.write_bytes(topology.model_dump_json(exclude={*NO_PART_OF_LABS}).encode())
        with self._changed:
            new.replace(self._topology)
            self._number += 1
            self.state.switches = own_switches(topology, self.name)
            self.state.connected &= self.state.switches  # it tells no more of those that leave it
            self.state.programmed &= self.state.switches
            return self._number

    def has_read(self, number: int) -> bool:
        """Whether the present controller was started with this intent or a later one."""
        with self._changed:
            return self._read >= number

    def wait_until(
        self, holds: Callable[[Programming], bool], timeout: float, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        """Wait until ``holds`` is true of the state. ``doubt``: returns a reason not to wait any longer, or
        empty.

        Raises Failure that says what is missing, at the latest after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not holds(self.state):
                why, left = doubt(), deadline - time.monotonic()
                if why:
                    raise Failure(why, "see: sdnlab status")
                if left <= 0:
                    absent = sorted(self.state.switches - self.state.connected)
                    rest = f"; not connected: {', '.join(absent[:8])}" if absent else ""
                    raise Failure(
                        f"the switches were not programmed within {timeout:.0f} s{rest}", "see: sdnlab events"
                    )
                self._changed.wait(min(_LOOK, left))

    @property
    def pid(self) -> int:
        """Its process id, 0 while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def restart(self) -> None:
        """Kill it. The keeper starts a new one immediately, which sends the switches the difference."""
        with self._changed:
            self._asked = True
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def stop(self) -> None:
        """End it, and start no other."""
        self._over.set()
        self.restart()

    def wait_programmed(
        self, timeout: float, most_restarts: int = 3, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        """Wait until every switch holds its tables; raises Failure that says what is missing.

        ``doubt``: returns a reason not to wait any longer, or empty.
        """
        began = time.monotonic()
        with self._changed:
            while not (self.state.converged or self.restarts >= most_restarts):
                if why := doubt():
                    raise Failure(why)
                if time.monotonic() - began > timeout:
                    break
                self._changed.wait(_LOOK)
            absent = sorted(self.state.switches - self.state.connected)
            if (
                self.state.converged and not absent
            ):  # the controller continues without the switches that are not connected
                return
            missing, error = self.state.missing, self.state.last_error
            restarts = self.restarts
        if restarts >= most_restarts:
            raise Failure(f"the controller keeps dying: {error or tail(self.log) or 'it left no message'}")
        problem = (
            f"{len(absent)} of {len(self.state.switches)} switches did not connect: {', '.join(absent[:8])}"
            if absent
            else f"{len(missing)} switches were not programmed: {', '.join(missing[:8])}"
        )
        waited = time.monotonic() - began
        raise Failure(f"{problem} within {waited:.0f} s" + (f" ({error})" if error else ""))

    def wait_ready(self, timeout: float) -> None:
        """Nothing: it takes switches from its start on."""

    def _spawn_again(self) -> int:
        """Start a controller with the newest intent; the stream of its events."""
        with self._changed:
            self._read = self._number
            task = os.open(self._topology, os.O_RDONLY)
        try:
            return self._spawn(f"/dev/fd/{task}", task)
        finally:
            os.close(task)

    def _spawn(self, topology: str, intent: int) -> int:
        reader, writer = os.pipe()
        arguments = [
            "--listen-fd", str(self._listen_fd),
            "--topology", topology, "--api", str(self.api), "--event-fd", str(writer),
            "--state", str(self._state_file), "--intent", str(self._read),
            *(["--prove"] if self.proves else []),
            *(f"--extension={name}" for name in extensions.loaded()),
        ]  # fmt: skip
        process: Copy | subprocess.Popen[bytes]
        inherited = (self._listen_fd, writer, intent)
        try:
            if self._copied and threading.active_count() == 1:
                controller_main.prepare_copy()
                process = copy(lambda: controller_main.main(arguments), "controller", self.log, inherited)
            else:  # in a copy of threads, a lock that another one holds would be held for ever
                process = self._another(arguments, inherited)
        finally:
            os.close(writer)
        with self._changed:
            self._process = process
            if self._over.is_set():  # it was ended during its start
                process.kill()
        return reader

    def _another(self, arguments: Sequence[str], inherited: Sequence[int]) -> subprocess.Popen[bytes]:
        """A Python that imports all that the controller needs."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", controller_main.__name__, *arguments],
                pass_fds=inherited,
                cwd=self.log.parent,  # "-m" imports from the current folder first: not from the user's
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _keep(self, reader: int) -> None:
        in_a_row = 0
        while True:
            started = time.monotonic()
            self._follow(reader)
            assert self._process is not None
            code = self._process.wait()
            if self._over.is_set():
                return
            in_a_row = 0 if time.monotonic() - started > _STEADY else in_a_row + 1
            with self._changed:
                self.state.reset()
                asked, self._asked = self._asked, False
                self.restarts += 0 if asked else 1
                self._changed.notify_all()
            delay = 0.0 if asked else restart_delay(in_a_row - 1)
            how = "was restarted" if asked else f"died ({_how(code)}); a new one starts" + _after(delay)
            self._events.add(
                "controller", f"the controller {how}; the switches keep forwarding", {"code": code}
            )
            self._over.wait(delay)
            while True:
                if self._over.is_set():
                    return
                try:
                    reader = self._spawn_again()
                    break
                except OSError as error:
                    self._events.add("controller", f"can't start the controller: {error.strerror}")
                    self._over.wait(BACKOFF[-1])

    def _follow(self, reader: int) -> None:
        with os.fdopen(reader, "rb") as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                    event = decode(message)
                except (ValueError, AttributeError) as problem:  # it is no JSON, no object or no event
                    self._events.add("error", f"the controller says what is not understood: {problem}")
                    continue
                if text := event.text(self.names()):
                    self._events.add(event.NAME, text, message)
                with self._changed:
                    self.state.take(event)
                    self._changed.notify_all()
                if isinstance(event, Compiled):
                    self.compiled()


def own_switches(topology: Topology, controller: str) -> frozenset[str]:
    """The switches that are this controller's."""
    return frozenset(switch.name for switch in topology.switches if switch.controller == controller)


def tail(path: Path, lines: int = 1) -> str:
    """The last ``lines`` lines of a log that are not blank, joined; empty if there are none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _after(delay: float) -> str:
    return f" in {delay:g} s" if delay else ""
