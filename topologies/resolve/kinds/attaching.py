"""How functions are attached: a way for each member of ``topologies.model.attachment.Attachment``. Pure.

``topologies.resolve.kinds.registry`` says in which way each kind is attached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from topologies.model.attachment import (
    AtPorts,
    Attachment,
    EndSystem,
    Flows,
    Inline,
    InlineInstance,
    Tap,
    TapInstance,
)
from topologies.model.values import Port


@dataclass(frozen=True)
class Wanted:
    """What the file asks for. ``instances``: their names. ``networks`` and ``mirrors``: the names that exist.
    ``port``: from the name of an instance and a side to its switch port."""

    instances: tuple[str, ...]
    networks: tuple[str, ...]
    mirrors: tuple[str, ...]
    port: Callable[[str, str], Port]


@dataclass(frozen=True)
class AtSwitch:
    """Attached to the switch that the file names. ``make``: from this switch and ``Wanted`` to the
    attachment.

    ``scalable``: it has instances. ``copies``: it can get copies of frames outside of chains (``mirrors``).
    """

    make: Callable[[str, Wanted], Attachment]
    scalable: bool = False
    copies: bool = False


@dataclass(frozen=True)
class AtSwitches:
    """Attached to all switches, so the file names none. ``make``: from ``Wanted`` to the attachment."""

    scalable: ClassVar[bool] = False
    copies: ClassVar[bool] = False
    make: Callable[[Wanted], Attachment]


Way = AtSwitch | AtSwitches


def _inline(switch: str, wanted: Wanted) -> Inline:
    port = wanted.port
    return Inline(
        switch=switch,
        instances=tuple(
            InlineInstance(name=name, inward=port(name, "in"), outward=port(name, "out"))
            for name in wanted.instances
        ),
    )


def _tap(switch: str, wanted: Wanted) -> Tap:
    instances = tuple(TapInstance(name=name, inward=wanted.port(name, "in")) for name in wanted.instances)
    return Tap(switch=switch, instances=instances, mirrors=wanted.mirrors)


INLINE = AtSwitch(_inline, scalable=True)
TAP = AtSwitch(_tap, scalable=True, copies=True)
FLOWS = AtSwitch(lambda switch, _wanted: Flows(switch=switch))
AT_PORTS = AtSwitches(lambda wanted: AtPorts(networks=wanted.networks))
END_SYSTEM = AtSwitch(lambda switch, _wanted: EndSystem(switch=switch))
