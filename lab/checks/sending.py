"""``packet``: sends one packet at a host, and looks for it at others."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from lab.checks.judgement import Judgement, finding, judged
from lab.checks.room import Visit
from lab.failure import Failure
from lab.messages.checks import Finding
from lab.packets import build
from lab.packets.expression import Expression, parse
from linux.readiness import readable
from topologies.model.checks_of_ways import Sent

QUIET = 0.5
"""Seconds for which a packet that must not come, or come once only, is waited for."""


def packet_act(check: Sent, visit: Visit) -> Judgement:
    """Send, and compare."""
    try:
        send = parse(check.send)
        expect = parse(check.expect) if check.expect else send
        frame = build.packet(send, defaults(send, check.at, visit))
        build.check(expect)
    except Failure as error:
        return Judgement("error", 1, (finding(check.send, f"{error.what}; {error.remedy}"),))
    began = time.monotonic()
    while True:
        with visit.room.still():
            counts, others = _once(check, frame, expect, visit)
        wrong = {host: number for host, number in counts.items() if not _right(check, number)}
        if not wrong or time.monotonic() - began + QUIET >= check.within:
            break
        visit.rest(0.1)
    findings: list[Finding] = [
        finding(
            f"at {host}", f"it came {_times(number)}" if number else "it never came", others.get(host, [])
        )
        for host, number in wrong.items()
    ]
    return judged(findings, len(counts))


def defaults(expression: Expression, source: str, visit: Visit) -> build.Defaults:
    """The addresses that a packet of a host has where its text says nothing."""
    ways, host = visit.ways, visit.ways.hosts[source]
    address = build.addressed_to(expression)
    named = [
        name
        for name in ways.names
        for family in (4, 6)
        if address is not None and ways.address(name, family) == ip_address(str(address))
    ]
    near = [name for name in named if ways.network(name) == host.network]
    target = next(iter([*near, *named]), None)
    mac = "ff:ff:ff:ff:ff:ff" if target is None else ways.hop(source, target).station.mac.hex(":")
    own4, own6 = (str(own) if (own := ways.address(source, family)) else None for family in (4, 6))
    return build.Defaults(host.mac, mac, own4, None, own6, None)


def _once(
    check: Sent, frame: bytes, expect: Expression, visit: Visit
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """How many packets that fit came to each host, and others that came, decoded."""
    from scapy.layers.l2 import Ether

    counts = dict.fromkeys(check.there.names, 0)
    others: dict[str, list[str]] = {}
    sockets: dict[int, tuple[str, socket.socket]] = {}
    sender = visit.room.open_socket(check.at)
    try:
        for host in counts:
            raw = visit.room.open_socket(host)
            sockets[raw.fileno()] = host, raw
        sender.send(frame)
        until = time.monotonic() + QUIET
        while (left := until - time.monotonic()) > 0 and not visit.cancelled():
            for descriptor in readable(list(sockets), left):
                host, raw = sockets[descriptor]
                try:
                    data = raw.recv(1 << 16)
                except OSError:
                    continue
                try:
                    decoded = Ether(data)
                    fits = matches(expect, decoded)
                except Exception:  # scapy reads whatever a host sends
                    continue
                if fits:
                    counts[host] += 1
                elif len(others.setdefault(host, [])) < 4:
                    others[host].append(decoded.summary()[:200])
        return counts, others
    finally:
        sender.close()
        for _, raw in sockets.values():
            raw.close()


def matches(expect: Expression, packet: Any) -> bool:
    """Whether a packet (of scapy's) has the layers of an expression in their order, with the values of the
    fields that it names."""
    at = packet
    for layer in expect.layers:
        kind = build.layer_class(layer.name)
        if not at.haslayer(kind):
            return False
        at = at.getlayer(kind)
        for field in layer.fields:
            if field.value is None:
                continue
            wanted = kind(**{field.name: _plain(field.value)}).getfieldval(field.name)
            if at.getfieldval(field.name) != wanted:
                return False
        at = at if layer is expect.layers[-1] else at.payload
    return True


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else value


def _right(check: Sent, number: int) -> bool:
    return {"once": number == 1, "some": number > 0, "none": number == 0}[check.count]


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
