"""Checks of ways, flows and failures as a topology file has them. Pure."""

from __future__ import annotations

from collections.abc import Callable

from topologies.model.check import Check
from topologies.model.checks_of_ways import (
    Alerts,
    Avoids,
    Encapsulated,
    FlowHeld,
    Sent,
    Survives,
    Traverses,
)
from topologies.saving.check_keys import Tree, run, side, with_protocol


def traverses(entry: Traverses) -> Tree:
    """The keys of a check of the functions on a way."""
    names: Tree = {"functions": list(entry.functions), "back": list(entry.back)}
    return with_protocol(entry, entry.protocol, entry.port) | names


def avoids(entry: Avoids) -> Tree:
    """The keys of a check of functions that are not on a way."""
    return with_protocol(entry, entry.protocol, entry.port) | {"functions": list(entry.functions)}


def encapsulated(entry: Encapsulated) -> Tree:
    """The keys of a check of tunnels."""
    tree: Tree = {"vni": entry.vni}
    if entry.link:
        tree["link"] = entry.link
    if entry.outer:
        tree["outer"] = list(entry.outer)
    return with_protocol(entry, entry.protocol, entry.port) | tree


def flow(entry: FlowHeld) -> Tree:
    """The keys of a check of a flow table."""
    tree: Tree = {"switch": entry.switch, "table": entry.table}
    if entry.match:
        tree["match"] = list(entry.match)
    if entry.actions:
        tree["actions"] = list(entry.actions)
    return tree | {"present": entry.present}


def alerts(entry: Alerts) -> Tree:
    """The keys of a check of alerts."""
    what = {"signature": entry.signature, "fires": entry.fires}
    return {"host": side(entry.hosts), "run": run(entry.words), **what}


def packet(entry: Sent) -> Tree:
    """The keys of a check of one packet."""
    expect = {"expect": entry.expect} if entry.expect else {}
    return {"at": entry.at, "send": entry.send, "there": side(entry.there), **expect, "count": entry.count}


def survives(inside: Callable[[Check], Tree]) -> Callable[[Survives], Tree]:
    """The writer of checks of failures. ``inside``: the entry of the check inside."""

    def write(entry: Survives) -> Tree:
        key = {"link": "cut", "switch": "down"}.get(entry.action, "kill")
        lost = {} if entry.lost is None else {"lost": entry.lost}
        return {key: entry.target or entry.action, **lost, "check": inside(entry.check)}

    return write
