"""``http`` and ``dns``: requests by sockets that the lab opens in the hosts' network namespaces, or a program
in a host that has a kernel of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from contextlib import AbstractContextManager
from functools import partial

from lab.checks import dns_messages, relayed
from lab.checks.frames import ip_text
from lab.checks.judgement import Judgement
from lab.checks.matching import TooSlow, found
from lab.checks.retrying import Impossible, until_right
from lab.checks.room import Visit
from lab.probe.loop import address_of
from topologies.model.checks import Between
from topologies.model.checks_of_services import Dns, Http
from topologies.model.choices import OWN_KERNEL

MOST_BODY = 1 << 16
"""Bytes of a body that are looked at."""
Pair = tuple[str, str, int]


def pairs(check: Between, visit: Visit) -> list[Pair]:
    """Source, target and address family of each pair; of both families that two have."""
    some = []
    for source, target in check.pairs():
        families = visit.ways.families(source, target) if source in visit.ways.hosts else ()
        some += [(source, target, family) for family in families if check.family in (None, family)]
    return some


def words(pair: Pair) -> str:
    """A pair in words."""
    source, target, family = pair
    return f"{source} -> {target}, IPv{family}"


def open_to(pair: Pair, kind: socket.SocketKind, port: int, seconds: float, visit: Visit) -> socket.socket:
    """A socket in the source's namespace, connected to the target. Raises OSError and Impossible."""
    source, _, family = pair
    address = _address(pair, visit)
    of = socket.AF_INET if family == 4 else socket.AF_INET6
    try:
        opened = visit.room.inside(source, lambda: socket.socket(of, kind | socket.SOCK_CLOEXEC))
    except (OSError, KeyError) as error:
        raise Impossible(f"{source} has no network: {error}") from None
    opened.settimeout(seconds)
    try:
        opened.connect((address, port))
    except OSError:
        opened.close()
        raise
    return opened


def _address(pair: Pair, visit: Visit) -> str:
    _, target, family = pair
    address = address_of(visit.ways.station(target), family)
    if address is None:
        raise Impossible(f"{target} has no IPv{family} address")
    return ip_text(address)


def _own_kernel(pair: Pair, visit: Visit) -> bool:
    return visit.ways.hosts[pair[0]].kind in OWN_KERNEL


def _stream(pair: Pair, port: int, seconds: float, visit: Visit) -> AbstractContextManager[socket.socket]:
    if _own_kernel(pair, visit):
        return relayed.stream(pair[0], _address(pair, visit), port, seconds, visit)
    return open_to(pair, socket.SOCK_STREAM, port, seconds, visit)


def _datagrams(
    pair: Pair, port: int, seconds: float, visit: Visit
) -> AbstractContextManager[socket.socket | relayed.Datagrams]:
    if _own_kernel(pair, visit):
        return relayed.datagrams(pair[0], _address(pair, visit), port, seconds, visit)
    return open_to(pair, socket.SOCK_DGRAM, port, seconds, visit)


def http_act(check: Http, visit: Visit) -> Judgement:
    """Ask, and compare the answers."""
    return until_right(check, visit, pairs(check, visit), words, partial(_ask_http, check, visit))


def _ask_http(check: Http, visit: Visit, pair: Pair, seconds: float) -> str:
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(_stream(pair, check.port, seconds, visit))
        except OSError as error:
            return f"no connection: {error.strerror or error}"
        return _answer(check, pair[1], opened, seconds)


def _answer(check: Http, name: str, opened: socket.socket, seconds: float) -> str:
    """Ask by an open connection to ``name``; what is wrong with the answer."""
    # a server that sends an octet now and then must not hold it up
    ends = threading.Timer(seconds, lambda: _shut(opened))
    ends.daemon = True
    ends.start()
    try:
        connection = http.client.HTTPConnection(name, check.port)
        connection.sock = opened
        connection.request(check.method, check.path, headers={"Host": name, "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(MOST_BODY).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {getattr(error, 'strerror', None) or error or type(error).__name__}"
    finally:
        ends.cancel()
    if check.status is not None and answer.status != check.status:
        return f"status {answer.status} {answer.reason}"[:200]
    try:
        for field, pattern in check.headers:
            value = answer.headers.get(field)
            if value is None:
                return f"no header field {field}"
            if not found(pattern, value):
                return f"{field}: {value}"[:200]
        if check.body and not found(check.body, body):
            return f"a body without a match: {body[:120]!r}"
    except TooSlow:
        return "the search for the pattern took too long: write a simpler one"
    return ""


def _shut(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)


def dns_act(check: Dns, visit: Visit) -> Judgement:
    """Ask, and compare the answers."""
    return until_right(check, visit, pairs(check, visit), words, partial(_ask_dns, check, visit))


def _ask_dns(check: Dns, visit: Visit, pair: Pair, seconds: float) -> str:
    number = int.from_bytes(os.urandom(2), "big")
    try:
        with _datagrams(pair, check.port, seconds, visit) as opened:
            until = time.monotonic() + seconds
            opened.send(dns_messages.query(number, check.query, check.type))
            while True:
                opened.settimeout(max(0.01, until - time.monotonic()))
                try:
                    answer = dns_messages.read(opened.recv(4096), number)
                    break
                except dns_messages.BadMessage as error:
                    if time.monotonic() >= until:
                        return f"no answer that is understood: {error}"
    except OSError as error:
        return f"no answer: {error.strerror or error}"
    records = [data for _, data in answer.records]
    if answer.status != check.status:
        return f"{answer.status}" + (f", {', '.join(records[:8])}" if records else "")
    missing = [text for text in check.answers if text.rstrip(".").lower() not in map(str.lower, records)]
    if missing:
        told = ", ".join(f"{kind} {data}" for kind, data in answer.records[:8])
        return f"{answer.status}, {told or 'no record'}"
    return ""
