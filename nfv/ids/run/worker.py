"""One engine at work on its devices: it reads one (tap) or bridges two (inline IPS).

Rules are read again while packets flow: the new ones are made in a thread and exchanged between two packets,
so that neither packets nor the state of flows are lost.
"""

from __future__ import annotations

import errno
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.engine import Engine
from nfv.ids.language import Loaded, load_text
from nfv.ids.run import reject
from nfv.ids.run.inline import Port, pass_on
from nfv.ids.settings import MOST_RULE_BYTES, Settings
from nfv.ids.sources import capture
from topologies import untrusted

ROUNDS = 8
"""Batches of frames that are forwarded before commands and counters are handled."""
Decide = Callable[[bytes, bool], tuple[bool, list[bytes], list[bytes]]]
"""(frame, whether it comes from the first device) -> whether it passes, frames to send back, frames to send
on."""


@dataclass(slots=True)
class Plan:
    """The configuration of a process."""

    interfaces: Sequence[str]
    rules: Sequence[Path]
    eve: Path
    settings: Settings
    workers: int = 1
    stats: float = 8.0
    group: int = 0
    events: list[str] = field(default_factory=list)


class Sink(Protocol):
    """Collects events, and writes them on request."""

    def __call__(self, event: dict[str, Any]) -> None: ...
    def flush(self) -> None: ...


class Owner(Protocol):
    """The program that a worker is a part of."""

    beside: tuple[int, ...]
    """Descriptors that wake the bridge as well; ``between`` decides what to do then."""
    decide: Decide | None
    """Decides on frames in place of ``Worker.decide``."""

    def tell_state(self, what: str, loaded: Loaded) -> None:
        """The worker is ``running``, has ``reloaded`` its rules or is ``stopped``; these are its rules."""

    def between(self, devices: list[Any]) -> None:
        """Called between batches of packets."""

    def read(self) -> Loaded:
        """Read the rules again, in a thread."""

    def tell_kept(self, error: Exception) -> None:
        """The rules could not be read again: the worker keeps the old ones."""


def read_rules(plan: Plan) -> Loaded:
    """All rule files; OSError when one can't be read."""
    loaded = Loaded()
    for path in plan.rules:
        try:
            text = untrusted.read(path, MOST_RULE_BYTES, "a text file")
        except untrusted.Unreadable as error:
            raise OSError(errno.EINVAL, error.what, str(path)) from None
        load_text(
            text,
            str(path),
            variables=(plan.settings.addresses, plan.settings.ports),
            classes=plan.settings.classes,
            into=loaded,
        )
    return loaded


class Worker:
    """An engine and its devices. ``writer`` gets the engine's events."""

    def __init__(self, plan: Plan, loaded: Loaded, writer: Sink, owner: Owner) -> None:
        self.inline = len(plan.interfaces) == 2
        plan.settings.ips = self.inline
        plan.settings.prompt = True
        plan.settings.interface = plan.interfaces[0]
        self.engine = Engine(plan.settings, RuleSet(loaded.rules, plan.settings.actions), writer)
        self.loaded = loaded
        """The rules in use."""
        self._plan, self._writer, self._owner = plan, writer, owner
        self._stop = False
        self._reload = False
        self._fresh: tuple[RuleSet, Loaded] | None = None
        self._unread: Exception | None = None
        self._thread: threading.Thread | None = None
        self._told = time.monotonic()

    @property
    def stopped(self) -> bool:
        """Whether it ends."""
        return self._stop

    def stop(self) -> None:
        """End after the present batch of packets."""
        self._stop = True

    def reload(self) -> None:
        """Read the rules again."""
        self._reload = True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self.reload()
        else:
            self.stop()

    def run(self, devices: list[Any]) -> None:
        """Until SIGTERM, or ``stop``. SIGHUP reads the rules again."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._owner.tell_state("running", self.loaded)
        try:
            if self.inline:
                self._bridge(devices[0], devices[1])
            else:
                self._listen(devices[0])
        finally:
            self.count_lost(devices)
            self.engine.finish()
            self._owner.tell_state("stopped", self.loaded)
            for device in devices:
                device.close()

    def _listen(self, ring: capture.Ring) -> None:
        frame = self.engine.frame
        while not self._stop:
            ring.wait(200)
            for ts, data in ring.frames():
                frame(data, ts)
            self._between([ring])

    def _bridge(self, first: Port, second: Port) -> None:
        decide = self._owner.decide or self.decide
        waiter = select.poll()
        for descriptor in self._owner.beside:
            waiter.register(descriptor, select.POLLIN)
        waiter.register(first, select.POLLIN)
        waiter.register(second, select.POLLIN)
        while not self._stop:
            waiter.poll(200)
            for _ in range(ROUNDS):
                if not pass_on(first, second, True, decide) + pass_on(second, first, False, decide):
                    break
                self._writer.flush()
            self._between([first, second])

    def decide(self, frame: bytes, _first: bool) -> tuple[bool, list[bytes], list[bytes]]:
        """The rules' decision about a frame; see ``Decide``."""
        packet = self.engine.frame(frame, time.time())
        assert packet is not None  # inline all packets take the long way
        if not packet.dropped:
            return True, [], []
        if packet.reject:
            back, on = reject.answers(packet)
            return False, back, on
        return False, [], []

    def _between(self, devices: list[Any]) -> None:
        """The work between batches of packets."""
        self._owner.between(devices)
        self._writer.flush()
        if self._unread is not None:
            error, self._unread, self._thread = self._unread, None, None
            self._owner.tell_kept(error)
        if self._reload:
            self._reload = False
            self._start_reload()
        if self._fresh is not None:
            rules, loaded = self._fresh
            self._fresh, self._thread = None, None
            self.engine.use(rules)
            self.loaded = loaded
            self._owner.tell_state("reloaded", loaded)
        now = time.monotonic()
        if now - self._told >= self._plan.stats:
            self._told = now
            self.count_lost(devices)
            self.engine.flows.sweep(time.time())
            self.engine.stats(time.time())
            self._writer.flush()

    def count_lost(self, devices: list[Any]) -> None:
        """Count the frames that the kernel has dropped before a device was read."""
        for device in devices:
            if isinstance(device, capture.Ring):
                packets, drops = device.lost()
                self.engine.counters["capture.kernel_packets"] += packets
                self.engine.counters["capture.kernel_drops"] += drops

    def _start_reload(self) -> None:
        done = self._fresh is not None or self._unread is not None
        if self._thread is not None and (self._thread.is_alive() or done):
            self._reload = True  # after that one: files may have changed since it read them
            return
        self._thread = threading.Thread(target=self._read_again, name="rules", daemon=True)
        self._thread.start()

    def _read_again(self) -> None:
        try:
            loaded = self._owner.read()
            self._fresh = RuleSet(loaded.rules, self._plan.settings.actions), loaded
        except Exception as error:  # whatever is wrong with the files: the old rules stay
            self._unread = error
