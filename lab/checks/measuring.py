"""``latency``, ``rate`` and ``balanced``: what is measured, alone in the lab."""

from __future__ import annotations

import os
import socket
import statistics
import threading
import time
from collections import Counter

from lab.checks import frames
from lab.checks.frames import ip_text
from lab.checks.judgement import Judgement, finding, judged
from lab.checks.loop import Loop
from lab.checks.probes import Probe
from lab.checks.retrying import Impossible, until_right
from lab.checks.room import Visit
from lab.checks.services import Pair, open_to, pairs, words
from lab.messages.checks import Finding
from lab.probe.loop import address_of
from linux.readiness import readable
from topologies.model.checks_of_services import Balanced, Latency, Rate

WARMING = 0.25
"""Seconds of a transfer before it is measured: connections begin slowly, shapers let a burst pass."""
_SHARE_TRIES = 3


def latency_act(check: Latency, visit: Visit) -> Judgement:
    """Ping, and compare the median round trip."""

    def attempt(pair: Pair, seconds: float) -> str:
        times = round_trips(pair, check.count, max(1.0, check.within), visit)
        if len(times) * 2 <= check.count:
            return f"{len(times)} of {check.count} pings were answered"
        median = statistics.median(times)
        if within(median, check.least, check.most):
            return ""
        spread = f"{min(times) * 1000:.3g} to {max(times) * 1000:.3g}"
        return f"{median * 1000:.3g} ms (the median of {len(times)}; they are {spread})"

    return until_right(check, visit, pairs(check, visit), words, attempt)


def within(value: float, least: float | None, most: float | None) -> bool:
    """Whether a value is between its bounds."""
    return (least is None or value >= least) and (most is None or value <= most)


def round_trips(pair: Pair, count: int, most: float, visit: Visit) -> list[float]:
    """The round trips of pings, one after the other, in seconds. Raises Impossible."""
    source, target, family = pair
    src = frames.with_family(visit.ways.station(source), family)
    dst = frames.with_family(visit.ways.station(target), family)
    dst = dst._replace(mac=visit.ways.hop(source, target).station.mac)
    nonce = int.from_bytes(os.urandom(4), "big")
    try:
        raw = visit.room.open_socket(source)
    except (OSError, KeyError) as error:
        raise Impossible(f"{source} has no interface: {error}") from None
    times: list[float] = []
    with raw:
        for tag in range(count + 1):  # the first one opens the way
            visit.rest(0)
            began = time.monotonic()
            raw.send(frames.request(src, dst, "icmp", 0, nonce, tag))
            while (left := began + most / (count + 1) - time.monotonic()) > 0:
                if not readable([raw], left):
                    break
                seen = frames.recognise(raw.recv(2048), nonce, tag + 1)
                if seen is not None and seen.tag == tag and seen.kind == "reply":
                    if tag:
                        times.append(time.monotonic() - began)
                    break
    return times


def rate_act(check: Rate, visit: Visit) -> Judgement:
    """Transfer, and compare the rate at the receiver."""

    def attempt(pair: Pair, seconds: float) -> str:
        rate = transfer(pair, check.protocol == "tcp", check.seconds, visit)
        return "" if within(rate, check.least, check.most) else f"{rate / 1_000_000:.3g} Mbit/s"

    return until_right(check, visit, pairs(check, visit), words, attempt)


def transfer(pair: Pair, stream: bool, seconds: float, visit: Visit) -> float:
    """The rate of a transfer between two hosts, in bit/s of payload. Raises Impossible."""
    _, target, family = pair
    kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    address = ip_text(address_of(visit.ways.station(target), family) or b"")

    def listen() -> socket.socket:
        opened = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
        opened.bind((address, 0))
        if stream:
            opened.listen(1)
        return opened

    try:
        receiver = visit.room.inside(target, listen)
    except (OSError, KeyError) as error:
        raise Impossible(f"{target} has no network: {error}") from None
    receiver.settimeout(3.0)
    counted: list[float] = []
    done = threading.Event()
    thread = threading.Thread(target=_receive, args=(receiver, stream, seconds, counted, done), daemon=True)
    with receiver:
        try:
            sender = open_to(pair, kind, receiver.getsockname()[1], 3.0, visit)
        except OSError as error:
            raise Impossible(f"no connection: {error.strerror or error}") from None
        thread.start()
        with sender:
            sender.settimeout(0.2)
            data = bytes(1 << 16) if stream else bytes(1400)
            until = time.monotonic() + seconds + WARMING + 3.0
            while not done.is_set() and time.monotonic() < until and not visit.cancelled():
                try:
                    sender.send(data)
                except TimeoutError:
                    continue
                except OSError:
                    if stream:
                        break
        thread.join(4.0)
    return counted[0] if counted else 0.0


def _receive(
    receiver: socket.socket, stream: bool, seconds: float, counted: list[float], done: threading.Event
) -> None:
    try:
        source = receiver.accept()[0] if stream else receiver
        source.settimeout(0.5)
        source.recv(1 << 16)
        began = time.monotonic() + WARMING
        octets = 0
        while (now := time.monotonic()) < began + seconds:
            try:
                size = len(source.recv(1 << 18))
            except TimeoutError:
                size = -1
            if size == 0 and stream:
                break
            octets += size if now >= began and size > 0 else 0
        counted.append(octets * 8 / seconds)
        if stream:
            source.close()
    except OSError:
        return
    finally:
        done.set()


def balanced_act(check: Balanced, visit: Visit) -> Judgement:
    """Open connections, and count at which backends they arrive."""
    some = pairs(check, visit)
    probes = [
        Probe(
            source,
            target,
            family,
            check.protocol,
            check.port,
            check.within,
            lambda outcome: bool(outcome.arrived),
        )
        for source, target, family in some
        for _ in range(check.connections)
    ]
    findings: list[Finding] = []
    for _ in range(_SHARE_TRIES):
        with visit.room.still():
            outcomes = Loop(visit.ways, visit.room.open_socket, visit.cancelled).run(probes)
        visit.rest(0)
        arrived: dict[str, Counter[str]] = {}
        for probe, outcome in zip(probes, outcomes, strict=True):
            arrived.setdefault(probe.source, Counter()).update(outcome.arrived[:1])
        findings = uneven(check, arrived, len(probes))
        if not findings or check.sticky:
            break
    return judged(findings, len(probes))


def uneven(check: Balanced, arrived: dict[str, Counter[str]], sent: int) -> list[Finding]:
    total = sum((counts for counts in arrived.values()), Counter())
    number = sum(total.values())
    seen = ", ".join(f"{name} {count}" for name, count in sorted(total.items())) or "none"
    if number < sent * 0.95:
        return [finding(check.expected, f"{number} of {sent} connections arrived at a backend: {seen}")]
    if check.sticky:
        return [
            finding(f"{source}", f"its connections went to {', '.join(sorted(counts))}")
            for source, counts in arrived.items()
            if len(counts) > 1
        ]
    wrong = []
    for name, share in check.shares:
        got = total[name] / number
        if abs(got - share) > check.tolerance:
            seen = (
                f"{total[name]} of {number} connections: {got:.1%}, not {share:.0%} ± {check.tolerance:.0%}"
            )
            wrong.append(finding(name, seen))
    return wrong
