"""The prober's loop: sends probes, matches arriving frames, and adapts its rate."""

from __future__ import annotations

import contextlib
import select
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Protocol

from lab.probe import frames
from lab.probe.frames import Echo, Resolved, Station

_PER_HOST = 48
_QUEUE_AIM = 0.03
_RETRY_AGE = 0.3
_ROOM = 256
"""Most hosts whose kernels may have resolved a neighbour for an echo on the way, where these are forgotten
again."""
_TRIES = 5  # the last one more than a second after the first: a kernel repeats a solicitation after one


@dataclass
class Probe:
    """One expected event: an address is resolved, or an echo arrives."""

    src: int
    dst: int
    family: int
    resolve: bool
    frame: bytes
    tries: int = 0
    sent: float = 0.0
    held: float = 0.0  # what ``Run.held`` was then
    seconds: float = 0.0
    answered: bool = False
    given_up: bool = False
    seen: bool = False  # the request was seen at the destination
    wrong: str = ""
    most: int = _TRIES  # copies that are sent before it counts as lost
    one_way: bool = False  # its arrival counts; otherwise that of the answer
    answer: bytes = b""  # what the prober itself sends back from the destination; empty: its stack answers
    resolving: bool = False  # its destination's kernel resolves the source's address, to answer
    emit: Callable[[bytes], None] | None = None  # sends it, in place of the source's socket
    then: list[Probe] = field(default_factory=list)  # released when this one is answered

    @property
    def stack(self) -> bool:
        """Whether the destination's own kernel answers, for which it resolves the source's address."""
        return not (self.resolve or self.one_way or self.answer or self.emit)

    def give_up(self) -> int:
        """Give a probe up; how many probes this closes (probes that depend on it never start)."""
        self.given_up = True
        return 1 + sum(probe.give_up() for probe in self.then)


class Sent(Protocol):
    """A frame that was sent ``tries`` times, the last time at ``sent``."""

    tries: int
    sent: float


@dataclass
class Pace:
    """Decides, from the measured latency, how many frames may be on the way and when one counts as lost.

    A packet that opens a new flow costs the switch 20 to 300 microseconds, depending on the length of its
    path. If more frames are on the way than the switch handles in ``_QUEUE_AIM`` seconds, they wait and are
    sent twice.
    """

    window: int = 256
    latency: float = 0.005

    def answered(self, probe: Sent, now: float) -> None:
        """``probe`` was answered at ``now``: additive increase, multiplicative decrease (as RFC 5681).

        A host's own kernel may have asked for the same address, so an answer may come before the probe is
        sent. Such an answer says nothing about the latency.  For a frame that was sent twice, the time counts
        from the last copy.  If the answer was to the first copy, this time is too short; then the next frames
        are sent again sooner, which does no harm.
        """
        if not probe.tries:
            return
        self.latency += (now - probe.sent - self.latency) / 32
        if self.latency < _QUEUE_AIM:
            self.window = min(1024, self.window + 1)
        else:
            self.window = max(16, self.window - max(1, self.window >> 6))

    def begin_anew(self) -> None:
        """Nothing was answered for as long as all that is on the way takes: the switch's queue is empty (as
        RFC 5681, 4.1). Else frames that nobody answers would keep a small window small."""
        self.window = max(self.window, Pace.window)

    def is_late(self, probe: Probe, now: float, held: float) -> bool:
        """Whether nothing came back in time. While the switches waited for a processor, nothing could."""
        return now - probe.sent - (held - probe.held) > self.lost_after

    @property
    def lost_after(self) -> float:
        """Seconds after which an unanswered frame is sent again."""
        return max(_RETRY_AGE, 8 * self.latency)

    @property
    def stale_after(self) -> float:
        """Seconds after which an unanswered frame no longer counts as on the way."""
        return max(0.05, 4 * self.latency)


Forget = Callable[[str, bytes], None]
"""Makes a host (by name) forget what its kernel has resolved for an address (packed)."""


