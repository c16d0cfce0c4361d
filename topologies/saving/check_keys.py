"""What the entries of all verbs of checks are written with. Pure."""

from __future__ import annotations

from typing import Any

from topologies.model.check import Between, Protocol, Side
from topologies.syntax.check_entry import SHELL

Tree = dict[str, Any]


def side(named: Side) -> Any:
    """The names of a side: a text or a list."""
    words = named.words.split(", ")
    return words[0] if len(words) == 1 else words


def family(number: int | None) -> Tree:
    """The key of an address family."""
    return {} if number is None else {"family": f"ipv{number}"}


def between(entry: Between) -> Tree:
    """The keys of the two sides."""
    return {"from": side(entry.source), "to": side(entry.destination), **family(entry.family)}


def with_protocol(entry: Between, protocol: Protocol, port: int | None) -> Tree:
    """The keys of the two sides, and of what is sent."""
    return between(entry) | ({} if port is None else {protocol: port})


def run(words: tuple[str, ...]) -> Any:
    """A command: a line for the shell, or its words."""
    return words[-1] if words[:-1] == SHELL else list(words)
