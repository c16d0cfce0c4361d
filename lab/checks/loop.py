"""Sends the probes of checks and matches what is seen, in one loop for all of them."""

from __future__ import annotations

import heapq
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.checks import frames
from lab.checks.frames import Seen
from lab.checks.probes import Answer, Outcome, Probe, Sighting, Signs
from lab.checks.ways import Ways
from lab.probe import frames as asking
from lab.probe.frames import Resolved
from lab.probe.loop import Pace, Told, address_of
from lab.probe.prober import close_in_background

COPIES = 2
"""A request that nothing is seen of is sent so often before that means something."""
STACK_LIMIT = 400
"""Most pairs of hosts for which the kernels' neighbour table, one for the whole machine, has room for both
directions. The requests of more pairs are answered here, beside the kernels."""
LEAST_PATIENT, MOST_PATIENT = 0.3, 1.25
"""Seconds in which something should be seen of a copy, whatever latency was measured: when this process does
not get a processor, what it measures is its own delay."""
PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds from a try that did not do to the next one; each pause is twice as long."""
_TELL = 0.25
_KEPT, _MOST_SIGHTINGS = 6, 64


@dataclass(eq=False)
class _Asked:
    """A question for an address, and the probes that wait for its answer."""

    source: str
    frame: bytes
    address: bytes
    mac: bytes
    until: float
    waiting: list[int] = field(default_factory=list)
    tries: int = 0
    sent: float = 0.0
    over: bool = False
    wrong: str = ""


@dataclass(eq=False)
class _Try:
    """One try of a probe: a request, sent up to ``COPIES`` times."""

    probe: int
    source: str
    frame: bytes
    outcome: Outcome
    tries: int = 0
    sent: float = 0.0
    over: bool = False


OpenSocket = Callable[[str], socket.socket]
_SO_TIMESTAMPNS = 35
"""socket(7), asm-generic/socket.h: the kernel's time of each packet."""


