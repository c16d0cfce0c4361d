"""Checks of what hosts and functions serve: answers, times, rates, shares. Pure."""

from __future__ import annotations

from typing import ClassVar, Literal

from topologies.model.check import Between

DnsType = Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "TXT"]
DnsStatus = Literal["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"]


class Http(Between):
    """An HTTP request is answered. ``status``: its code; None: any. ``body``, and the values of ``headers``:
    regular expressions that the answer has."""

    verb: Literal["http"]
    port: int = 80
    method: Literal["GET", "HEAD"] = "GET"
    path: str = "/"
    status: int | None = 200
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def expected(self) -> str:
        asked = f"{self.method} http://{self.destination.words}:{self.port}{self.path}"
        parts = [str(self.status)] if self.status is not None else []
        parts += [f"body {self.body!r}"] if self.body else []
        parts += [f"{name} {value!r}" for name, value in self.headers]
        return f"{self.source.words}: {asked}: {', '.join(parts) or 'an answer'}"


class Dns(Between):
    """A DNS server (RFC 1035) answers a query over UDP. ``answers``: the answer has all of them."""

    verb: Literal["dns"]
    port: int = 53
    query: str
    type: DnsType = "A"
    status: DnsStatus = "NOERROR"
    answers: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        what = ", ".join(self.answers) if self.answers else self.status
        return f"{self.source.words} asks {self.destination.words} for {self.query} {self.type}: {what}"


class Latency(Between):
    """The median round trip of pings. ``least``, ``most``: in seconds; None: no bound."""

    alone: ClassVar[bool] = True
    verb: Literal["latency"]
    least: float | None = None
    most: float | None = None
    count: int = 11

    @property
    def expected(self) -> str:
        bounds = _bounds(self.least, self.most, lambda value: f"{value * 1000:g} ms")
        ends = f"{self.source.words} to {self.destination.words}{self.how_words('icmp', None)}"
        return f"round trip {ends}: {bounds}"


class Rate(Between):
    """The rate of a transfer, at the receiver. ``least``, ``most``: bit/s of payload; None: no bound.

    ``seconds``: how long it is measured, after the first quarter of a second.
    """

    alone: ClassVar[bool] = True
    verb: Literal["rate"]
    protocol: Literal["tcp", "udp"] = "tcp"
    least: int | None = None
    most: int | None = None
    seconds: float = 2.0

    @property
    def expected(self) -> str:
        bounds = _bounds(self.least, self.most, lambda value: f"{value / 1_000_000:g} Mbit/s")
        return f"{self.protocol.upper()} from {self.source.words} to {self.destination.words}: {bounds}"


class Balanced(Between):
    """New connections are shared out among the backends of a load balancer.

    ``shares``: backend -> its share, 0 to 1; ``tolerance``: how much each may differ. ``sticky``: all
    connections of one source go to one backend; then shares are not looked at.
    """

    alone: ClassVar[bool] = True
    verb: Literal["balanced"]
    protocol: Literal["tcp", "udp"] = "tcp"
    port: int
    connections: int = 200
    shares: tuple[tuple[str, float], ...] = ()
    tolerance: float = 0.1
    sticky: bool = False

    @property
    def expected(self) -> str:
        ends = f"{self.source.words} to {self.destination.words}, {self.protocol.upper()} {self.port}"
        if self.sticky:
            return f"{ends}: one backend for each source"
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.shares)
        return f"{ends}: {shares}, each ± {self.tolerance:.0%}"

    @property
    def size(self) -> int:
        return super().size * self.connections


def _bounds(least: float | None, most: float | None, words: object) -> str:
    assert callable(words)
    parts = [f"at least {words(least)}"] if least is not None else []
    parts += [f"at most {words(most)}"] if most is not None else []
    return " and ".join(parts)
