"""Notices processes that exist but do nothing: stopped by a signal, or in an endless loop or a deadlock."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from dataplane.sandbox.process_state import is_stopped, state_of

K = TypeVar("K", bound=Hashable)
PERIOD = 1.0
"""Seconds between two checks."""
SILENT = 5.0
"""Seconds without an answer after which a process that is not stopped counts as hung: it may be busy."""
STARTING = 30.0
"""The same for a process that has never answered: it listens before it has loaded its libraries."""


class Target(NamedTuple):
    """A process, and a test whether it works: it gives any answer to ``question`` at the Unix socket
    ``path``.

    Without a path, only a stop by a signal is noticed.
    """

    pid: int
    path: Path | None = None
    question: bytes = b""


def answers(targets: Mapping[K, Target], within: float) -> dict[K, bool]:
    """Which targets answer within so many seconds. A target that does not listen is left out."""
    waiting: dict[int, tuple[K, socket.socket]] = {}
    told: dict[K, bool] = {}
    poll = select.poll()
    try:
        for key, target in targets.items():
            if target.path is None:
                continue
            stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            stream.setblocking(False)
            try:
                stream.connect(str(target.path))
                stream.sendall(target.question)
            except BlockingIOError:  # its queue is full
                told[key] = False
                stream.close()
            except OSError:
                stream.close()
            else:
                waiting[stream.fileno()] = (key, stream)
                poll.register(stream, select.POLLIN)
        deadline = time.monotonic() + within
        while waiting and (left := deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                key, stream = waiting.pop(fd)
                stream.close()
                told[key] = True
        return told | {key: False for key, _ in waiting.values()}
    finally:
        for _, stream in waiting.values():
            stream.close()


class Pulse(Generic[K]):
    """Watches processes, in a thread of its own after ``start``.

    ``targets`` returns the running processes. ``said`` is called when one begins to do nothing, with the
    reason as text, and when it continues (with an empty text).
    """

    def __init__(
        self, targets: Callable[[], Mapping[K, Target]], said: Callable[[K, int, str], None]
    ) -> None:
        self._targets, self._said = targets, said
        self._since: dict[tuple[K, int], float] = {}
        self._told: set[tuple[K, int]] = set()
        self._answered: set[tuple[K, int]] = set()

    def start(self) -> None:
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def hung(self) -> dict[K, str]:
        """The processes that do nothing now, with the reason as text."""
        now = time.monotonic()
        reasons = {key: self._why(key, target, now) for key, target in self._targets().items()}
        return {key: why for key, why in reasons.items() if why}

    def look(self, within: float = PERIOD) -> None:
        """Check all of them once."""
        targets = dict(self._targets())
        now = time.monotonic()
        told = {(key, targets[key].pid): answered for key, answered in answers(targets, within).items()}
        self._since = {key: self._since.get(key, now) for key, answered in told.items() if not answered}
        running = {(key, target.pid): target for key, target in targets.items()}
        self._answered |= {key for key, answered in told.items() if answered}
        self._answered &= running.keys()
        for (key, pid), target in running.items():
            why = self._why(key, target, time.monotonic())
            if bool(why) != ((key, pid) in self._told):
                (self._told.add if why else self._told.discard)((key, pid))
                if why or state_of(pid) not in ("", "Z", "X"):  # a process that has ended does not continue
                    self._said(key, pid, why)
        self._told &= set(running)

    def _why(self, key: K, target: Target, now: float) -> str:
        if is_stopped(target.pid):
            return f"is stopped: go on with kill -CONT {target.pid}, or end it with kill -9 {target.pid}"
        process = (key, target.pid)
        since = self._since.get(process)
        if since is not None and now - since > (SILENT if process in self._answered else STARTING):
            return f"has not answered for {now - since:.0f} s: end it with kill -9 {target.pid}"
        return ""

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            with contextlib.suppress(OSError):
                self.look()
            time.sleep(max(0.0, PERIOD - (time.monotonic() - began)))
