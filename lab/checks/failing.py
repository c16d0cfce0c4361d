"""``survives``: breaks something, looks whether a check holds, and repairs it, whatever happens."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass, field

from lab.checks import frames
from lab.checks.judgement import Judgement, finding
from lab.checks.room import Visit
from lab.messages.checks import Finding
from linux.readiness import readable
from topologies.model.checks import Check, Reachable
from topologies.model.checks_of_ways import Survives

EVERY = 0.005
"""Seconds between two packets of a pair, while something is broken."""
MOST_PAIRS = 16
_LATE = 0.5


def survives_act(check: Survives, visit: Visit) -> Judgement:
    """Look before, break, look after, and repair."""
    before = visit.judge(check.check)
    if before.verdict != "passed":
        return _told(check, before, "before anything was broken")
    room = visit.room
    ailing = room.ailing()
    if check.target in {"link": ailing.links, "switch": ailing.switches}.get(check.action, frozenset()):
        state = "cut" if check.action == "link" else "off"
        what = f"{check.target} is {state} already, and would be repaired"
        return Judgement("error", 1, (finding(_what(check), what),))
    stream = Stream(check.check, visit) if isinstance(check.check, Reachable) else None
    broken = False
    try:
        if stream is not None:
            stream.start()
            visit.rest(0.1)
        broken = True
        room.break_(check.action, check.target)
        after = visit.judge(check.check)
        lost = stream.stop() if stream is not None else None
    finally:
        if stream is not None:
            stream.stop()
        if broken:
            room.repair(check.action, check.target)
    if after.verdict != "passed":
        return _told(check, after, f"after {_what(check)}")
    again = visit.judge(check.check)
    if again.verdict != "passed":
        return _told(check, again, "after it was repaired")
    if lost is None:
        return Judgement("passed")
    sent, number = lost
    note = f"{number} of {sent} packets were lost, one sent each {EVERY * 1000:g} ms"
    if check.lost is not None and number > check.lost:
        return Judgement("failed", 1, (finding(_what(check), note),))
    return Judgement("passed", 1, (), note)


def _told(check: Survives, judgement: Judgement, when: str) -> Judgement:
    """The judgement about the check inside, with the time at which it was made."""
    findings: list[Finding] = [{**told, "what": f"{when}: {told['what']}"} for told in judgement.findings]
    return Judgement(judgement.verdict, judgement.tried, tuple(findings), judgement.note)


def _what(check: Survives) -> str:
    return {
        "link": f"the cut of {check.target}",
        "switch": f"the loss of switch {check.target}",
        "domain": f"the crash of domain {check.target}",
        "function": f"the crash of {check.target}",
        "controller": "the crash of the controller",
    }[check.action]


@dataclass(eq=False)
class Stream:
    """A stream of tagged packets between the hosts of a check, in a thread of its own."""

    check: Check
    visit: Visit
    _sent: int = 0
    _arrived: set[int] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the sockets, and begin. Raises OSError and KeyError."""
        check, ways = self.check, self.visit.ways
        assert isinstance(check, Reachable)
        pairs = [pair for pair in check.pairs() if pair[1] in ways.hosts][:MOST_PAIRS]
        self._pairs = [(a, b, families[0]) for a, b in pairs if (families := ways.families(a, b))]
        names = dict.fromkeys(name for a, b, _ in self._pairs for name in (a, b))
        self._sockets = {name: self.visit.room.open_socket(name) for name in names}
        self._nonce = int.from_bytes(os.urandom(4), "big")
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def stop(self) -> tuple[int, int]:
        """How many packets were sent, and how many of them were lost."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(5.0)
        return self._sent, self._sent - len(self._arrived)

    def _run(self) -> None:
        by_descriptor = {raw.fileno(): raw for raw in self._sockets.values()}
        due, ends = time.monotonic(), 0.0
        try:
            while True:
                now = time.monotonic()
                if self._over.is_set():
                    ends = ends or now + _LATE
                    if now >= ends or len(self._arrived) == self._sent:
                        return
                elif now >= due:
                    due = max(due + EVERY, now - 10 * EVERY)
                    for pair in self._pairs:
                        self._send(*pair)
                ready = readable(list(by_descriptor), max(0.0, min(due - now, EVERY)))
                for descriptor in ready:
                    self._receive(by_descriptor[descriptor])
        finally:
            for raw in self._sockets.values():
                raw.close()

    def _send(self, source: str, target: str, family: int) -> None:
        check, ways = self.check, self.visit.ways
        assert isinstance(check, Reachable)
        src = frames.with_family(ways.station(source), family)
        dst = frames.with_family(ways.station(target), family)
        dst = dst._replace(mac=ways.hop(source, target).station.mac)
        frame = frames.request(src, dst, check.protocol, check.port or 0, self._nonce, self._sent)
        self._sent += 1
        try:
            self._sockets[source].send(frame)
        except OSError:
            return  # it is lost

    def _receive(self, raw: socket.socket) -> None:
        for _ in range(64):
            try:
                frame = raw.recv(2048)
            except OSError:
                return
            seen = frames.recognise(frame, self._nonce, self._sent)
            if seen is not None and seen.kind == "request":
                self._arrived.add(seen.tag)
