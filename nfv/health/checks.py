"""Health checks of a load balancer's backends, from the balancer's own namespace, through the network.

``checks.json``: ``ipv4``, ``ipv6`` of the balancer, its ``backends`` and the ``check`` as in
``topologies.model.functions``.  Each backend is checked once per ``interval``; the checks are spread over it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import time

from nfv import devices
from nfv.health.checks_as_values import Health, address, echo_reply, echo_request, request, status
from nfv.lines import HOST, say
from nfv.process import Loop, content, running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


BEGINNING = 3.0
"""Seconds after the start in which a failed check has no consequence and is repeated: the switches are being
programmed, and the servers start."""
OTHERS = 0.3
"""Seconds after the first answer of any backend that end this period for all: then the network works."""
SOON = 0.05
"""In this period: seconds between two checks of a backend, and timeout of a check."""


class Try:
    """One running check; ``done`` is called once with the result and the reason."""

    def __init__(
        self,
        check: dict[str, Any],
        host: str,
        port: int,
        timeout: float,
        done: Callable[[bool, str], None],
    ) -> None:
        self.deadline = time.monotonic() + timeout
        self._done = done
        self._request = request(host, check["path"]) if check["kind"] == "http" else None
        self._answer = b""
        self._connected = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        error = self.sock.connect_ex((host, port))
        self.failed_at_once = error if error not in (0, errno.EINPROGRESS) else 0

    def ready(self) -> bool:
        """Do the next step; whether the check has ended."""
        if not self._connected:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                return self.end(False, os.strerror(error))
            self._connected = True
            if self._request is None:
                return self.end(True, "connected")
            try:
                self.sock.send(self._request)
            except OSError as problem:
                return self.end(False, str(problem.strerror))
            return False
        try:
            data = self.sock.recv(4096)
        except BlockingIOError:
            return False
        except OSError as problem:
            return self.end(False, str(problem.strerror))
        self._answer += data
        code = status(self._answer) if b"\n" in self._answer or not data else None
        if code is not None:
            return self.end(200 <= code < 400, f"HTTP status {code}")
        if not data or len(self._answer) > 65536:
            return self.end(False, "no HTTP answer")
        return False

    @property
    def wants_to_write(self) -> bool:
        return not self._connected

    def end(self, good: bool, reason: str) -> bool:
        """Report the result."""
        if good and self._request is None:
            # close with a reset: no TIME_WAIT for each check, and the server sees that no request comes
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()
        self._done(good, reason)
        return True


class Checks:
    """All the backends' checks."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._tries: dict[int, Try] = {}
        self._pings: dict[int, tuple[float, Callable[[bool, str], None]]] = {}
        self._raw: dict[bool, socket.socket] = {}
        self._sequence = 0
        self._identifier = os.getpid() & 0xFFFF
        self._health: dict[str, Health] = {}
        self._due: dict[str, float] = {}
        self._counts: dict[str, Any] = {"checks": 0, "failed": 0}
        self._beginning_ends = time.monotonic() + BEGINNING
        self._load()

    def _load(self) -> None:
        self._balancer = json.loads(content("checks.json"))
        self._check = self._balancer["check"]
        self._backends = {backend["host"]: backend for backend in self._balancer["backends"]}
        known, now = self._health, time.monotonic()
        rise, fall = self._check["rise"], self._check["fall"]
        self._health = {}
        for place, name in enumerate(self._backends):
            health = self._health[name] = Health(rise, fall)
            if name in known:
                health.up = known[name].up
            spread = self._check["interval"] / 1e6 * place / len(self._backends)
            self._due[name] = now + (spread if name in known else 0.0)
        self._due = {name: self._due[name] for name in self._backends}

    def replace(self) -> None:
        """Use other backends, or another check."""
        self._load()
        running()

    def fileno(self) -> int:
        return self._poll.fileno()

    def next(self) -> float:
        """When the next check is due, or the next deadline passes (seconds of ``time.monotonic``)."""
        deadlines = [attempt.deadline for attempt in self._tries.values()]
        deadlines += [deadline for deadline, _ in self._pings.values()]
        return min([*self._due.values(), *deadlines], default=time.monotonic() + 3600)

    def begin(self) -> None:
        """Start the checks that are due, and end those whose deadline has passed."""
        now = time.monotonic()
        for fd, attempt in list(self._tries.items()):
            if attempt.deadline <= now:
                self._forget(fd)
                attempt.end(False, "timeout")
        for sequence, (deadline, done) in list(self._pings.items()):
            if deadline <= now:
                del self._pings[sequence]
                done(False, "no echo reply")
        for name, due in self._due.items():
            if due <= now:
                interval = SOON if self._beginning(name, now) else self._check["interval"] / 1e6
                self._due[name] = max(due + interval, now + interval / 2)
                self._try(name)

    def _beginning(self, name: str, now: float) -> bool:
        """Whether a failed check of this backend has no consequence yet."""
        return self._health[name].up is None and now < self._beginning_ends

    def _try(self, name: str) -> None:
        backend = self._backends[name]
        host = address(self._balancer, backend)
        timeout = self._check["timeout"] / 1e6
        if self._beginning(name, time.monotonic()):
            timeout = min(timeout, SOON)

        def done(good: bool, reason: str) -> None:
            self._record(name, good, reason)

        if self._check["kind"] == "icmp":
            self._ping(host, timeout, done)
            return
        begun = Try(self._check, host, backend["port"], timeout, done)
        if begun.failed_at_once:
            begun.end(False, os.strerror(begun.failed_at_once))
            return
        self._tries[begun.sock.fileno()] = begun
        self._poll.register(begun.sock.fileno(), select.EPOLLOUT)

    def _ping(self, host: str, timeout: float, done: Callable[[bool, str], None]) -> None:
        ipv6 = ":" in host
        if ipv6 not in self._raw:
            family, protocol = (
                (socket.AF_INET6, socket.IPPROTO_ICMPV6) if ipv6 else (socket.AF_INET, socket.IPPROTO_ICMP)
            )
            sock = self._raw[ipv6] = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
            self._poll.register(sock.fileno(), select.EPOLLIN)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._pings[self._sequence] = (time.monotonic() + timeout, done)
        try:
            self._raw[ipv6].sendto(echo_request(ipv6, self._identifier, self._sequence), (host, 0))
        except OSError as problem:
            del self._pings[self._sequence]
            done(False, str(problem.strerror))

    def read(self) -> None:
        """Data arrived, or a connection was made or refused."""
        for fd, _ in self._poll.poll(0):
            if fd in self._tries:
                attempt = self._tries[fd]
                # remove it first: the number of a closed descriptor may be used again
                self._forget(fd)
                if not attempt.ready():
                    self._tries[fd] = attempt
                    self._poll.register(fd, select.EPOLLOUT if attempt.wants_to_write else select.EPOLLIN)
            else:
                self._echoes()

    def _forget(self, fd: int) -> None:
        del self._tries[fd]
        self._poll.unregister(fd)

    def _echoes(self) -> None:
        for ipv6, sock in self._raw.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    reply = echo_reply(ipv6, sock.recv(2048))
                    if reply is None:
                        continue
                    identifier, sequence = reply
                    if identifier == self._identifier and sequence in self._pings:
                        _, done = self._pings.pop(sequence)
                        done(True, "echo reply")

    def _record(self, name: str, good: bool, reason: str) -> None:
        self._counts["checks"] += 1
        self._counts["failed"] += not good
        health, now = self._health.get(name), time.monotonic()
        if good:
            self._beginning_ends = min(self._beginning_ends, now + OTHERS)
        if health is not None and health.result(good, self._beginning(name, now)):
            say("backend", backend=name, up=health.up, reason=reason)

    def count(self) -> None:
        """Report the counters."""
        say("counters", **devices.counters((HOST,)), **self._counts)


def main() -> None:
    """Check until the standard input ends."""
    checks = Checks()
    running()
    loop = Loop()
    loop.watch(checks.fileno(), checks.read)
    loop.agenda(checks.next, checks.begin)
    loop.every(1.0, checks.count)
    checks.begin()
    loop.run(checks.replace)
