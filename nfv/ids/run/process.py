"""A program of its own on devices, which writes EVE JSON lines to a file; several workers share the flows.

SIGHUP reads the rules again while packets flow.  SIGTERM and SIGINT end it after all flows were told.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from nfv.ids.language import Loaded
from nfv.ids.output import eve
from nfv.ids.run.inline import Port
from nfv.ids.run.worker import Decide, Plan, Worker, read_rules
from nfv.ids.sources import capture


class Writer:
    """Appends JSON lines to a file, whole lines at a time, so that several processes may share it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lines: list[str] = []

    def __call__(self, event: dict[str, Any]) -> None:
        self._lines.append(json.dumps(event))
        if len(self._lines) >= 256:
            self.flush()

    def flush(self) -> None:
        """Write the collected events."""
        if self._lines:
            data = ("\n".join(self._lines) + "\n").encode()
            self._lines.clear()
            while data:
                data = data[os.write(self._handle, data) :]


class Process:
    """The program around a worker. Implements ``worker.Owner``."""

    beside: tuple[int, ...] = ()
    decide: Decide | None = None

    def __init__(self, plan: Plan, loaded: Loaded) -> None:
        self._plan = plan
        self._writer = Writer(plan.eve)
        self._worker = Worker(plan, loaded, self._writer, self)
        self.run = self._worker.run

    def between(self, devices: list[Any]) -> None:
        """Nothing of its own."""

    def read(self) -> Loaded:
        """The rules of the plan's files."""
        return read_rules(self._plan)

    def tell_state(self, what: str, loaded: Loaded) -> None:
        """Write the state of the process, and the refused rules."""
        body = {"state": what, "pid": os.getpid(), "rules": len(loaded.rules), "refused": len(loaded.refused)}
        self._tell(body)
        for refused in loaded.refused[:100] if what in ("running", "reloaded") else ():
            self._tell(
                {
                    "state": "refused",
                    "file": refused.file,
                    "line": refused.line,
                    "keyword": refused.keyword,
                    "reason": refused.reason,
                }
            )
        self._writer.flush()

    def tell_kept(self, error: Exception) -> None:
        """Tell that the rules stay, and why."""
        why = f"can't read {error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        self._tell({"state": "kept", "reason": why})

    def _tell(self, body: dict[str, Any]) -> None:
        self._writer({"timestamp": eve.stamp(time.time()), "event_type": "engine", "engine": body})


def open_devices(plan: Plan) -> list[list[Any]]:
    """The devices of every worker, opened in order: with PACKET_FANOUT the order decides which worker gets
    which flows.
    """
    group = plan.group or (os.getpid() & 0x7FFF) + 1
    opened: list[list[Any]] = []
    for _ in range(plan.workers):
        if len(plan.interfaces) == 2:
            fan = plan.workers > 1
            opened.append([Port(name, group + at if fan else 0) for at, name in enumerate(plan.interfaces)])
        else:
            opened.append([capture.Ring(plan.interfaces[0], group if plan.workers > 1 or plan.group else 0)])
    return opened


def run(plan: Plan) -> int:
    """Run until SIGTERM; the exit code.  Raises CaptureFailed or OSError if it can't start."""
    loaded = read_rules(plan)
    devices = open_devices(plan)
    if plan.workers == 1:
        Process(plan, loaded).run(devices[0])
        return 0
    return _parent(plan, loaded, devices)


def _parent(plan: Plan, loaded: Loaded, devices: list[list[Any]]) -> int:
    """Fork the workers, pass signals on, and wait for them. If one dies, the others are ended."""
    children: list[int] = []
    gc.freeze()  # or the collector copies all rules into every child
    for mine in devices:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for other in devices:
                    if other is not mine:
                        for device in other:
                            device.close()
                Process(plan, loaded).run(mine)
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    for own in devices:
        for device in own:
            device.close()

    def forward(number: int, _frame: FrameType | None) -> None:
        for pid in children:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    worst = 0
    for _ in range(len(children)):
        pid, status = os.wait()
        children.remove(pid)
        code = os.waitstatus_to_exitcode(status)
        if code:
            worst = 1
            forward(signal.SIGTERM, None)
    return worst
