"""Runs programs one after the other beside other work, on what that leaves of the cores.

As a program (``python -m lab.cli.beside MODULE ...``) it runs a module in Linux's class for idle time
(sched(7), SCHED_IDLE), so that work that measures time is not disturbed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from linux import syscalls

_PROC = Path("/proc")
_SESSION = "autogroup"
"""Sessions share the cores evenly (sched(7), "The autogroup feature"); this file has the nice value of
one."""
_LOWEST = "19"


class Ran(NamedTuple):
    """A program that has ended, with its exit code, its output, and the seconds that it took."""

    name: str
    code: int
    output: str
    seconds: float


class Beside:
    """Runs ``commands`` (a name, and what follows ``python -m``) during the with block; they end with it."""

    def __init__(self, commands: Sequence[tuple[str, Sequence[str]]], folder: Path) -> None:
        self._commands, self._folder = commands, folder
        self._ran: list[Ran] = []
        self._alone = False
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="beside", daemon=True)

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        with self._lock:
            self._stopped = True
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGTERM)
        self._thread.join()

    def ended(self) -> list[Ran]:
        """Those that have ended since the last call."""
        with self._lock:
            ran, self._ran = self._ran, []
        return ran

    def rest(self) -> list[Ran]:
        """Wait for all, since there is no other work any more; those that have ended since the last call."""
        with self._lock:
            self._alone = True
            if self._process is not None:
                raise_group(self._process.pid, os.sched_getscheduler(0))
        self._thread.join()
        return self.ended()

    def _run(self) -> None:
        for name, command in self._commands:
            begin = time.monotonic()
            with self._lock:
                if self._stopped:
                    return
                lowly = () if self._alone else ("lab.cli.beside",)
                self._process = subprocess.Popen(
                    [sys.executable, "-m", *lowly, *command],
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            output, _ = self._process.communicate()
            with self._lock:
                self._ran.append(Ran(name, self._process.returncode, output, time.monotonic() - begin))
                self._process = None


def raise_group(leader: int, policy: int) -> None:
    """Give the processes of a group another scheduling class. An ordinary user may not take one out of the
    class for idle time: then it stays as it is, and has what nobody else wants."""
    for pid in group_of(leader):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(pid, policy, os.sched_param(0))
    with contextlib.suppress(OSError):
        (_PROC / str(leader) / _SESSION).write_text("0")


def group_of(leader: int) -> list[int]:
    """The processes of the group that ``leader`` leads."""
    pids = []
    for entry in _PROC.iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            if os.getpgid(pid) == leader:
                pids.append(pid)
    return pids


def main(module: str, arguments: Sequence[str]) -> None:
    """Become ``python -m MODULE ...`` in the class for idle time; it ends with this process's parent."""
    syscalls.die_with_parent(signal.SIGTERM)
    with contextlib.suppress(OSError):
        (_PROC / "self" / _SESSION).write_text(_LOWEST)
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        os.nice(19)
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
