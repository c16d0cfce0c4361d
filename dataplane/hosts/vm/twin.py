"""A second QEMU for a machine, which waits for a state, and then takes the place of the first one."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.hosts.vm.qmp import Monitor, MonitorError

if TYPE_CHECKING:
    from dataplane.hosts.vm.process import Process
    from dataplane.sandbox.namespaces import Namespace

CAPABILITIES = ("x-ignore-shared", "pause-before-switchover", "return-path", "auto-converge", "events")
"""Those that the lab uses for some states, and must switch off for others."""
FASTEST = 1 << 40
"""Bytes per second: no limit. QEMU's default is one for networks."""
STATUS_LOOK = 0.005
"""Seconds between two questions whether a state is complete."""


class StateError(Exception):
    """QEMU did not write or read a machine's state; the message says why."""


@dataclass(frozen=True)
class Berth:
    """Where a QEMU is attached: the network namespace, the tap in it, the listening socket for the agent's
    port, and the folder of its sockets."""

    space: Namespace
    tap: int
    port: socket.socket
    folder: Path


@dataclass(frozen=True)
class Twin:
    """A QEMU that was launched. ``console``: leads to its serial port; None: somebody has it already."""

    process: Process
    monitor: Monitor
    console: socket.socket | None

    def end(self) -> None:
        """End it; nobody has it yet."""
        self.process.kill()
        self.process.wait(10.0)
        self.monitor.close()
        if self.console is not None:
            self.console.close()

    def alive(self) -> bool:
        """Whether it runs."""
        return not self.process.wait(0.0)


def set_capabilities(monitor: Monitor, *wanted: str) -> None:
    """Switch these on, and the others of ``CAPABILITIES`` off; no limit of speed. Raises MonitorError."""
    states = [{"capability": name, "state": name in wanted} for name in CAPABILITIES]
    monitor.execute("migrate-set-capabilities", capabilities=states)
    monitor.execute("migrate-set-parameters", max_bandwidth=FASTEST)


def write_state(monitor: Monitor, file: int, patience: float) -> None:
    """Let QEMU write memory and devices of its machine, which stands still, into a file.

    Raises StateError, MonitorError.
    """
    set_capabilities(monitor)
    monitor.give(file, "getfd", fdname="state")
    monitor.execute("migrate", uri="fd:state")
    await_state(monitor, patience, "write")


def read_state(monitor: Monitor, file: int, patience: float) -> None:
    """Let a QEMU that waits for a state read it from the file's present position.

    Raises StateError, MonitorError.
    """
    set_capabilities(monitor)
    monitor.give(file, "getfd", fdname="state")
    monitor.execute("migrate-incoming", uri="fd:state")
    await_state(monitor, patience, "read")


def await_state(
    monitor: Monitor, patience: float, verb: str, clock: Callable[[], float] = time.monotonic
) -> None:
    """Wait until QEMU has read or written a whole state. Raises StateError, MonitorError."""
    deadline = clock() + patience
    while True:
        told = monitor.execute("query-migrate")
        status = told.get("status")
        if status == "completed":
            return
        if status in ("failed", "cancelled"):
            why = told.get("error-desc") or status
            raise StateError(f"QEMU did not {verb} its state: {why}")
        if clock() > deadline:
            raise StateError(f"QEMU did not {verb} its state within {patience:.0f} s")
        time.sleep(STATUS_LOOK)  # QEMU tells the end by an event only after the answer to this


def quietly(call: Callable[[], object]) -> None:
    """Make a call to a QEMU that may have ended."""
    try:
        call()
    except MonitorError as error:
        print(f"a machine's QEMU: {error}", flush=True)  # into the log
