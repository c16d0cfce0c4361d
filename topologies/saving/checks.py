"""Checks as a topology file has them. ``WRITERS`` is a registry by verb. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from topologies.model.check import WITHIN, Check
from topologies.model.checks import Blocked, Command, Isolated, Reachable, Tcp
from topologies.resolve.checks import named_apart, usual_name
from topologies.saving import checks_of_services as of_services
from topologies.saving import checks_of_ways as of_ways
from topologies.saving import quantities
from topologies.saving.check_keys import Tree, between, family, run, side, with_protocol
from topologies.saving.unwritable import Unwritable


def checks(entries: Sequence[Check]) -> list[Tree]:
    """The entries of all checks, in their order. Raises Unwritable for a verb that ``WRITERS`` lacks.

    A name that the loader makes of a check's keys is left out.
    """
    return [check(entry, name) for entry, name in zip(entries, _stated(entries), strict=True)]


def check(entry: Check, name: str = "") -> Tree:
    """The entry of a check, with a name or without one. Raises Unwritable."""
    if entry.verb not in WRITERS:
        raise Unwritable(f"check {entry.name} is of the verb {entry.verb}, which can't be written")
    tree: Tree = {entry.verb: WRITERS[entry.verb](entry)}
    if name:
        tree["name"] = name
    if entry.hint:
        tree["hint"] = entry.hint
    if entry.within != WITHIN:
        tree["within"] = quantities.interval(quantities.micros(entry.within))
    return tree


def _stated(entries: Sequence[Check]) -> list[str]:
    """The names that must be written, so that the loader gives all checks those that they have."""
    names, usual = [entry.name for entry in entries], [usual_name(entry) for entry in entries]
    stated = ["" if n == u or n.startswith(f"{u} #") else n for n, u in zip(names, usual, strict=True)]
    while True:
        got = named_apart([name or other for name, other in zip(stated, usual, strict=True)])
        wrong = [number for number, name in enumerate(got) if name != names[number] and not stated[number]]
        if not wrong:
            return stated
        stated[wrong[0]] = names[wrong[0]]


def _reachable(entry: Reachable | Blocked) -> Tree:
    return with_protocol(entry, entry.protocol, entry.port)


def _blocked(entry: Blocked) -> Tree:
    return _reachable(entry) | ({} if entry.how is None else {"how": entry.how})


def _tcp(entry: Tcp) -> Tree:
    return between(entry) | {"port": entry.port, "result": entry.result}


def _isolated(entry: Isolated) -> Tree:
    return {"between": [side(one) for one in entry.sides], **family(entry.family)}


def _command(entry: Command) -> Tree:
    output = {"output": entry.output} if entry.output else {}
    return {"host": side(entry.hosts), "run": run(entry.words), "exit": entry.exit, **output}


def _inside(entry: Check) -> Tree:
    return check(entry, "" if entry.name == usual_name(entry) else entry.name)


WRITERS: dict[str, Callable[[Any], Tree]] = {
    "reachable": _reachable,
    "blocked": _blocked,
    "tcp": _tcp,
    "isolated": _isolated,
    "command": _command,
    "http": of_services.http,
    "dns": of_services.dns,
    "latency": of_services.latency,
    "rate": of_services.rate,
    "balanced": of_services.balanced,
    "traverses": of_ways.traverses,
    "avoids": of_ways.avoids,
    "encapsulated": of_ways.encapsulated,
    "flow": of_ways.flow,
    "alerts": of_ways.alerts,
    "packet": of_ways.packet,
    "survives": of_ways.survives(_inside),
}
"""Verb -> its keys in the form of the file."""
