"""``http`` and ``dns``: requests by sockets that the lab opens in the hosts' network namespaces."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from functools import partial

from lab.checks import dns_messages
from lab.checks.frames import ip_text
from lab.checks.judgement import Judgement
from lab.checks.matching import TooSlow, found
from lab.checks.retrying import Impossible, until_right
from lab.checks.room import Visit
from lab.probe.loop import address_of
from topologies.model.checks import Between
from topologies.model.checks_of_services import Dns, Http

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
    source, target, family = pair
    address = address_of(visit.ways.station(target), family)
    if address is None:
        raise Impossible(f"{target} has no IPv{family} address")
    of = socket.AF_INET if family == 4 else socket.AF_INET6
    try:
        opened = visit.room.inside(source, lambda: socket.socket(of, kind | socket.SOCK_CLOEXEC))
    except (OSError, KeyError) as error:
        raise Impossible(f"{source} has no network: {error}") from None
    opened.settimeout(seconds)
    try:
        opened.connect((ip_text(address), port))
    except OSError:
        opened.close()
        raise
    return opened


def http_act(check: Http, visit: Visit) -> Judgement:
    """Ask, and compare the answers."""
    return until_right(check, visit, pairs(check, visit), words, partial(_ask_http, check, visit))


def _ask_http(check: Http, visit: Visit, pair: Pair, seconds: float) -> str:
    try:
        opened = open_to(pair, socket.SOCK_STREAM, check.port, seconds, visit)
    except OSError as error:
        return f"no connection: {error.strerror or error}"
    # a server that sends an octet now and then must not hold it up
    ends = threading.Timer(seconds, lambda: _shut(opened))
    ends.daemon = True
    ends.start()
    try:
        connection = http.client.HTTPConnection(pair[1], check.port)
        connection.sock = opened
        connection.request(check.method, check.path, headers={"Host": pair[1], "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(MOST_BODY).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {getattr(error, 'strerror', None) or error or type(error).__name__}"
    finally:
        ends.cancel()
        opened.close()
    if check.status is not None and answer.status != check.status:
        return f"status {answer.status} {answer.reason}"[:200]
    try:
        for name, pattern in check.headers:
            value = answer.headers.get(name)
            if value is None:
                return f"no header field {name}"
            if not found(pattern, value):
                return f"{name}: {value}"[:200]
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
    until = time.monotonic() + seconds
    try:
        with open_to(pair, socket.SOCK_DGRAM, check.port, seconds, visit) as opened:
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
