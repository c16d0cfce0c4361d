"""How functions of a file become attached: a way for each member of ``Attachment``. Pure.

The members are in ``topologies.model.attachment``. Which kinds are attached in which way stands in
``topologies.resolve.kinds.registry``.
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
    """What the file asks for. ``instances``: their names. ``networks`` and ``mirrors``: those of the names
    that are known. ``port``: from an instance's name and its side to the side's switch port."""

    instances: tuple[str, ...]
    networks: tuple[str, ...]
    mirrors: tuple[str, ...]
    port: Callable[[str, str], Port]


@dataclass(frozen=True)
class AtSwitch:
    """To the switch that the file names. ``make``: from that switch and what is wanted to the attachment.

    ``scalable``: it has instances. ``copies``: it may have copies outside of chains (``mirrors``).
    """

    make: Callable[[str, Wanted], Attachment]
    scalable: bool = False
    copies: bool = False


@dataclass(frozen=True)
class AtSwitches:
    """To all switches, so the file names none. ``make``: from what is wanted to the attachment."""

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
