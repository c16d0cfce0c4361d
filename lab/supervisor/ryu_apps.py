"""Ryu apps of the user's own as the controller of switches: their process, kept running and reloaded.

The process is the launcher (``controller.ryu``) in the lab's namespaces. Nothing is known of what the apps
mean their switches to do: a switch is at work when it is connected.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from controller.messages import Nameless, Names
from controller.ryu.reports import BadMessage, SwitchReport, parse
from controller.ryu.starting import command
from lab.failure import Failure
from lab.functions.backoff import restart_delay
from lab.messages.lab import ApplicationState
from lab.supervisor.app_files import AppFiles
from lab.supervisor.app_reports import AppReports
from lab.supervisor.controller import Programming, own_switches
from topologies.model.applications import Application

if TYPE_CHECKING:
    from lab.events.log import EventLog
    from topologies.model.topology import Topology

_STEADY = 10.0
"""Seconds after which a process that ends has not failed at its start."""
_LOOK = 0.4
"""Seconds between two looks at the files of apps."""
_END_PATIENCE = 1.5
"""Seconds that apps have to end before they are killed."""
CONNECTING = 6.0
"""Seconds for which the start of a lab waits for switches to connect to apps."""
MOST_LOG = 16 << 20
"""Bytes of what apps write that are kept: the lab's files are in memory."""


