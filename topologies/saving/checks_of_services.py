"""Checks of what is served as a topology file has them. Pure."""

from __future__ import annotations

from topologies.model.checks_of_services import Balanced, Dns, Http, Latency, Rate
from topologies.saving import quantities
from topologies.saving.check_keys import Tree, between


def http(entry: Http) -> Tree:
    """The keys of a check of an HTTP request."""
    tree: Tree = {"port": entry.port, "path": entry.path, "method": entry.method}
    if entry.status is not None:
        tree["status"] = entry.status
    if entry.body:
        tree["body"] = entry.body
    if entry.headers:
        tree["headers"] = dict(entry.headers)
    return between(entry) | tree


def dns(entry: Dns) -> Tree:
    """The keys of a check of a DNS query."""
    tree: Tree = {"port": entry.port, "query": entry.query, "type": entry.type, "status": entry.status}
    return between(entry) | tree | ({"answer": list(entry.answers)} if entry.answers else {})


def latency(entry: Latency) -> Tree:
    """The keys of a check of round trips."""
    bounds = {
        key: quantities.delay(quantities.micros(value))
        for key, value in (("least", entry.least), ("most", entry.most))
        if value is not None
    }
    return between(entry) | bounds | {"count": entry.count}


def rate(entry: Rate) -> Tree:
    """The keys of a check of a transfer."""
    bounds = {
        key: quantities.bandwidth(value)
        for key, value in (("least", entry.least), ("most", entry.most))
        if value is not None
    }
    seconds = quantities.interval(quantities.micros(entry.seconds))
    return between(entry) | {"protocol": entry.protocol} | bounds | {"seconds": seconds}


def balanced(entry: Balanced) -> Tree:
    """The keys of a check of a load balancer's shares."""
    return between(entry) | {
        "port": entry.port,
        "connections": entry.connections,
        "shares": {name: quantities.loss(share) for name, share in entry.shares},
        "tolerance": quantities.loss(entry.tolerance),
        "sticky": entry.sticky,
    }
