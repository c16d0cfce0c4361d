"""Live migration: a running machine goes to another namespace, with its memory, its connections, and all
that runs in it.

A second QEMU waits there.  It gets the memory while the machine runs (pre-copy), what was written meanwhile
again, and so on, until the rest is small.  Then the machine stands still: the lab gives its address the new
place, QEMU copies the rest, and the machine goes on there.  QEMU's documentation of migration calls the
moments ``pre-switchover`` and ``completed``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.hosts.driver import HostError, Place
from dataplane.hosts.vm import network, twin
from dataplane.hosts.vm.qmp import Event, Late, Monitor, MonitorError
from dataplane.hosts.vm.saving import must_be_up, running
from dataplane.hosts.vm.twin import Berth, Twin

if TYPE_CHECKING:
    from dataplane.hosts.vm.machine import Machine
    from dataplane.plan.pieces import HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace

ROUNDS = ((50, 20.0), (500, 20.0), (5000, 60.0))
"""Milliseconds that the copy of the rest may take, for how many seconds of copying before the machine stands
still. A machine that writes faster than it is copied is slowed down meanwhile (auto-converge); then it may
stand still for longer."""
LAST_PATIENCE = 60.0
"""Seconds in which the rest must be copied."""
QUIET_PATIENCE = 2.0
"""Seconds in which the agent must have read what was sent to it."""
CAPABILITIES = ("pause-before-switchover", "return-path", "auto-converge", "events")


@dataclass(frozen=True)
class Downtime:
    """How long a machine stood still, in milliseconds: from QEMU's event STOP at the source to RESUME at the
    destination. ``qemu``: what QEMU itself tells; it does not know when the destination goes on.

    ``copied``: bytes. ``precopy``: seconds for which the machine ran while it was copied.
    """

    milliseconds: float
    qemu: float
    copied: int
    precopy: float

    def told(self) -> dict[str, float | int]:
        """It as JSON."""
        return {
            "downtime": round(self.milliseconds, 1),
            "downtime_qemu": round(self.qemu, 1),
            "copied": self.copied,
            "precopy": round(self.precopy, 3),
        }


class Journey:
    """The way of one machine to a new namespace, which the driver gives it (``wire_in``, ``begin``).

    ``depart``, ``arrive`` and ``abandon`` are called by one thread; only it changes the machine meanwhile.
    ``arrived`` is called when the machine is there. ``berth``: where it goes to, if that is there already.
    """

    def __init__(
        self, machine: Machine, arrived: Callable[[Journey], None], berth: Berth | None = None
    ) -> None:
        self.machine = machine
        self.downtime: Downtime | None = None
        self.netns = ""
        self._arrived = arrived
        self._host: HostPlan | None = None
        self._wire: WirePlan | None = None
        self._space: Namespace | None = None
        self._berth = berth
        self._tap = -1
        self._source: Twin | None = None
        self._there: Twin | None = None
        self._agent: socket.socket | None = None
        self._mark = self._mark_there = 0
        self._copying = False
        self._held = False
        self._quiet = False
        self._over = False
        self._began = 0.0

    # The place where it goes to

    def wire_in(self, host: HostPlan, space: Namespace, wire: WirePlan) -> None:
        """Its new wire was made."""
        self._host, self._wire, self._space, self.netns = host, wire, space, host.netns
        if self._tap < 0:
            network.silence(space)
            self._tap = network.open_tap(space)
        network.join(space, wire)

    def rewire(self, host: HostPlan, old: WirePlan, new: WirePlan) -> None:
        """The new wire changes before the machine is there."""
        assert self._space is not None
        network.change(self._space, old, new)
        self._host, self._wire = host, new

    def begin(self, place: Place) -> None:
        """Make the folder for its sockets. Raises OSError."""
        assert self._space is not None
        folder = Path(place.folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("port", "agent", "console", "console.log"):  # of an earlier try
            (folder / name).unlink(missing_ok=True)
        port = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        port.bind(str(folder / "port"))
        port.listen(1)
        self._berth = Berth(self._space, self._tap, port, folder)

    # The way

    def depart(self) -> None:
        """Copy the running machine. When this returns, it stands still, and waits for ``arrive``.

        Raises HostError.
        """
        must_be_up(self.machine)
        self.machine.acting.acquire()
        self._held = True
        source = self._source = running(self.machine)
        if self.machine.state == "paused":
            name = self.machine.host.name
            raise HostError(f"{name} is paused", f"let it go on first: sdnlab vm resume {name}")
        with self._refusals():
            self._launch()
            self._copy(source)

    def _launch(self) -> None:
        assert self._berth is not None
        there = self.machine.launch(self._berth)
        self._there = there
        there.monitor.connect()
        twin.set_capabilities(there.monitor, *CAPABILITIES)
        self.machine.volumes.plug_all(there.monitor)
        self._agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._agent.connect(str(self._berth.folder / "port"))

    def _copy(self, source: Twin) -> None:
        assert self._there is not None
        broker = self.machine.broker
        if broker is not None:
            self._quiet = broker.hold(QUIET_PATIENCE)
        self._began = time.monotonic()
        self._mark, self._mark_there = source.monitor.mark(), self._there.monitor.mark()
        twin.set_capabilities(source.monitor, *CAPABILITIES)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._there.monitor.give(theirs.fileno(), "getfd", fdname="way")
            source.monitor.give(ours.fileno(), "getfd", fdname="way")
        self._there.monitor.execute("migrate-incoming", uri="fd:way")
        self._copying = True
        source.monitor.execute("migrate", uri="fd:way")
        for downtime, patience in ROUNDS[:-1]:
            source.monitor.execute("migrate-set-parameters", downtime_limit=downtime)
            with contextlib.suppress(Late):
                return self._await("pre-switchover", patience)
        downtime, patience = ROUNDS[-1]
        source.monitor.execute("migrate-set-parameters", downtime_limit=downtime)
        self._await("pre-switchover", patience)

    def arrive(self) -> None:
        """Let the machine go on at its new place. Raises HostError."""
        source, there = self._source, self._there
        assert source is not None and there is not None
        with self._refusals():
            source.monitor.execute("migrate-continue", state="pre-switchover")
            self._await("completed", LAST_PATIENCE)
            resumed = there.monitor.await_event(
                lambda event: event.name == "RESUME", self._mark_there, LAST_PATIENCE, there.alive
            )
            stopped = self._event(source.monitor, lambda event: event.name == "STOP")
            told = source.monitor.execute("query-migrate")
        ran = time.monotonic() - self._began
        self._copying = False
        self._become(there)
        copied = int(told.get("ram", {}).get("transferred", 0))
        between = max(0.0, (resumed.at - stopped.at) * 1000)
        self.downtime = Downtime(
            between, float(told.get("downtime", 0)), copied, max(0.0, ran - between / 1000)
        )

    def _become(self, there: Twin) -> None:
        """From here on nothing fails: the machine is there."""
        assert self._host is not None and self._wire is not None and self._berth is not None
        machine, berth = self.machine, self._berth
        old = machine.berth().folder
        for name in ("agent", "console", "console.log"):  # the same, also for those who know the old place
            with contextlib.suppress(OSError):
                os.link(old / name, berth.folder / name)
        broker, port = machine.broker, str(berth.folder / "port")
        if broker is not None and self._agent is not None and self._quiet:
            broker.take_over(self._agent, port)
            self._agent = None
        elif broker is not None:  # what its agent has not read is lost
            broker.connect(port, "the machine has moved")
            broker.go_on()
        machine.adopt(there)  # afterwards: the end of the old QEMU would be the agent's
        self._there, self._tap, self._over = None, -1, True
        if self._agent is not None:
            self._agent.close()
        self._arrived(self)
        machine.go_to(self._host, self._wire, berth)
        self._release()

    def abandon(self) -> None:
        """The machine stays where it is, and goes on. Raises nothing."""
        source = self._source
        if self._over:
            return
        try:
            if source is not None and source.alive():
                twin.quietly(lambda: self._go_on(source))
            if self._there is not None:
                self._there.end()
                self._there = None
            if self.machine.broker is not None:
                self.machine.broker.go_on()
        finally:
            if self._agent is not None:
                self._agent.close()
                self._agent = None
            self._release()

    def _go_on(self, source: Twin) -> None:
        """Cancel, wait until it is cancelled, and let the machine run if it stands still."""
        if self._copying:
            source.monitor.execute("migrate_cancel")
            deadline = time.monotonic() + LAST_PATIENCE
            while time.monotonic() < deadline:
                status = source.monitor.execute("query-migrate").get("status")
                if status in ("cancelled", "failed", "completed", None):
                    break
                time.sleep(twin.STATUS_LOOK)
            self._copying = False
        if source.monitor.state() != "running":
            source.monitor.execute("cont")

    def end(self) -> None:
        """The place is removed, and the machine is not there."""
        if self._over:
            return
        self.abandon()
        if self._berth is not None:
            self._berth.port.close()
            self._berth = None
        if self._tap >= 0:
            os.close(self._tap)
            self._tap = -1

    def _release(self) -> None:
        if self._held:
            self._held = False
            self.machine.acting.release()

    def _await(self, status: str, patience: float) -> None:
        """Wait until QEMU tells this status of the migration. Raises HostError, MonitorError."""
        source = self._source
        assert source is not None and self._there is not None
        there = self._there
        event = source.monitor.await_event(
            lambda event: (
                event.name == "MIGRATION" and event.data.get("status") in (status, "failed", "cancelled")
            ),
            self._mark,
            patience,
            lambda: source.alive() and there.alive(),
        )
        if event.data.get("status") != status:
            told = source.monitor.execute("query-migrate")
            raise MonitorError(
                f"the migration {event.data.get('status')}: {told.get('error-desc', 'no reason')}"
            )

    def _event(self, monitor: Monitor, wanted: Callable[[Event], bool]) -> Event:
        return monitor.await_event(wanted, self._mark, LAST_PATIENCE, lambda: True)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (MonitorError, OSError) as error:
            name = self.machine.host.name
            raise HostError(
                f"{name} was not moved: {error}", "it goes on where it is; see: sdnlab events"
            ) from None
