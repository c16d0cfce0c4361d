"""The QEMU that a machine has at present, and the ways to it, which outlive it: switch port, agent,
console."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataplane.hosts.vm import network
from dataplane.hosts.vm.channel import Broker
from dataplane.hosts.vm.client import agent_socket
from dataplane.hosts.vm.command_line import Ends
from dataplane.hosts.vm.console import Console
from dataplane.hosts.vm.process import Process
from dataplane.hosts.vm.process import start as start_process
from dataplane.hosts.vm.qmp import Monitor
from dataplane.hosts.vm.twin import Berth, Twin

if TYPE_CHECKING:
    from dataplane.plan.pieces import WirePlan
    from dataplane.sandbox.namespaces import Namespace

MOST_REBOOTS = 2
"""A guest that boots so often before its agent answers never comes up: too little memory, for example."""
PANIC_PATIENCE = 2.0
"""Seconds in which the words of a panic have come: QEMU tells it by another way."""
LOOK = 0.05
"""Seconds between two looks whether QEMU still runs while its agent is awaited."""


class Failed(Exception):
    """The machine does not come up; the message says why."""


@dataclass(frozen=True)
class Calls:
    """What is called, from other threads, when something happens by itself.

    ``heard``: QEMU tells an event: its name and data. ``ended``: the present QEMU has ended, for this reason,
    and nobody waits until the machine is up (``coming``). ``answers``: the guest's agent answers.
    """

    heard: Callable[[str, Mapping[str, Any]], None]
    coming: Callable[[], bool]
    ended: Callable[[str], None]
    answers: Callable[[], None]


class Emulator:
    """A machine's QEMU, or none.

    ``reboots``: how often its guest has booted anew; who starts it counts. ``why``: why the last one ended by
    itself. ``answers``: set while the guest's agent answers.
    """

    def __init__(self, name: str, space: Namespace, calls: Calls) -> None:
        self.reboots = 0
        self.why = ""
        self.answers = threading.Event()
        self.broker: Broker | None = None
        self._name, self._space, self._calls = name, space, calls
        self._folder = Path()
        self._tap = -1
        self._port: socket.socket | None = None
        self._console: Console | None = None
        self._process: Process | None = None
        self._monitor: Monitor | None = None
        self._given_up = self._called_off = False

    # The ways to it

    @property
    def space(self) -> Namespace:
        """The network namespace of its switch port."""
        return self._space

    @property
    def folder(self) -> str:
        """The folder of its sockets."""
        return str(self._folder)

    def plug(self, wire: WirePlan) -> None:
        """Join the wire, which was made for the first time or again, to the machine's device. Raises
        OSError."""
        if self._tap < 0:
            network.silence(self._space)
            self._tap = network.open_tap(self._space)
        network.join(self._space, wire)

    def offer(self, folder: str) -> None:
        """Offer the machine's sockets in a folder. Raises OSError."""
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("port", "console", "console.log"):  # of a machine of this name that was here before
            (self._folder / name).unlink(missing_ok=True)
        self._port = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._port.bind(str(self._folder / "port"))
        self._port.listen(1)
        self._console = Console(str(self._folder / "console"), str(self._folder / "console.log"))
        self._console.open()
        self.broker = Broker(str(self._folder / "port"), agent_socket(folder), self._agent)
        self.broker.start()

    def berth(self) -> Berth:
        """Where its QEMU is attached."""
        assert self._port is not None
        return Berth(self._space, self._tap, self._port, self._folder)

    def go_to(self, berth: Berth) -> None:
        """It is attached elsewhere now, with its QEMU and its agent."""
        old_tap, old_port = self._tap, self._port
        self._space, self._tap, self._port, self._folder = berth.space, berth.tap, berth.port, berth.folder
        os.close(old_tap)
        if old_port is not None:
            old_port.close()

    def reach(self, port: str, why: str) -> None:
        """Where the broker finds QEMU from now on, and what it tells programs until it does."""
        if self.broker is not None:
            self.broker.connect(str(self._folder / port), why)

    def lost(self, why: str) -> None:
        """The agent that answered is no more."""
        if self.broker is not None:
            self.broker.lost(why)

    # The present one

    @property
    def process(self) -> Process | None:
        """Its process."""
        return self._process

    @property
    def monitor(self) -> Monitor | None:
        """Its monitor."""
        return self._monitor

    def twin(self) -> Twin | None:
        """Both, with what a second one has, too; its console is attached."""
        if self._process is None or self._monitor is None:
            return None
        return Twin(self._process, self._monitor, None)

    def asked(self) -> Monitor:
        """Its monitor. Raises Failed if there is none."""
        if self._monitor is None:
            raise Failed(self.why or "QEMU has ended")
        return self._monitor

    def launch(
        self, words: Callable[[Ends], Sequence[str]], files: Sequence[int], berth: Berth, kvm: bool
    ) -> Twin:
        """Start a QEMU beside that which there may be; the caller connects its monitor. Raises OSError.

        ``words``: its arguments. ``files``: the descriptors that they name beside the ends; they stay the
        caller's.
        """
        ours, theirs = socket.socketpair()
        console, port = socket.socketpair()
        ends = Ends(berth.tap, theirs.fileno(), port.fileno(), berth.port.fileno())
        passed = [ends.tap, ends.monitor, ends.console, ends.agent, *files]
        monitor = Monitor(self._name, ours, self._calls.heard)
        try:
            mine: list[Process] = []
            started = start_process(
                words(ends),
                berth.space,
                passed,
                lambda why: self._end_of(mine[0] if mine else None, why),
                kvm,
            )
            mine.append(started)
        except BaseException:
            ours.close()
            console.close()
            raise
        finally:
            theirs.close()
            port.close()
        return Twin(started, monitor, console)

    def become(self, twin: Twin) -> None:
        """A QEMU that was launched is the present one, of which there is none; greet its monitor. Raises
        MonitorError."""
        self.answers.clear()
        self.reboots = 0
        self.reach("port", "it is starting")
        self._take(twin)
        twin.monitor.connect()

    def replace(self, twin: Twin) -> None:
        """A QEMU that was launched is the present one; the one before ends."""
        old, monitor = self._process, self._monitor
        self._take(twin)
        if old is not None:
            old.kill()
            old.wait(10.0)
        if monitor is not None:
            monitor.close()

    def await_agent(self, patience: float, most_reboots: int = MOST_REBOOTS) -> None:
        """Wait until the guest's agent answers. Raises Failed."""
        deadline = time.monotonic() + patience
        running = self._process
        while not self.answers.wait(LOOK):
            if running is None or self._process is not running:
                raise Failed(self.why or "QEMU has ended")
            if self.given_up:
                raise Failed("it is being stopped")
            if self.reboots >= most_reboots:
                self.end()
                raise Failed(f"its guest boots again and again; on its console: {self.last_words()[:200]}")
            if time.monotonic() > deadline:
                words = self.last_words()
                raise Failed(
                    f"its agent has not answered within {patience:.0f} s"
                    + (f"; on its console: {words[:200]}" if words else "")
                )

    def last_words(self) -> str:
        """The last line on the machine's console; empty: none."""
        return self._console.last_words() if self._console is not None else ""

    def panic(self) -> str:
        """What its kernel wrote when it panicked. It may still be on its way."""
        return self._console.panic(PANIC_PATIENCE) if self._console is not None else ""

    def end(self) -> None:
        """End the present one."""
        running, self._process = self._process, None
        monitor, self._monitor = self._monitor, None
        self.answers.clear()
        self.reach("off", f"it is off: sdnlab vm start {self._name}")
        if running is not None:
            running.kill()
            running.wait(10.0)
        if monitor is not None:
            monitor.close()

    @property
    def given_up(self) -> bool:
        """Whether nobody wants it to come up any more."""
        return self._given_up or self._called_off

    @contextlib.contextmanager
    def called_off(self) -> Iterator[None]:
        """Whoever waits for it gives up meanwhile."""
        self._called_off = True
        self._kill()
        try:
            yield
        finally:
            self._called_off = False

    def give_up(self) -> None:
        """The machine leaves the lab: end what waits for it."""
        self._given_up = True
        self._kill()

    def close(self) -> None:
        """End the present one, and the ways to it."""
        self.end()
        if self.broker is not None:
            self.broker.stop()
        if self._console is not None:
            self._console.close()
        if self._port is not None:
            self._port.close()
        if self._tap >= 0:
            os.close(self._tap)
            self._tap = -1

    def _kill(self) -> None:
        if (running := self._process) is not None:
            running.kill()

    def _take(self, twin: Twin) -> None:
        assert self._console is not None and twin.console is not None
        self._process, self._monitor = twin.process, twin.monitor
        self._console.attach(twin.console)

    # What happens by itself

    def _end_of(self, which: Process | None, why: str) -> None:
        """Called from the thread that waits for a QEMU."""
        if which is None or self._process is not which or not why:
            return
        self.why = why
        coming = self._calls.coming()
        self._process = None
        monitor, self._monitor = self._monitor, None
        self.answers.clear()
        self.reach("off", f"it is off: {why}; sdnlab vm start {self._name}")
        if monitor is not None:
            monitor.close()
        if not coming:  # else who starts it tells
            self._calls.ended(why)

    def _agent(self, answers: bool, why: str) -> None:
        """Called by the broker."""
        if answers:
            self.answers.set()
            self._calls.answers()
        else:
            self.answers.clear()