class Loop:
    """Carries probes out. ``open_socket`` gives a non-blocking raw socket of a host by its name.

    ``cancelled`` is asked again and again; when it says so, the loop ends. ``told`` hears of the progress.
    ``points``: name -> what opens a socket where packets pass; they are watched, too.
    """

    def __init__(
        self,
        ways: Ways,
        open_socket: OpenSocket,
        cancelled: Callable[[], bool] = lambda: False,
        told: Told | None = None,
        clock: Callable[[], float] = time.monotonic,
        points: Mapping[str, Callable[[], socket.socket]] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._ways, self._open, self._cancelled, self._told = ways, open_socket, cancelled, told
        self._clock, self._points = clock, points or {}
        self._watched: dict[int, tuple[str, socket.socket]] = {}
        self.signs = Signs()
        self._nonce = int.from_bytes(os.urandom(4), "big")
        self._sockets: dict[str, socket.socket] = {}
        self._names: dict[int, str] = {}
        self._pace = Pace() if pace is None else pace
        self._heard = clock()
        self._tags: list[_Try] = []
        self._by_port: dict[tuple[str, int], _Try] = {}
        self._asked: dict[tuple[str, int, bytes], _Asked] = {}
        self._waiting: deque[_Asked | _Try] = deque()
        self._flying: deque[_Asked | _Try] = deque()
        self._due: list[tuple[float, int, _Asked | _Try | int]] = []
        self._order = 0
        self._answered: list[_Try] = []

    def run(self, probes: Sequence[Probe]) -> list[Outcome]:
        """The outcome of each probe; ``signs`` are those of all of them."""
        self._probes = probes
        self._outcomes = [Outcome() for _ in probes]
        self._began = [0.0] * len(probes)
        self._open_probes = len(probes)
        pairs = {(probe.source, probe.target) for probe in probes}
        self._for_them = len(pairs) > STACK_LIMIT
        poller = select.epoll()
        try:
            self._open_all(poller)
            for number in range(len(probes)):
                self._begin(number)
            self._drive(poller)
        finally:
            poller.close()
            watched = [raw for _, raw in self._watched.values()]
            close_in_background([*self._sockets.values(), *watched])
        for probe, outcome in zip(probes, self._outcomes, strict=True):
            outcome.satisfied = not outcome.error and probe.wants(outcome)  # some packets arrive late
        return self._outcomes

    def _open_all(self, poller: select.epoll) -> None:
        names = dict.fromkeys(name for probe in self._probes for name in (probe.source, probe.target))
        for target in list(names):
            names |= dict.fromkeys(sorted(self._ways.arrives_at(target)))
        for name in names:
            if name not in self._ways.hosts:
                continue
            try:
                raw = self._open(name)
            except (OSError, KeyError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is no host of the lab now"
                self.signs.unusable[name] = f"{name} has no interface: {why}"
                continue
            self._sockets[name] = raw
            self._names[raw.fileno()] = name
            poller.register(raw.fileno(), select.EPOLLIN)
        for point, open_point in self._points.items():
            raw = open_point()
            raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._watched[raw.fileno()] = point, raw
            poller.register(raw.fileno(), select.EPOLLIN)

    def _drive(self, poller: select.epoll) -> None:
        next_word = self._clock()
        while self._open_probes > 0 and not self._cancelled():
            now = self._clock()
            if self._told is not None and now >= next_word:
                self._told(len(self._probes) - self._open_probes, len(self._probes))
                next_word = now + _TELL
            while self._due and self._due[0][0] <= now:
                self._overdue(heapq.heappop(self._due)[2], now)
            stale_after = min(self._pace.stale_after, MOST_PATIENT)
            if now - self._heard > stale_after:
                self._pace.begin_anew()
                self._heard = now
            stale = now - stale_after
            while self._flying and (self._flying[0].over or self._flying[0].sent < stale):
                self._flying.popleft()
            while self._waiting and len(self._flying) < self._pace.window:
                self._send(self._waiting.popleft())
            ready, self._answered = self._answered, []
            pause = 0.0 if ready or (self._waiting and len(self._flying) < self._pace.window) else 0.01
            for descriptor, _ in poller.poll(pause, 256):
                if descriptor in self._watched:
                    self._watch(*self._watched[descriptor])
                else:
                    self._receive(self._names[descriptor])
            # an answer may be read before the request that was seen at its target: so they are judged now
            for attempt in ready:
                self._finish(attempt)
        for number, outcome in enumerate(self._outcomes):
            if not outcome.tries and not outcome.error and not self._began[number]:
                outcome.error = "it was not tried: the checks were interrupted"

    # Sending

    def _begin(self, number: int) -> None:
        """Let a probe be tried, after its source knows the address of the next hop."""
        probe = self._probes[number]
        for name in (probe.source, *self._ways.arrives_at(probe.target)):
            if name in self.signs.unusable and (name == probe.source or name == probe.target):
                self._close(number, self.signs.unusable[name])
                return
        if not self._began[number]:
            self._began[number] = self._clock()
        hop = self._ways.hop(probe.source, probe.target).station
        address = address_of(hop, probe.family)
        if not probe.resolve or address is None:
            self._try(number)
            return
        key = (probe.source, probe.family, address)
        asked = self._asked.get(key)
        if asked is None:
            build = asking.arp_request if probe.family == 4 else asking.neighbour_solicitation
            frame = build(self._ways.station(probe.source), address)
            until = self._clock() + probe.within
            asked = self._asked[key] = _Asked(probe.source, frame, address, hop.mac, until)
            self._waiting.append(asked)
        if asked.over:
            self._try(number)
        else:
            asked.until = max(asked.until, self._clock() + probe.within)
            asked.waiting.append(number)

    def _try(self, number: int) -> None:
        probe, tag = self._probes[number], len(self._tags)
        src = frames.with_family(self._ways.station(probe.source), probe.family)
        hop = self._ways.hop(probe.source, probe.target).station
        dst = frames.with_family(self._ways.station(probe.target), probe.family)._replace(mac=hop.mac)
        if probe.sort == "addressed":
            frame = frames.request(src, dst, probe.protocol, probe.port, self._nonce, tag)
        else:
            frame = frames.stray(src, dst, probe.sort, self._nonce, tag)
        old = self._outcomes[number]
        outcome = Outcome(tries=old.tries + 1, frame=frame)
        self._outcomes[number] = outcome
        attempt = _Try(number, probe.source, frame, outcome)
        self._tags.append(attempt)
        if probe.protocol == "udp":
            self._by_port[probe.source, frames.source_port(tag)] = attempt
        self._waiting.append(attempt)

    def _send(self, item: _Asked | _Try) -> None:
        if item.over:
            return
        item.tries += 1
        item.sent = now = self._clock()
        if isinstance(item, _Try) and item.tries == 1 and item.outcome.tries == 1:
            self._began[item.probe] = now
        try:
            self._sockets[item.source].send(item.frame)
        except (BlockingIOError, InterruptedError):
            pass  # the device's queue is full: the next copy takes it
        except OSError as error:
            if isinstance(item, _Try):
                item.outcome.error = f"{item.source} can't send: {error.strerror}"
        self._flying.append(item)
        patience = MOST_PATIENT
        if isinstance(item, _Try):  # a check whose time is short has its answer soon
            patience = max(LEAST_PATIENT, min(patience, self._probes[item.probe].within / (2 * COPIES)))
        self._later(now + min(self._pace.lost_after, patience), item)

    def _later(self, when: float, what: _Asked | _Try | int) -> None:
        self._order += 1
        heapq.heappush(self._due, (when, self._order, what))

    def _overdue(self, item: _Asked | _Try | int, now: float) -> None:
        """The time of a copy, a question or a pause is over."""
        if isinstance(item, int):
            self._begin(item)
        elif item.over:
            return
        elif isinstance(item, _Try):
            if item.tries < COPIES and item.outcome.silent:
                self._waiting.append(item)
            else:
                self._finish(item)
        elif now < item.until:
            self._waiting.append(item)
        else:
            item.over = True
            del self._asked[next(key for key, asked in self._asked.items() if asked is item)]
            for number in item.waiting:
                outcome = self._outcomes[number]
                outcome.resolved, outcome.tries = False, outcome.tries or 1
                if item.wrong:
                    outcome.packets.append(item.wrong)
                self._close(number)

    def _finish(self, attempt: _Try) -> None:
        """A try is over: its outcome does, or the probe is tried again, as long as it has time."""
        if attempt.over:
            return
        attempt.over = True
        number, outcome, now = attempt.probe, attempt.outcome, self._clock()
        probe = self._probes[number]
        outcome.seconds = now - self._began[number]
        pause = min(LONGEST_PAUSE, PAUSE * 2 ** (outcome.tries - 1))
        if (not outcome.error and probe.wants(outcome)) or outcome.seconds + pause >= probe.within:
            self._close(number)
        else:
            self._later(now + pause, number)

    def _close(self, number: int, error: str = "") -> None:
        self._outcomes[number].error = self._outcomes[number].error or error
        self._open_probes -= 1

    # Receiving

    def _receive(self, at: str) -> None:
        """Read all frames that wait at a host's port."""
        raw = self._sockets[at]
        for _ in range(256):
            try:
                frame = raw.recv(2048)
            except OSError:
                return  # nothing more, or the interface is gone
            kind = frame[12:14]
            if kind == b"\x08\x06" or (
                kind == b"\x86\xdd" and frame[20:21] == b"\x3a" and frame[54:55] == b"\x88"
            ):
                answer = asking.recognise(frame, self._nonce)
                if isinstance(answer, Resolved):
                    self._on_resolved(at, answer)
                    continue
            seen = frames.recognise(frame, self._nonce, len(self._tags))
            if seen is not None:
                self._on_seen(at, seen, frame)

    def _watch(self, point: str, raw: socket.socket) -> None:
        """Read all frames that wait at a watched point."""
        for _ in range(256):
            try:
                data, told, _, _ = raw.recvmsg(2048, 64)
            except OSError:
                return
            frame, vni, outer = frames.unwrapped(data)
            seen = frames.recognise(frame, self._nonce, len(self._tags))
            if seen is None or seen.tag < 0:
                continue
            when = time.time()
            for _level, _kind, value in told:
                seconds, nanoseconds = struct.unpack("qq", value[:16])
                when = seconds + nanoseconds / 1e9
            sighting = Sighting(when, point, seen.kind != "request", vni, outer)
            sightings = self._tags[seen.tag].outcome.sightings
            if len(sightings) < _MOST_SIGHTINGS:
                sightings.append(sighting)

    def _on_resolved(self, at: str, answer: Resolved) -> None:
        asked = self._asked.get((at, answer.family, answer.address))
        if asked is None or asked.over:
            return
        if answer.mac != asked.mac:
            asked.wrong = f"answered with the MAC {answer.mac.hex(':')}, not {asked.mac.hex(':')}"
            return
        asked.over = True
        self._heard = self._clock()
        self._pace.answered(asked, self._heard)
        self.signs.resolved.add(at)
        waiting, asked.waiting = asked.waiting, []
        for number in waiting:
            self._try(number)

    def _on_seen(self, at: str, seen: Seen, frame: bytes) -> None:
        attempt = self._by_port.get((at, seen.port)) if seen.tag < 0 else self._tags[seen.tag]
        if attempt is None:
            return
        probe, outcome = self._probes[attempt.probe], attempt.outcome
        self._heard = self._clock()
        if len(outcome.packets) < _KEPT:
            outcome.packets.append(f"at {at}: {frames.decoded(frame)}")
        if seen.kind == "request":
            if at == attempt.source:
                return
            self.signs.reached.add(at)
            self.signs.left.add(attempt.source)
            if at not in outcome.arrived:
                outcome.arrived.append(at)
                if not attempt.over:
                    self._pace.answered(attempt, self._heard)
            if probe.protocol == "udp" or (self._for_them and at == probe.target):
                self._answer(at, frame, seen.tag)
        elif at == attempt.source and outcome.answer is None:
            outcome.answer = Answer(seen.kind, frames.decoded(frame))
            if not attempt.over:
                self._answered.append(attempt)

    def _answer(self, at: str, frame: bytes, tag: int) -> None:
        answer = frames.answer_to(frame, self._nonce, tag)
        if answer is not None:
            try:
                self._sockets[at].send(answer)
            except OSError:
                return  # the request's next copy is answered