class RyuApps:
    """A controller whose process runs Ryu apps; a ``SwitchController``.

    It listens at ``port`` itself, so that switches can connect while there is no process. ``clear`` empties
    the tables of switches, by name: a changed app begins with empty ones. ``wsapi``: the port of its HTTP
    server, if its options name none.
    """

    api: Path | None = None

    def __init__(
        self,
        application: Application,
        port: int,
        run_dir: Path,
        events: EventLog,
        wsapi: int,
        clear: Callable[[frozenset[str]], list[str]],
    ) -> None:
        self.name = application.name
        self.application = application
        self.log = run_dir / f"{application.name}.log"
        self.state = Programming()
        self.state.converged = True
        self.restarts = 0
        self.compiled: Callable[[], None] = lambda: None
        self.names: Callable[[], Names] = Nameless
        self._events, self._wsapi, self._clear = events, wsapi, clear
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("0.0.0.0", port))
        self._listener.listen(1024)
        self.port: int = self._listener.getsockname()[1]
        self._switches: dict[int, str] = {}
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._again = threading.Event()
        self._fresh = False
        self._why = ""
        self._in_a_row = 0
        self._since = 0.0
        self.reports = AppReports(self.name, self._switches)

    # As the lab's controllers are

    def start(self) -> None:
        """Nothing: the process starts when the switches are known."""

    def keep(self, topology: Topology) -> None:
        """Start it for its switches, restart it whenever it ends, and when its files change."""
        self._take(topology)
        threading.Thread(target=self._keep, name=f"controller {self.name}", daemon=True).start()
        threading.Thread(target=self._watch, name=f"files of {self.name}", daemon=True).start()

    def replace(self, topology: Topology) -> int:
        """Take another topology; with other apps or options, it starts anew. 0: an app confirms nothing."""
        before = self.application
        self._take(topology)
        if self.application != before:
            self._renew("its description has changed", fresh=True)
        return 0

    def has_read(self, number: int) -> bool:
        return True

    def _take(self, topology: Topology) -> None:
        with self._changed:
            for application in topology.applications:
                if application.name == self.name:
                    self.application = application
            self.state.switches = own_switches(topology, self.name)
            mine = {
                switch.dpid: switch.name for switch in topology.switches if switch.controller == self.name
            }
            self._switches.clear()
            self._switches.update(mine)
            self.reports.keep(self.state.switches)
            self.state.connected &= self.state.switches
            self.state.programmed &= self.state.switches

    @property
    def pid(self) -> int:
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def restart(self) -> None:
        """Kill it. A new one starts immediately."""
        self._renew("was restarted", fresh=False)

    def stop(self) -> None:
        """End it, and don't start it again."""
        self._over.set()
        self._again.set()
        self._end()
        self._listener.close()

    def wait_until(
        self, holds: Callable[[Programming], bool], timeout: float, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        """Wait until ``holds`` is true of its ``state``; raises Failure."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not holds(self.state):
                left = deadline - time.monotonic()
                why = doubt() or ("its app can't run" if self.reports.failed is not None else "")
                if why or left <= 0:
                    raise Failure(f"controller {self.name}: {why or 'its switches are not connected'}")
                self._changed.wait(min(0.2, left))

    def wait_programmed(
        self, timeout: float, most_restarts: int = 3, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        """Wait until its switches are connected, for some seconds. A lab is up with apps that don't work."""
        with contextlib.suppress(Failure):
            self.wait_until(
                lambda state: state.switches <= state.connected or self._in_a_row > 1,
                min(timeout, CONNECTING),
                doubt,
            )

    def wait_ready(self, timeout: float) -> None:
        """Wait until its apps run, or can't."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self.reports.started is None and self.reports.failed is None and self._in_a_row < 2:
                if (left := deadline - time.monotonic()) <= 0:
                    return
                self._changed.wait(min(0.2, left))

    def told(self) -> ApplicationState:
        """Its state for people and programs."""
        reports = self.reports
        started, failed = reports.started, reports.failed
        pid = self.pid
        state: Literal["starting", "running", "ended", "failed"]
        state = "ended" if not pid else "running" if started is not None else "starting"
        if failed is not None:
            state = "failed"
        return {
            "name": self.name,
            "apps": list(self.application.apps),
            "options": list(self.application.options),
            "state": state,
            "pid": pid,
            "restarts": self.restarts,
            "in_a_row": self._in_a_row,
            "since": self._since,
            "hub": started.hub if started is not None else None,
            "port": self.port,
            "wsapi": started.wsapi if started is not None else None,
            "switches": sorted(self.state.switches),
            "connected": dict(sorted(reports.connected.items())),
            "error": failed.error if failed is not None else "",
            "remedy": (failed.remedy or "") if failed is not None else "",
            "traceback": failed.traceback if failed is not None else "",
            "crashes": reports.crashed,
            "last_crash": reports.last_crash,
        }

    # Its process

    def _renew(self, why: str, fresh: bool) -> None:
        """Let a new process follow. ``fresh``: it begins with empty tables."""
        with self._changed:
            self._fresh, self._why = fresh, why
        self._again.set()
        self._end()

    def _end(self) -> None:
        """End the process; one that does not follow is killed."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            process.wait(_END_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()

    def _words(self) -> list[str]:
        options = list(self.application.options)
        if not any(option.partition("=")[0] == "--wsapi-port" for option in options):
            options.append(f"--wsapi-port={self._wsapi}")
        return [*options, *self.application.apps]

    def _spawn(self) -> int:
        """Start the process; the stream of its reports."""
        reader, writer = os.pipe()
        given = ["--listen-fd", str(self._listener.fileno()), "--report-fd", str(writer)]
        try:
            with self.log.open("ab") as log:
                process = subprocess.Popen(
                    command([*given, *self._words()]),
                    pass_fds=(self._listener.fileno(), writer),
                    cwd=self.log.parent,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        with self._changed:
            self._process = process
            self._since = time.time()
            self.reports = AppReports(self.name, self._switches)
        if self._over.is_set():
            process.kill()
        return reader

    def _keep(self) -> None:
        while not self._over.is_set():
            self._again.clear()
            began = time.monotonic()
            try:
                reader = self._spawn()
            except OSError as error:
                self._events.add(
                    "app", f"can't start the process of controller {self.name}: {error.strerror}"
                )
                self._over.wait(restart_delay(9))
                continue
            self._follow(reader)
            assert self._process is not None
            code = self._process.wait()
            if self._over.is_set():
                return
            self._ended(code, time.monotonic() - began)

    def _ended(self, code: int, seconds: float) -> None:
        """Tell the end of the process, and wait until the next may start."""
        with self._changed:
            self.state.connected.clear()
            self.state.programmed.clear()
            asked, why, fresh, self._fresh = self._again.is_set(), self._why, self._fresh, False
            failed = self.reports.failed is not None
            if not asked and not failed:
                self.restarts += 1
                self._in_a_row = 1 if seconds > _STEADY else self._in_a_row + 1
            else:
                self._in_a_row = 0
            self._changed.notify_all()
        who = f"controller {self.name}"
        if asked:
            self._events.add("app", f"{who}: {why}; a new process starts")
        elif failed:  # it would fail again: its files must change first
            self._again.wait()
            with self._changed:
                why, fresh, self._fresh = self._why, self._fresh, False
            if not self._over.is_set():
                self._events.add("app", f"{who}: {why}; a new process starts")
        else:
            delay = restart_delay(self._in_a_row - 1)
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            often = f", {self._in_a_row} times in a row" if self._in_a_row > 1 else ""
            after = f" in {delay:g} s" if delay else ""
            text = f"{who} ended ({how}){often}; a new process starts{after}; its switches keep their flows"
            self._events.add("app", text, {"code": code})
            self._again.wait(delay)
        if fresh and not self._over.is_set():
            for problem in self._clear(self.state.switches):
                self._events.add("app", f"{who}: {problem}")

    def _follow(self, reader: int) -> None:
        """Follow the reports of the process until it ends."""
        with os.fdopen(reader, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    report = parse(line)
                    told = self.reports.take(report)
                except (BadMessage, ValueError) as problem:
                    self._events.add(
                        "error", f"controller {self.name} says what is not understood: {problem}"
                    )
                    continue
                if told is not None:
                    self._events.add(told.event, told.text, told.data)
                with self._changed:
                    if isinstance(report, SwitchReport):
                        self.state.connected = set(self.reports.connected)
                        self.state.programmed = set(self.reports.connected)
                    self._changed.notify_all()

    def _watch(self) -> None:
        """Restart it when its files have changed; keep its log small."""
        of, files = self.application, AppFiles(self.application.files)
        while not self._over.wait(_LOOK):
            if self.application != of:
                of, files = self.application, AppFiles(self.application.files)
            if names := files.changed():
                self._renew(
                    f"{', '.join(names)} changed, and the tables of its switches are emptied", fresh=True
                )
            with contextlib.suppress(OSError):
                if self.log.stat().st_size > MOST_LOG:
                    os.truncate(self.log, 0)
