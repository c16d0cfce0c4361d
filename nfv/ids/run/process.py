"""A function process: reads a device (tap) or bridges two (inline IPS), and writes EVE JSON lines.

SIGHUP reads the rules again while packets flow: the new ones are made in a thread and exchanged between two
packets, so that neither packets nor the state of flows are lost.  SIGTERM and SIGINT end it after all flows
were told.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import select
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.engine import Engine
from nfv.ids.language import Loaded, load_text
from nfv.ids.output import eve
from nfv.ids.run import reject
from nfv.ids.run.inline import Port, pass_on
from nfv.ids.settings import MOST_RULE_BYTES, Settings
from nfv.ids.sources import capture
from topologies import untrusted

ROUNDS = 8
"""Batches of frames that are passed on in a row before anything else (commands, counters) has its turn."""


@dataclass(slots=True)
class Plan:
    """What a process is to do."""

    interfaces: Sequence[str]
    rules: Sequence[Path]
    eve: Path
    settings: Settings
    workers: int = 1
    stats: float = 8.0
    group: int = 0
    events: list[str] = field(default_factory=list)


class Sink(Protocol):
    """Takes events, and writes them when told."""

    def __call__(self, event: dict[str, Any]) -> None: ...
    def flush(self) -> None: ...


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
        """Write what is there."""
        if self._lines:
            data = ("\n".join(self._lines) + "\n").encode()
            self._lines.clear()
            while data:
                data = data[os.write(self._handle, data) :]


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
    """One process: its devices, its engine."""

    def __init__(self, plan: Plan, loaded: Loaded, writer: Sink | None = None) -> None:
        self.plan = plan
        self.inline = len(plan.interfaces) == 2
        plan.settings.ips = self.inline
        plan.settings.prompt = True
        plan.settings.interface = plan.interfaces[0]
        self.writer: Sink = writer if writer is not None else Writer(plan.eve)
        self.engine = Engine(plan.settings, RuleSet(loaded.rules, plan.settings.actions), self.writer)
        self._loaded = loaded
        self.beside: tuple[int, ...] = ()
        """Descriptors that wake the bridge as well; what to do then is decided ``_between``."""
        self._stop = False
        self._reload = False
        self._fresh: tuple[RuleSet, Loaded] | None = None
        self._thread: threading.Thread | None = None
        self._told = time.monotonic()

    def state(self, what: str, loaded: Loaded) -> None:
        """Tell what the process does, and which rules it could not load."""
        now = time.time()
        body = {"state": what, "pid": os.getpid(), "rules": len(loaded.rules), "refused": len(loaded.refused)}
        self.writer({"timestamp": eve.stamp(now), "event_type": "engine", "engine": body})
        for refused in loaded.refused[:100] if what in ("running", "reloaded") else ():
            line = {
                "file": refused.file,
                "line": refused.line,
                "keyword": refused.keyword,
                "reason": refused.reason,
            }
            self.writer(
                {"timestamp": eve.stamp(now), "event_type": "engine", "engine": {"state": "refused", **line}}
            )
        self.writer.flush()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._stop = True

    def run(self, devices: list[Any]) -> None:
        """Until SIGTERM."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self.state("running", self._loaded)
        try:
            if self.inline:
                self._bridge(devices[0], devices[1])
            else:
                self._listen(devices[0])
        finally:
            self._lost(devices)
            self.engine.finish()
            self.state("stopped", self._loaded)
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
        waiter = select.poll()
        for descriptor in self.beside:
            waiter.register(descriptor, select.POLLIN)
        waiter.register(first, select.POLLIN)
        waiter.register(second, select.POLLIN)
        while not self._stop:
            waiter.poll(200)
            for _ in range(ROUNDS):
                if not (
                    pass_on(first, second, True, self._decide) + pass_on(second, first, False, self._decide)
                ):
                    break
                self.writer.flush()
            self._between([first, second])

    def _decide(self, frame: bytes, _first: bool) -> tuple[bool, list[bytes], list[bytes]]:
        packet = self.engine.frame(frame, time.time())
        assert packet is not None  # inline all packets take the long way
        if not packet.dropped:
            return True, [], []
        if packet.reject:
            back, on = reject.answers(packet)
            return False, back, on
        return False, [], []

    def _between(self, devices: list[Any]) -> None:
        """What is done between batches of packets."""
        self.writer.flush()
        if self._reload:
            self._reload = False
            self._start_reload()
        if self._fresh is not None:
            rules, loaded = self._fresh
            self._fresh, self._thread = None, None
            self.engine.use(rules)
            self._loaded = loaded
            self.state("reloaded", loaded)
        now = time.monotonic()
        if now - self._told >= self.plan.stats:
            self._told = now
            self._lost(devices)
            self.engine.flows.sweep(time.time())
            self.engine.stats(time.time())
            self.writer.flush()

    def _lost(self, devices: list[Any]) -> None:
        for device in devices:
            if isinstance(device, capture.Ring):
                packets, drops = device.lost()
                self.engine.counters["capture.kernel_packets"] += packets
                self.engine.counters["capture.kernel_drops"] += drops

    def _start_reload(self) -> None:
        if self._thread is not None and (self._thread.is_alive() or self._fresh is not None):
            self._reload = True  # after that one: files may have changed since it read them
            return
        self._thread = threading.Thread(target=self._read_again, name="rules", daemon=True)
        self._thread.start()

    def _read_again(self) -> None:
        try:
            loaded = read_rules(self.plan)
            self._fresh = (RuleSet(loaded.rules, self.plan.settings.actions), loaded)
        except OSError as error:
            self._fresh = None
            self._thread = None
            self.writer({
                "timestamp": eve.stamp(time.time()),
                "event_type": "engine",
                "engine": {"state": "kept", "reason": f"can't read {error.filename}: {error.strerror}"},
            })  # fmt: skip


def open_devices(plan: Plan) -> list[list[Any]]:
    """The devices of every worker, opened in order: with PACKET_FANOUT the order decides who gets which
    flows.
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
    """Run until SIGTERM; the exit code.  CaptureFailed and OSError say why it can't begin."""
    loaded = read_rules(plan)
    devices = open_devices(plan)
    if plan.workers == 1:
        Worker(plan, loaded).run(devices[0])
        return 0
    return _parent(plan, loaded, devices)


def _parent(plan: Plan, loaded: Loaded, devices: list[list[Any]]) -> int:
    """Fork the workers, hand them the signals, wait for them; when one dies the others are ended."""
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
                Worker(plan, loaded).run(mine)
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
