"""What was seen of a lab, for the rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lab.diagnosis.flows import Flow
from lab.messages.lab import ApplicationState


class Rate(NamedTuple):
    """Packets a second that a port receives and sends."""

    received: float
    sent: float


@dataclass(frozen=True)
class SeenSwitch:
    """A switch. ``controller``: the name of its controller; ``given``: its bridge has an address of one;
    ``connected``: it has a session with it; ``error``: why it has none, in Open vSwitch's words.

    ``version``: of OpenFlow, as ``1.3``, or empty. ``flows`` None: it did not answer. ``ports``: the numbers
    of its ports; ``rates`` by port; ``hosts``: the ports of hosts.
    """

    name: str
    controller: str
    given: bool = True
    connected: bool = True
    error: str = ""
    version: str = "1.3"
    flows: Sequence[Flow] | None = ()
    groups: frozenset[int] = frozenset()
    ports: frozenset[int] = frozenset()
    rates: Mapping[int, Rate] = field(default_factory=dict)
    hosts: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Observation:
    """A lab: the switches that are not the lab's own controller's, or that have none; the users' controllers;
    and the links between switches that are up, as ((switch, port), (switch, port))."""

    switches: Sequence[SeenSwitch]
    controllers: Sequence[ApplicationState] = ()
    links: Sequence[tuple[tuple[str, int], tuple[str, int]]] = ()


class Finding(NamedTuple):
    """Something that a rule found. ``kind``: its name for programs; ``where``: switch or controller;
    ``certain``: it is wrong; otherwise it may be meant."""

    kind: str
    where: str
    text: str
    remedy: str
    certain: bool = True
