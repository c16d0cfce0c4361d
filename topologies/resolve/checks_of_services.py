"""Checks of what is served: what is left out filled in. Pure."""

from __future__ import annotations

import re
from typing import Any

from topologies.model.kinds import LoadBalancer
from topologies.resolve.check_context import Context, between
from topologies.syntax.checks_of_services import BalancedSpec, DnsSpec, HttpSpec, LatencySpec, RateSpec
from topologies.syntax.problem import Path, shown


def http(path: Path, keys: HttpSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of an HTTP request."""
    fields = between(path, keys, context)
    for name in keys.headers or {}:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}", name):
            context.report.add((*path, "headers", name), f"{shown(name)} is no name of a header field")
            return None
    if fields is None:
        return None
    return {
        **fields,
        "port": keys.port or 80,
        "path": keys.path or "/",
        "method": keys.method or "GET",
        "status": keys.status or 200,
        "body": keys.body or "",
        "headers": tuple((keys.headers or {}).items()),
    }


def dns(path: Path, keys: DnsSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of a DNS query."""
    fields = between(path, keys, context)
    name = (keys.query or "").rstrip(".")
    if not name or len(name) > 253 or any(not 0 < len(label) <= 63 for label in name.split(".")):
        what = f"{shown(keys.query)} is no name" if keys.query else "is missing"
        context.report.add((*path, "query"), what, "a name like www.example.org, in ASCII")
        return None
    if not name.isascii():
        context.report.add((*path, "query"), f"{shown(name)} is not ASCII", "a name in ASCII (RFC 1035)")
        return None
    if fields is None:
        return None
    return {
        **fields,
        "port": keys.port or 53,
        "query": name,
        "type": keys.type or "A",
        "status": keys.status or "NOERROR",
        "answers": keys.answer or (),
    }


def latency(path: Path, keys: LatencySpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of round trips."""
    fields = between(path, keys, context)
    if not bounds(path, keys.least, keys.most, context) or fields is None:
        return None
    times = {"least": _seconds(keys.least), "most": _seconds(keys.most)}
    return {**fields, **times, "count": keys.count or 11}


def rate(path: Path, keys: RateSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of a transfer."""
    fields = between(path, keys, context)
    if not bounds(path, keys.least, keys.most, context) or fields is None:
        return None
    for key, side in (("from", fields["source"]), ("to", fields["destination"])):
        if not context.with_stacks((*path, key), side):
            return None
    seconds = 2.0 if keys.seconds is None else keys.seconds / 1_000_000
    return {
        **fields,
        "least": keys.least,
        "most": keys.most,
        "seconds": seconds,
        "protocol": keys.protocol or "tcp",
    }


def balanced(path: Path, keys: BalancedSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of a load balancer's shares."""
    fields = between(path, keys, context)
    if fields is None:
        return None
    known = {f.name: f for f in context.topology.functions if isinstance(f, LoadBalancer)}
    names = fields["destination"].names
    if len(names) != 1 or names[0] not in known or known[names[0]].engine != "openflow":
        usable = [name for name, function in known.items() if function.engine == "openflow"]
        allowed = f"a load balancer in flows: {', '.join(usable) or 'this file has none'}"
        context.report.add((*path, "to"), f"{shown(fields['destination'].words)} is none", allowed)
        return None
    balancer = known[names[0]].balancer
    backends = {backend.host: backend.weight for backend in balancer.backends}
    shares = keys.shares or {host: weight / sum(backends.values()) for host, weight in backends.items()}
    for name in shares:
        if name not in backends:
            context.report.no_such((*path, "shares", name), "backend", name, backends, "backends")
            return None
    return {
        **fields,
        "protocol": balancer.protocol,
        "port": keys.port or balancer.port,
        "connections": keys.connections or 200,
        "shares": tuple(shares.items()),
        "tolerance": 0.1 if keys.tolerance is None else keys.tolerance,
        "sticky": bool(keys.sticky),
    }


def bounds(path: Path, least: float | None, most: float | None, context: Context) -> bool:
    """Whether there is a bound, and they leave room. Problems are reported."""
    if least is None and most is None:
        context.report.add(path, "has no bound", "least, most, or both", "write most: …")
        return False
    if least is not None and most is not None and least > most:
        context.report.add((*path, "least"), "is more than most", remedy="change one of them")
        return False
    return True


def _seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / 1_000_000