@dataclass
class Run:
    stations: list[Station]
    sockets: list[socket.socket]
    nonce: int
    clock: Callable[[], float]
    frames_mode: bool
    held: Callable[[], float] = lambda: 0.0
    """Seconds for which the switches and this process could not run although they wanted to."""
    sent_frames: int = 0
    echoes: list[Probe] = field(default_factory=list)
    resolving: dict[tuple[int, int, bytes], Probe] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    gateways: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """(source, destination, family) -> the station of the router that leads from one to the other."""
    forwarded: dict[tuple[int, int], frozenset[int]] = field(default_factory=dict)
    """Pairs between which hosts forward, which see the frames, too -> the address families of which."""
    apart: set[tuple[int, int]] = field(default_factory=set)
    """Pairs in different networks that no router joins."""
    ring: int = 0  # echoes from this index on are real pings of the ring
    crossing: int | None = None  # echoes from this index on cross links
    forget: Forget | None = None
    heard: float = 0.0  # when something was answered, or the pace began anew
    kernels: int = 0  # echoes for which a kernel resolves a neighbour, until they are answered or late

    def began(self, probe: Probe) -> None:
        """A probe was sent."""
        if probe.stack and not probe.resolving:
            probe.resolving = True
            self.kernels += 1

    def ended(self, probe: Probe) -> None:
        """A probe was answered, or is late."""
        if probe.resolving:
            probe.resolving = False
            self.kernels -= 1


def address_of(station: Station, family: int) -> bytes | None:
    return station.ip4 if family == 4 else station.ip6


def share_a_family(a: Station, b: Station) -> bool:
    return bool((a.ip4 and b.ip4) or (a.ip6 and b.ip6))


Told = Callable[[int, int], None]
"""Is called from time to time with the number of finished probes and of all probes."""
_TELL = 0.25


_PROGRESS = 5.0
_LONGEST = 500.0


@dataclass
class Deadline:
    """When missing probes count as lost: at ``at``; if ``soft``, only after some time without any progress.

    A busy machine is slow, but loses nothing.
    """

    at: float
    soft: bool
    began: float

    def moved(self, now: float) -> None:
        """A probe was answered, or given up after all its tries."""
        if self.soft:
            self.at = max(self.at, min(now + _PROGRESS, self.began + _LONGEST))


def drive(run: Run, seconds: float, told: Told | None = None, soft: bool = False) -> None:
    """Send probes and match arriving frames until no probe is open or the time is over.

    ``seconds`` count from now on: the time to prepare a million frames is not the network's.
    ``soft``: they are an estimate (see ``Deadline``).
    """
    began = next_word = run.heard = run.clock()
    deadline = Deadline(began + seconds, soft, began)
    before = -1
    waiting: deque[Probe] = deque()
    # alternately, so that a run that ends by its timeout has results of both
    alone = [echo for echo in run.echoes if echo.one_way or echo.answer]
    for pair in zip_longest(run.resolving.values(), alone):
        waiting.extend(item for item in pair if item is not None)
    open_probes = total = len(run.resolving) + len(run.echoes)
    flying: deque[Probe] = deque()  # recently sent, oldest first: what congestion is judged by
    unanswered: deque[Probe] = deque()  # everything sent, oldest first
    in_flight = [0] * len(run.sockets)
    poller = select.epoll()
    try:
        by_fd = {}
        for i, raw in enumerate(run.sockets):
            poller.register(raw.fileno(), select.EPOLLIN)
            by_fd[raw.fileno()] = i
        while open_probes > 0 and (now := run.clock()) < deadline.at:
            if open_probes != before:
                deadline.moved(now)
                before = open_probes
            if told is not None and now >= next_word:
                told(total - open_probes, total)
                next_word = now + _TELL
            if now - run.heard > run.pace.stale_after:
                run.pace.begin_anew()
                run.heard = now
            while flying and (flying[0].answered or now - flying[0].sent > run.pace.stale_after):
                in_flight[flying.popleft().src] -= 1
            held = run.held()
            while unanswered and (unanswered[0].answered or run.pace.is_late(unanswered[0], now, held)):
                late = unanswered.popleft()
                run.ended(late)
                if not late.answered and late.tries < late.most:
                    waiting.append(late)
                elif not late.answered:
                    open_probes -= late.give_up()
            _send_due(run, waiting, flying, unanswered, in_flight)
            # if the window has room, only poll for answers; otherwise wait for them
            pause = 0.0 if waiting and len(flying) < run.pace.window else 0.01
            for fd, _event in poller.poll(min(pause, max(0.0, deadline.at - now)), 256):
                open_probes -= _receive(run, by_fd[fd], waiting)
    finally:
        poller.close()


