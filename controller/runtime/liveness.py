"""Whether instances of functions pass frames: probes in at one side, out at the other, both ways.

Decides only: the time and what came back go in, probes to send and what changed come out.  A probe is an
Ethernet frame of IEEE 802's local experimental type 1 (IEEE 802, 9.2.3), which every inline function passes
unchanged.  It is put out of the switch at one port of an instance and has to come in at the other.

An instance is *unproven* until it has been seen to pass a probe each way.  One that joins others gets no
traffic before, as long as another instance of its function is known to work.  Otherwise it counts as
working: to try it is better than what the failure policy does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from controller.runtime.learning import Send
from topologies.model.functions import Function, Instance
from topologies.model.topology import Port, Topology
from wire import ethertype
from wire.mac import CONTROLLER

PROBE_TARGET = CONTROLLER + 1
"""Never the source of a frame, so that a learning bridge passes it on whatever it has learned."""

_HEAD = struct.Struct("!6s6sH4s8sBIB")
_MAGIC = b"sdnl"
_LEAST_FRAME = 60
_REMEMBERED = 64
"""Probes whose answer is still taken, one way through one instance: some seconds' worth."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """``interval`` in seconds; ``fall`` and ``rise`` in probes in a row; ``proof``: seconds after which an
    instance that never passed anything counts as failed.

    One that fails again within ``steady`` seconds of coming back needs twice the ``rise`` from then on,
    up to ``patience`` times: who comes and goes does not take traffic with it each time.
    """

    interval: float = 0.05
    fall: int = 4
    rise: int = 3
    proof: float = 5.0
    steady: float = 5.0
    patience: int = 16


class Changed(NamedTuple):
    """An instance got another state."""

    function: str
    instance: str
    state: Literal["live", "failed"]
    reason: str


State = Literal["unproven", "live", "failed"]


@dataclass(slots=True)
class _Way:
    """One direction through an instance. ``row``: probes passed (above 0) or missed (below) in a row."""

    into: Port
    out: Port
    number: int
    row: int = 0
    asked: bool = False
    heard: bool = False
    sent: dict[int, float] = field(default_factory=dict)
    rtt: float | None = None

    def reset(self) -> None:
        self.row, self.asked, self.heard = 0, False, False
        self.sent.clear()

    def count(self, silence_counts: bool) -> None:
        """Judge the interval that ends now."""
        if self.heard:
            self.row = max(self.row, 0) + 1
        elif self.asked and silence_counts:
            self.row = min(self.row, 0) - 1
        self.heard = False


@dataclass(slots=True)
class _Watch:
    function: str
    instance: Instance
    ways: tuple[_Way, _Way]
    state: State = "unproven"
    since: float = 0.0
    reason: str = ""
    first: float | None = None
    joins: bool = False
    fell: bool = False
    wary: int = 1


class Facts(NamedTuple):
    """What is known of an instance. ``since`` on the controller's clock; ``rtt``: seconds from a probe's
    sending to its sight, on the slower way."""

    state: State
    since: float
    reason: str
    rtt: float | None


class Liveness:
    """Watches all inline instances of a topology. ``token``: 8 octets that nobody can guess."""

    def __init__(self, token: bytes = bytes(8), rhythm: Rhythm | None = None) -> None:
        self._token, self._rhythm = token[:8].ljust(8, b"\0"), rhythm or Rhythm()
        self._watches: dict[str, _Watch] = {}
        self._ways: dict[Port, tuple[_Watch, _Way]] = {}
        self._sequence = 0
        self._due: float | None = None

    def replace(self, topology: Topology, now: float) -> None:
        """Another intent: who is in it with the same ports stays what it is; others begin unproven."""
        old, self._watches = self._watches, {}
        known = {watch.function for watch in old.values() if watch.state != "unproven"}
        for function, instance in _inline(topology):
            kept = old.get(instance.name)
            if kept is None or (kept.function, kept.instance) != (function.name, instance):
                kept = _watch(function, instance, now)
                kept.joins = function.name in known
            self._watches[instance.name] = kept
        self._ways = {way.out: (watch, way) for watch in self._watches.values() for way in watch.ways}
        self._due = None if not self._watches else now if self._due is None else self._due

    def restore(self, failed: frozenset[str], now: float) -> None:
        """What an earlier controller knew to have failed."""
        for name in failed & self._watches.keys():
            watch = self._watches[name]
            watch.state, watch.since, watch.reason = (
                "failed",
                now,
                "it had failed before the controller's start",
            )

    def failed(self) -> frozenset[str]:
        """Instances that get no traffic: those that failed, and the unproven that joined one that works."""
        live = {watch.function for watch in self._watches.values() if watch.state == "live"}
        return frozenset(
            name
            for name, watch in self._watches.items()
            if watch.state == "failed"
            or (watch.state == "unproven" and watch.joins and watch.function in live)
        )

    def facts(self, instance: str) -> Facts | None:
        """None: not watched."""
        watch = self._watches.get(instance)
        if watch is None:
            return None
        times = [way.rtt for way in watch.ways if way.rtt is not None]
        return Facts(watch.state, watch.since, watch.reason, max(times) if times else None)

    def watches(self, port: Port) -> bool:
        """Whether an instance's port is there, so that probes come from it."""
        return port in self._ways

    @property
    def ports(self) -> frozenset[Port]:
        """The ports that probes come from."""
        return frozenset(self._ways)

    def next_due(self) -> float | None:
        """When `tick` wants to be called; None without instances."""
        return self._due

    def seen(self, port: Port, frame: bytes, now: float) -> None:
        """A frame of type `ethertype.PROBE` came from a port; any but our own probe of there says nothing."""
        found = self._ways.get(port)
        if found is None:
            return
        watch, way = found
        number = self._read(frame, watch, way)
        sent = way.sent.pop(number, None) if number is not None else None
        if sent is not None:  # also a late one shows life
            way.heard, way.rtt = True, now - sent

    def tick(self, now: float, up: Callable[[Port], bool | None]) -> tuple[list[Send], list[Changed]]:
        """Judge the interval that ended, and probe again, if it is time.

        ``up``: whether a port works; None: its switch is not there or not ready, so nothing can be said.
        A tick that is an interval late says that this process was held up: silence doesn't count then.
        """
        if self._due is None or now < self._due:
            return [], []
        interval = self._rhythm.interval
        punctual = now - self._due <= interval
        self._due = self._due + interval if punctual else now + interval
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        probes: list[Send] = []
        changes: list[Changed] = []
        for watch in self._watches.values():
            ports = {way.out: up(way.out) for way in watch.ways}
            if None in ports.values():
                for way in watch.ways:
                    way.reset()
                continue
            watch.first = now if watch.first is None else watch.first
            dead = [port for port, works in ports.items() if not works]
            for way in watch.ways:
                if dead:
                    way.reset()
                else:
                    way.count(punctual)
                    probes.append(Send(way.into, self._probe(watch, way, now)))
            change = self._judge(watch, dead, now)
            if change is not None:
                changes.append(change)
        return probes, changes

    def down(self, port: Port, now: float) -> list[Changed]:
        """A port went down or was deleted: no need to wait for probes to miss."""
        found = self._ways.get(port)
        change = self._judge(found[0], [port], now) if found is not None else None
        return [] if change is None else [change]

    def _judge(self, watch: _Watch, dead: list[Port], now: float) -> Changed | None:
        rows = [way.row for way in watch.ways]
        state, reason = watch.state, ""
        unproven = watch.state == "unproven"
        if dead and not unproven:
            state, reason = "failed", f"port {dead[0]} is down"
        elif watch.state == "live" and min(rows) <= -self._rhythm.fall:
            silent = next(way for way in watch.ways if way.row == min(rows))
            state = "failed"
            reason = f"{-silent.row} probes in a row did not get from port {silent.into} to {silent.out}"
        elif not dead and min(rows) >= (1 if unproven else self._rhythm.rise * watch.wary):
            state, reason = "live", "probes pass both ways"
        elif unproven and watch.first is not None and now - watch.first >= self._rhythm.proof:
            state, reason = "failed", f"no probe has passed both ways for {self._rhythm.proof:g} s"
        if state == watch.state or state == "unproven":
            return None
        if state == "failed":
            again = watch.state == "live" and now - watch.since < self._rhythm.steady and watch.fell
            watch.wary = min(2 * watch.wary, self._rhythm.patience) if again else 1
            watch.fell = True
        watch.state, watch.since, watch.reason = state, now, reason
        return Changed(watch.function, watch.instance.name, state, reason)

    def _probe(self, watch: _Watch, way: _Way, now: float) -> bytes:
        way.asked = True
        way.sent[self._sequence] = now
        while len(way.sent) > _REMEMBERED:
            del way.sent[next(iter(way.sent))]
        return self._frame(watch, way, self._sequence)

    def _frame(self, watch: _Watch, way: _Way, number: int) -> bytes:
        name = watch.instance.name.encode()[:255]
        target, source = PROBE_TARGET.to_bytes(6, "big"), CONTROLLER.to_bytes(6, "big")
        head = _HEAD.pack(target, source, ethertype.PROBE, _MAGIC, self._token, way.number, number, len(name))
        return (head + name).ljust(_LEAST_FRAME, b"\0")

    def _read(self, frame: bytes, watch: _Watch, way: _Way) -> int | None:
        """The number of a probe that went this way, None for any other frame."""
        if len(frame) < _LEAST_FRAME:
            return None
        number: int = _HEAD.unpack_from(frame)[6]
        wanted = self._frame(watch, way, number)
        # what lies behind may be padding that some device added
        return number if frame[: len(wanted)] == wanted else None


def _inline(topology: Topology) -> Iterator[tuple[Function, Instance]]:
    for function in topology.functions:
        if function.mode == "inline":
            for instance in function.instances:
                if instance.outward is not None:
                    yield function, instance


def _watch(function: Function, instance: Instance, now: float) -> _Watch:
    assert instance.outward is not None
    there = _Way(instance.inward, instance.outward, 1)
    back = _Way(instance.outward, instance.inward, 2)
    return _Watch(function.name, instance, (there, back), since=now)


def is_probe(frame: bytes) -> bool:
    """Whether a frame has a probe's Ethernet type."""
    return frame[12:14] == ethertype.PROBE.to_bytes(2, "big")
