"""Checks as a topology file has them. ``WRITERS`` is a registry by verb. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from topologies.model.checks import WITHIN, Between, Blocked, Check, Command, Isolated, Reachable, Side, Tcp
from topologies.model.topology import Topology

Tree = dict[str, Any]
ALL = "all"


class Sides:
    """Sides of checks as the file names them. ``groups``: those that the file must have for that."""

    def __init__(self, topology: Topology) -> None:
        self._known = {member.name for part in (topology.hosts, topology.networks) for member in part}
        self._known |= {function.name for function in topology.functions} | {ALL}
        self.groups: dict[str, list[str]] = {}

    def of(self, side: Side) -> Any:
        """The names of a side: a text or a list. What was a single group is one again."""
        words = side.words.split(", ")
        if set(words) <= self._known:
            return words[0] if len(words) == 1 else words
        if len(words) == 1 and self.groups.setdefault(words[0], list(side.names)) == list(side.names):
            return words[0]
        return list(side.names)


Writer = Callable[[Check, Sides], Tree]


def check(entry: Check, sides: Sides) -> Tree | None:
    """The keys of a check; None when ``WRITERS`` does not know its verb."""
    if entry.verb not in WRITERS:
        return None
    tree: Tree = {entry.verb: WRITERS[entry.verb](entry, sides), "name": entry.name}
    if entry.hint:
        tree["hint"] = entry.hint
    if entry.within != WITHIN:
        tree["within"] = f"{entry.within * 1000:g}ms"
    return tree


def _family(family: int | None) -> Tree:
    return {} if family is None else {"family": f"ipv{family}"}


def _between(entry: Between, sides: Sides) -> Tree:
    return {"from": sides.of(entry.source), "to": sides.of(entry.destination), **_family(entry.family)}


def _reachable(entry: Check, sides: Sides) -> Tree:
    reachable = cast("Reachable | Blocked", entry)
    port = {} if reachable.port is None else {reachable.protocol: reachable.port}
    return _between(reachable, sides) | port


def _blocked(entry: Check, sides: Sides) -> Tree:
    how = cast(Blocked, entry).how
    return _reachable(entry, sides) | ({} if how is None else {"how": how})


def _tcp(entry: Check, sides: Sides) -> Tree:
    tcp = cast(Tcp, entry)
    return _between(tcp, sides) | {"port": tcp.port, "result": tcp.result}


def _isolated(entry: Check, sides: Sides) -> Tree:
    isolated = cast(Isolated, entry)
    named = [sides.of(side) for side in isolated.sides]
    return {"between": named, **_family(isolated.family)}


def _command(entry: Check, sides: Sides) -> Tree:
    command = cast(Command, entry)
    output = {"output": command.output} if command.output else {}
    return {"host": sides.of(command.hosts), "run": list(command.words), "exit": command.exit, **output}


WRITERS: dict[str, Writer] = {
    "reachable": _reachable,
    "blocked": _blocked,
    "tcp": _tcp,
    "isolated": _isolated,
    "command": _command,
}
"""Verb -> its keys in the form of the file. Checks of other verbs are left out of a saved file."""


def left_out(topology: Topology) -> list[str]:
    """The checks that a saved file does not have, each with its verb."""
    return [f"{entry.name} ({entry.verb})" for entry in topology.checks if entry.verb not in WRITERS]
