"""How a network function is attached to the lab: a discriminated union of five. Pure.

Each member is a class that has exactly what it needs, so ``match`` or ``isinstance`` says at once what there
is. All members have a ``mode`` (its name in JSON), a ``switch`` (None: no single one) and ``instances``.

The members are no models of pydantic, whose classes take a microsecond to say that a value is none of them.

The union is closed. Code that treats the members differently ends with ``assert_never``, so mypy names every
place that has to decide about a new one. To add a member:

* its class here, in ``Attachment``, and in ``Steered`` if chains lead to it;
* ``topologies.model.function_json``: how JSON has it;
* ``topologies.resolve.kinds.attaching``: how it is made of the file's keys. Kinds that are attached that way
  say so in ``topologies.resolve.kinds.registry.RESOLUTIONS``;
* each place that mypy names then: how the controller programs it, how the data plane wires it;
* the places that ask for one member with ``isinstance``, if the new one belongs there: mypy cannot name them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from topologies.model.values import Port

Mode = Literal["inline", "tap", "flows", "ports", "host"]
Side = Literal["in", "out"]


@dataclass(frozen=True)
class InlineInstance:
    """One running copy of an inline function, in a namespace of its own.

    ``inward`` is the switch port of its side ``in``, ``outward`` that of its side ``out``. What goes in at
    one side comes out of the other.
    """

    name: str
    inward: Port
    outward: Port

    @property
    def sides(self) -> tuple[tuple[Side, Port], ...]:
        """Its sides with their switch ports."""
        return ("in", self.inward), ("out", self.outward)

    @property
    def ports(self) -> tuple[Port, ...]:
        """All of its switch ports."""
        return self.inward, self.outward

    def entrance(self, forward: bool) -> Port:
        """Where frames go in that pass it in a chain's direction (``forward``), or the other way."""
        return self.inward if forward else self.outward


@dataclass(frozen=True)
class TapInstance:
    """One running copy of a tap, in a namespace of its own. Copies go in at ``inward``; nothing comes out."""

    name: str
    inward: Port

    @property
    def sides(self) -> tuple[tuple[Side, Port], ...]:
        """Its only side with its switch port."""
        return (("in", self.inward),)

    @property
    def ports(self) -> tuple[Port, ...]:
        """Its only switch port, in a tuple."""
        return (self.inward,)

    def entrance(self, forward: bool) -> Port:
        """Where copies go in, whichever way the frames themselves go."""
        return self.inward


Instance = InlineInstance | TapInstance


@dataclass(frozen=True)
class Inline:
    """In the way: frames go from ``switch`` into an instance and come back out of its other side."""

    mode: ClassVar[Literal["inline"]] = "inline"
    switch: str
    instances: tuple[InlineInstance, ...] = ()


@dataclass(frozen=True)
class Tap:
    """Beside the way: instances at ``switch`` get copies of frames.

    ``mirrors``: networks and hosts of whose frames it gets copies outside of chains. ``path``: with mirrors,
    the number of the path that these copies take, as that of a chain (0: none yet).
    """

    mode: ClassVar[Literal["tap"]] = "tap"
    switch: str
    instances: tuple[TapInstance, ...] = ()
    mirrors: tuple[str, ...] = ()
    path: int = 0


@dataclass(frozen=True)
class Flows:
    """Done by the switch ``switch`` itself, by its flows."""

    mode: ClassVar[Literal["flows"]] = "flows"
    instances: ClassVar[tuple[()]] = ()
    switch: str


@dataclass(frozen=True)
class AtPorts:
    """Done by every switch, at the ports of all hosts of ``networks``."""

    mode: ClassVar[Literal["ports"]] = "ports"
    switch: ClassVar[None] = None
    instances: ClassVar[tuple[()]] = ()
    networks: tuple[str, ...]


@dataclass(frozen=True)
class EndSystem:
    """A host of its own at ``switch``, as HAProxy is: frames go there by their destination address."""

    mode: ClassVar[Literal["host"]] = "host"
    instances: ClassVar[tuple[()]] = ()
    switch: str


Steered = Inline | Tap | Flows
"""Where a chain steers frames to: at one switch, which has a hop for it."""
Scalable = Inline | Tap
"""What has instances, as many as are wanted."""
Attachment = Inline | Tap | Flows | AtPorts | EndSystem
