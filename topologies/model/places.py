"""Which entry of a topology file a thing comes from, and where that entry stands in the file.

What is compiled from a topology names an ``Entity``; the line is looked up in ``Topology.places`` when
somebody asks. So lines are no part of what a lab is, and entries that merely move change nothing.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from topologies.model.values import Frozen

EntityKind = Literal[
    "backend",
    "chain",
    "check",
    "controller",
    "default",
    "domain",
    "forward",
    "function",
    "host",
    "link",
    "mirror",
    "network",
    "router",
    "rule",
    "switch",
]


class Entity(NamedTuple):
    """Something that an entry of the file describes.

    ``default`` is what a firewall does when no rule matches; its name is the firewall's. What belongs to a
    function has the function's name in front, as in ``Entity("rule", "fw/web")``: see ``part``.
    """

    kind: EntityKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def part(
    kind: Literal["backend", "forward", "mirror", "rule"], function: str, name: str | tuple[str, int]
) -> Entity:
    """A rule, backend, port forward or mirrored entity of a function. ``name``: its own name in that
    function; of a port forward the protocol and the port."""
    own = name if isinstance(name, str) else f"{name[0]}:{name[1]}"
    return Entity(kind, f"{function}/{own}")


class Place(NamedTuple):
    """A line of a file; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Places(Frozen):
    """Where the entries of one topology file stand; empty for a topology that comes from no file.

    ``file``: as the user has named it. ``lines``: an entity, as text, and its line. What the file leaves out,
    and what is made from something else, has the line of the nearest entry that is the reason for it.
    """

    file: str = ""
    lines: dict[str, int] = Field(default_factory=dict)

    def of(self, entity: Entity | str) -> Place | None:
        """Where the entry of ``entity`` (or its text) stands; None when no entry is the reason for it."""
        line = self.lines.get(str(entity))
        return None if line is None else Place(self.file, line)


NOWHERE = Places()
"""Of a topology that comes from no file."""
