"""One command of a host: started, read, ended, and started again.

Its methods are called by one thread (see ``lab.commands.keeper``), which waits for the descriptors and times
that the command has.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab.commands.output import HostLog, Lines
from lab.commands.policy import KEEPS_ENDING, STEADY, TOLD, how, verdict
from lab.messages.lab import CommandState
from topologies.model.hosts import Command

READ = 65536
MOST_IN_A_SECOND = 1 << 17
"""Bytes. A command that writes more waits: the pipe to the lab is full."""
END_PATIENCE = 3.0
"""Seconds from SIGTERM to SIGKILL."""
SETTLED = 1.0
"""Seconds after which a command has its processes."""


class Process(Protocol):
    """A process that runs a command, the first of a process group (``subprocess.Popen``)."""

    @property
    def pid(self) -> int: ...
    def wait(self) -> int: ...


Start = Callable[[str, Command, int], Process]
"""Starts a command in the named host, with its output to the descriptor. Raises OSError and KeyError."""
Tell = Callable[[str], None]
"""Makes an event of a text."""


@dataclass(eq=False)
class Kept:
    """A command as it is kept. ``mark``: that of its host; another one is another host."""

    host: str
    mark: str
    command: Command
    log: HostLog
    start: Start
    tell: Tell
    name_lines: Callable[[], bool]
    """Whether its lines need its name: the host has several commands."""

    process: Process | None = None
    handle: int = -1
    """The pidfd of the process, -1 when none runs."""
    due: float | None = None
    """When it starts (again); the times of ``time.monotonic``."""
    kill_at: float | None = None
    """When it is killed, after it was asked to end."""
    leaving: bool = False
    """It must end and be forgotten."""
    look_at: float | None = None
    """When it is looked at, after its start."""
    paused_until: float | None = None
    """When its output is read again."""
    closed: bool = False
    state: CommandState = field(init=False)

    def __post_init__(self) -> None:
        # One pipe for all its runs: a daemon that it leaves writes on, and never waits or ends for that.
        self.output, self._input = os.pipe()
        os.set_blocking(self.output, False)
        self._lines = Lines()
        self._began = 0.0
        self._in_a_row = 0
        self._window, self._read = 0.0, 0
        self._groups: set[int] = set()
        self.state = {
            "name": self.command.name,
            "words": list(self.command.words),
            "restart": self.command.restart,
            "state": "starting",
            "pid": 0,
            "code": None,
            "restarts": 0,
            "since": time.time(),
            "failing": False,
        }

    # Runs

    def run(self, now: float) -> None:
        """Start it."""
        self.due = None
        self._began = now
        try:
            self.process = self.start(self.host, self.command, self._input)
            self.handle = os.pidfd_open(self.process.pid)
        except (OSError, KeyError) as error:
            self._over(127, now, f"can't be started: {error}")
            return
        self.look_at = now + SETTLED
        self._become("running", pid=self.process.pid)

    def look(self) -> None:
        """Note the process groups of what runs below its process: a container's commands have their own."""
        self.look_at = None
        if self.process is not None:
            self._groups |= groups_below(self.process.pid)

    def ended(self, now: float) -> None:
        """Its process has ended."""
        process = self.process
        assert process is not None
        info = os.waitid(os.P_PIDFD, self.handle, os.WEXITED | os.WNOWAIT)
        code = info.si_status if info is not None else 0
        if info is not None and info.si_code != os.CLD_EXITED:
            code += 128
        again = verdict(self.command.restart, code, now - self._began, self._in_a_row).delay is not None
        if self.leaving or again:
            # What it has left would be in the way of the next run. Before wait(), no other group has its id.
            self._kill_group(process)
        process.wait()
        os.close(self.handle)
        self.process, self.handle, self.kill_at, self.look_at = None, -1, None, None
        self._groups.clear()
        self.read(now, final=True)
        if self.leaving:
            self._become("ended", code=code)
        else:
            self._over(code, now, f"ended ({how(code)})")

    def _over(self, code: int, now: float, words: str) -> None:
        told = verdict(self.command.restart, code, now - self._began, self._in_a_row)
        self._in_a_row = told.in_a_row
        failed = code != 0
        if told.delay is None:
            self._become("failed" if failed else "ended", code=code, failing=failed)
        else:
            self.due = now + told.delay
            failing = told.in_a_row >= KEEPS_ENDING
            self._become(
                "restarting", code=code, restarts=self.state["restarts"] + 1, failing=failing and failed
            )
            words += f"; it starts again{f' in {told.delay:g} s' if told.delay else ''}"
        self._note(f"-- {words}")
        if told.told:
            more = "" if told.in_a_row < TOLD or told.delay is None else "; further ends are not told"
            self.tell(f"{self.host}: command {self.command.name} {words}{more}")

    def leave(self, now: float) -> None:
        """Ask it to end, for good."""
        self.leaving, self.due = True, None
        if self.process is not None:
            self.look()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)
            self.kill_at = now + END_PATIENCE

    def kill(self) -> None:
        """It was asked to end, and has not."""
        self.kill_at = None
        if self.process is not None:
            self._kill_group(self.process)

    def _kill_group(self, process: Process) -> None:
        # 0 is a group that began outside of the lab: the supervisor's own.
        for group in {process.pid, *self._groups} - {0, 1, os.getpgrp()}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Forget it."""
        self.closed = True
        os.close(self.output)
        os.close(self._input)

    def _become(self, state: str, **more: object) -> None:
        self.state = {**self.state, "pid": 0, "since": time.time(), "state": state, **more}  # type: ignore[typeddict-item]

    def view(self, now: float) -> CommandState:
        """Its state for the API."""
        steady = self.state["state"] == "running" and now - self._began >= STEADY
        return {**self.state, "failing": False} if steady else self.state

    # Output

    def read(self, now: float, final: bool = False) -> None:
        """Read what it has written, but no more than it may write. ``final``: its last line is complete."""
        if now - self._window >= 1.0:
            self._window, self._read = now, 0
        while self._read < MOST_IN_A_SECOND:
            try:
                octets = os.read(self.output, READ)
            except BlockingIOError:
                break
            self._read += len(octets)
            self._note(*self._lines.take(octets))
        else:
            self.paused_until = self._window + 1.0
        if final:
            self._note(*self._lines.rest())

    def _note(self, *lines: str) -> None:
        self.log.add(lines, time.time(), self.command.name if self.name_lines() else "")


def groups_below(pid: int) -> set[int]:
    """The process groups of all processes that descend from a process (proc(5), ``children``)."""
    groups: set[int] = set()
    waiting = [pid]
    while waiting:
        here = waiting.pop()
        with contextlib.suppress(OSError):  # it has ended
            for task in Path(f"/proc/{here}/task").iterdir():
                children = [int(word) for word in (task / "children").read_text().split()]
                waiting += children
                for child in children:
                    with contextlib.suppress(ProcessLookupError):
                        groups.add(os.getpgid(child))
    return groups