def _send_due(
    run: Run,
    waiting: deque[Probe],
    flying: deque[Probe],
    unanswered: deque[Probe],
    in_flight: list[int],
) -> None:
    """Send from ``waiting`` while the window has room, no host more than its share."""
    deferred: list[Probe] = []
    room = _ROOM if run.forget is not None else len(run.echoes)
    while waiting and len(flying) < run.pace.window and len(deferred) <= 64:
        item = waiting.popleft()
        if item.answered:
            continue
        if in_flight[item.src] >= _PER_HOST or (item.stack and run.kernels >= room):
            deferred.append(item)
            continue
        item.sent, item.held = run.clock(), run.held()
        item.tries += 1
        try:
            if item.emit is not None:
                item.emit(item.frame)
            else:
                run.sockets[item.src].send(item.frame)
            run.sent_frames += 1
        except (BlockingIOError, InterruptedError):
            pass  # the device's queue is full: the retry takes it
        except OSError as error:
            item.wrong = f"{run.stations[item.src].name} cannot send: {error.strerror}"
        in_flight[item.src] += 1
        flying.append(item)
        unanswered.append(item)
        run.began(item)
    waiting.extendleft(reversed(deferred))


def _receive(run: Run, at: int, waiting: deque[Probe]) -> int:
    """Read all frames that wait at one socket; how many probes this settled."""
    settled = 0
    raw = run.sockets[at]
    for _ in range(256):
        try:
            frame = raw.recv(256)
        except OSError:
            break  # nothing more, or the interface went away: missing answers will say so
        meaning = frames.recognise(frame, run.nonce)
        if isinstance(meaning, Echo):
            settled += _on_echo(run, at, meaning)
        elif isinstance(meaning, Resolved):
            settled += _on_resolved(run, at, meaning, waiting)
    return settled


def _on_echo(run: Run, at: int, echo: Echo) -> int:
    if echo.probe >= len(run.echoes):
        return 0
    item = run.echoes[echo.probe]
    expected_at = item.dst if item.one_way or echo.request else item.src
    if at != expected_at and (item.src, item.dst) in run.forwarded:
        return 0  # seen on its way
    if at != expected_at:
        item.wrong = f"delivered to {run.stations[at].name}, who is not the destination"
    elif echo.request:
        item.seen = True
        if item.answer:
            with contextlib.suppress(OSError):  # the retry takes it
                run.sockets[item.dst].send(item.answer)
    elif not item.answered:
        item.answered = True
        run.heard = now = run.clock()
        item.seconds = now - item.sent
        run.pace.answered(item, now)
        source = address_of(run.stations[item.src], item.family)
        run.ended(item)
        if run.forget is not None and item.stack and source is not None:
            run.forget(run.stations[item.dst].name, source)
        return 0 if item.given_up else 1
    return 0


def _on_resolved(run: Run, at: int, answer: Resolved, waiting: deque[Probe]) -> int:
    item = run.resolving.get((at, answer.family, answer.address))
    if item is None or item.answered:
        return 0
    if answer.mac != run.stations[item.dst].mac:
        item.wrong = f"answered with the MAC {answer.mac.hex(':')}, not {run.stations[item.dst].mac.hex(':')}"
        return 0
    item.answered = True
    item.wrong = ""
    run.heard = run.clock()
    run.pace.answered(item, run.heard)
    waiting.extend(item.then)
    return 0 if item.given_up else 1
