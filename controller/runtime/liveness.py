"""Whether instances of functions pass frames: probes go in at one port and come out at the other, both ways.

This module only decides: the time and probes that came back go in, probes to send and changes come out.  A
probe is an Ethernet frame of IEEE 802's local experimental type 1 (IEEE 802, 9.2.3), which every inline
function passes unchanged.  The switch sends it out of one port of an instance, and it has to come back by the
other.

With its probes each switch gets a *reference*: a frame that it sends straight back to the controller.  A
probe counts as missed only when the reference that was sent with it is back, and it is not.  So neither a
switch that is held up nor a queue of packets to the controller makes an instance look dead.

An instance is *unproven* until it has passed a probe each way.  An unproven instance that joins others gets
no traffic while another instance of its function is known to work.  When there is no such other, it gets
traffic: to try it is better than to apply the failure policy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from controller.flow.tables import CONTROLLER as TO_CONTROLLER
from controller.runtime.commands import Send
from topologies.model.attachment import Inline, InlineInstance
from topologies.model.functions import Function
from topologies.model.topology import Port, Topology
from wire import ethertype
from wire.mac import CONTROLLER

PROBE_TARGET = CONTROLLER + 1
"""No frame has this source address, so no learning bridge learns it, and each passes such a frame on."""

_HEAD = struct.Struct("!6s6sH4s8sBIB")
_MAGIC = b"sdnl"
_LEAST_FRAME = 60
_REFERENCE = 0
"""In place of the number of a direction: the frame is a reference."""
_REMEMBERED = 64
"""How many probes of one direction can still come back: those of some seconds."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """``interval`` in seconds; ``fall`` and ``rise``: probes in a row after which an instance fails or works
    again; ``proof``: seconds after which an instance that has passed no probe counts as failed.

    An instance that fails again within ``steady`` seconds of working again needs twice the ``rise`` from then
    on, up to ``patience`` times the ``rise``: so one that comes and goes loses less traffic.
    """

    interval: float = 0.05
    fall: int = 4
    rise: int = 3
    proof: float = 5.0
    steady: float = 5.0
    patience: int = 16


class Changed(NamedTuple):
    """An instance has another state now."""

    function: str
    instance: str
    state: Literal["live", "failed"]
    reason: str


State = Literal["unproven", "live", "failed"]


@dataclass(slots=True)
class _Way:
    """One direction through an instance. ``row``: probes passed (above 0) or missed (below) in a row.

    ``judged``: the number of the last probe that has been counted as missed, or need not be.
    """

    into: Port
    out: Port
    number: int
    row: int = 0
    judged: int = 0
    heard: bool = False
    sent: dict[int, float] = field(default_factory=dict)
    rtt: float | None = None

    def reset(self) -> None:
        self.row, self.heard = 0, False
        self.sent.clear()

    def count(self, referred: int, silence_counts: bool) -> None:
        """Count the interval that ends now: a probe passed, or probes were missed: those up to the number
        ``referred`` that are not back."""
        if self.heard:
            self.row = max(self.row, 0) + 1
        elif silence_counts:
            missed = sum(self.judged < number <= referred for number in self.sent)
            self.row = min(self.row, 0) - missed if missed else self.row
        self.judged, self.heard = max(self.judged, referred), False


@dataclass(slots=True)
class _Watch:
    function: str
    instance: InlineInstance
    ways: tuple[_Way, _Way]
    state: State = "unproven"
    since: float = 0.0
    reason: str = ""
    first: float | None = None
    joins: bool = False
    failed_before: bool = False
    rise_factor: int = 1


class Facts(NamedTuple):
    """What is known of an instance. ``since`` on the controller's clock; ``rtt``: seconds from sending a
    probe to its return, in the slower direction."""

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
        self._referred: dict[str, int] = {}
        """Switch -> the number of the last reference that it has sent back."""
        self._due: float | None = None

    def replace(self, topology: Topology, now: float) -> None:
        """Another intent: an instance that keeps its ports keeps its state; others begin unproven."""
        old, self._watches = self._watches, {}
        known = {watch.function for watch in old.values() if watch.state != "unproven"}
        for function, instance in _inline(topology):
            kept = old.get(instance.name)
            if kept is None or (kept.function, kept.instance) != (function.name, instance):
                kept = _watch(function, instance, now)
                kept.joins = function.name in known
            self._watches[instance.name] = kept
        self._ways = {way.out: (watch, way) for watch in self._watches.values() for way in watch.ways}
        self._referred = {port.switch: self._referred.get(port.switch, 0) for port in self._ways}
        self._due = None if not self._watches else now if self._due is None else self._due

    def restore(self, failed: frozenset[str], now: float) -> None:
        """The instances that had failed by an earlier controller's knowledge."""
        for name in failed & self._watches.keys():
            watch = self._watches[name]
            watch.state, watch.since, watch.reason = (
                "failed",
                now,
                "it had failed before the controller's start",
            )

    def failed(self) -> frozenset[str]:
        """Instances that get no traffic: those that failed, and unproven ones that joined a working one."""
        live = {watch.function for watch in self._watches.values() if watch.state == "live"}
        return frozenset(
            name
            for name, watch in self._watches.items()
            if watch.state == "failed"
            or (watch.state == "unproven" and watch.joins and watch.function in live)
        )

    def facts(self, instance: str) -> Facts | None:
        """What is known of an instance; None: it is not watched."""
        watch = self._watches.get(instance)
        if watch is None:
            return None
        times = [way.rtt for way in watch.ways if way.rtt is not None]
        return Facts(watch.state, watch.since, watch.reason, max(times) if times else None)

    def watches(self, port: Port) -> bool:
        """Whether probes or references come from this port: it is an instance's, or a switch's own."""
        return port in self._ways or (port.number == TO_CONTROLLER and port.switch in self._referred)

    @property
    def ports(self) -> frozenset[Port]:
        """The ports that probes and references come from."""
        return frozenset(self._ways) | {reference_port(switch) for switch in self._referred}

    def next_due(self) -> float | None:
        """When `tick` wants to be called; None without instances."""
        return self._due

    def seen(self, port: Port, frame: bytes, now: float) -> None:
        """A frame of type `ethertype.PROBE` has come from a port; it counts if it is our probe of that
        port."""
        watched = self._ways.get(port)
        if watched is None:
            self._reference_seen(port, frame)
            return
        watch, way = watched
        number = self._probe_number(frame, watch, way)
        sent = way.sent.pop(number, None) if number is not None else None
        if sent is not None:  # also a late one shows life
            way.heard, way.rtt = True, now - sent

    def _reference_seen(self, port: Port, frame: bytes) -> None:
        if len(frame) < _LEAST_FRAME or port.number != TO_CONTROLLER or port.switch not in self._referred:
            return
        number: int = _HEAD.unpack_from(frame)[6]
        wanted = self._frame(port.switch, _REFERENCE, number)
        # one that nobody has sent yet is forged; one that is overtaken says nothing new
        if frame[: len(wanted)] == wanted and number <= self._sequence:
            self._referred[port.switch] = max(self._referred[port.switch], number)

    def tick(self, now: float, up: Callable[[Port], bool | None]) -> tuple[list[Send], list[Changed]]:
        """When it is time, count the interval that has ended, and send the next probes and references.

        ``up``: whether a port works; None: its switch is not there or not ready, so nothing is known.  When a
        tick is more than an interval late, this process was held up: then missing probes don't count.
        """
        if self._due is None or now < self._due:
            return [], []
        interval = self._rhythm.interval
        punctual = now - self._due <= interval
        self._due = self._due + interval if punctual else now + interval
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        probes: list[Send] = []
        asked: set[str] = set()
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
                    way.count(self._referred[way.out.switch], punctual)
                    asked.add(way.out.switch)
                    probes.append(Send(way.into, self._probe(watch, way, now)))
            change = self._judge(watch, dead, now)
            if change is not None:
                changes.append(change)
        for switch in sorted(asked):  # after the probes: it must not overtake them
            frame = self._frame(switch, _REFERENCE, self._sequence)
            probes.append(Send(reference_port(switch), frame))
        return probes, changes

    def down(self, port: Port, now: float) -> list[Changed]:
        """A port has gone down or was deleted: its instance fails at once."""
        watched = self._ways.get(port)
        change = self._judge(watched[0], [port], now) if watched is not None else None
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
        elif not dead and min(rows) >= (1 if unproven else self._rhythm.rise * watch.rise_factor):
            state, reason = "live", "probes pass both ways"
        elif unproven and watch.first is not None and now - watch.first >= self._rhythm.proof:
            state, reason = "failed", f"no probe has passed both ways for {self._rhythm.proof:g} s"
        if state == watch.state or state == "unproven":
            return None
        if state == "failed":
            again = watch.state == "live" and now - watch.since < self._rhythm.steady and watch.failed_before
            watch.rise_factor = min(2 * watch.rise_factor, self._rhythm.patience) if again else 1
            watch.failed_before = True
        watch.state, watch.since, watch.reason = state, now, reason
        return Changed(watch.function, watch.instance.name, state, reason)

    def _probe(self, watch: _Watch, way: _Way, now: float) -> bytes:
        way.sent[self._sequence] = now
        while len(way.sent) > _REMEMBERED:
            del way.sent[next(iter(way.sent))]
        return self._frame(watch.instance.name, way.number, self._sequence)

    def _frame(self, called: str, way: int, number: int) -> bytes:
        name = called.encode()[:255]
        target, source = PROBE_TARGET.to_bytes(6, "big"), CONTROLLER.to_bytes(6, "big")
        head = _HEAD.pack(target, source, ethertype.PROBE, _MAGIC, self._token, way, number, len(name))
        return (head + name).ljust(_LEAST_FRAME, b"\0")

    def _probe_number(self, frame: bytes, watch: _Watch, way: _Way) -> int | None:
        """The number of a probe that went this way, None for any other frame."""
        if len(frame) < _LEAST_FRAME:
            return None
        number: int = _HEAD.unpack_from(frame)[6]
        wanted = self._frame(watch.instance.name, way.number, number)
        # octets after it may be padding that a device has added
        return number if frame[: len(wanted)] == wanted else None


def _inline(topology: Topology) -> Iterator[tuple[Function, InlineInstance]]:
    for function in topology.functions:
        if isinstance(function.attachment, Inline):
            for instance in function.attachment.instances:
                yield function, instance


def _watch(function: Function, instance: InlineInstance, now: float) -> _Watch:
    there = _Way(instance.inward, instance.outward, 1)
    back = _Way(instance.outward, instance.inward, 2)
    return _Watch(function.name, instance, (there, back), since=now)


def reference_port(switch: str) -> Port:
    """Where a switch sends a reference to, and says that it comes from: OpenFlow's port CONTROLLER."""
    return Port(switch=switch, number=TO_CONTROLLER)


def is_probe(frame: bytes) -> bool:
    """Whether a frame has a probe's Ethernet type."""
    return frame[12:14] == ethertype.PROBE.to_bytes(2, "big")
