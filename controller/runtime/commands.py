"""The commands of a `controller.runtime.core.Core`, and the values in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from controller.compiler.stations import Learned
from controller.flow.tables import Action, Group, Meter, SwitchTables
from controller.messages import Event
from controller.runtime.stations import Station
from controller.update.difference import Difference
from topologies.model.topology import Port, Topology


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds, before acting."""

    coalesce: float = 0.001  # port changes come in bursts: a link's two ends, a switch's ports
    gather: float = 0.05  # the same before the lab first converged, while ports still appear
    grace: float = 1.0  # a switch gone for longer is routed around
    absent: float = 10.0  # the same for one that never came
    reply: float = 30.0  # no answer to a bundle or a dump: the connection is given up
    retry: float = 0.2  # after a refusal, doubled each time
    retry_most: float = 30.0
    drain: float = 0.2  # before old flows are deleted: packets that they have sent on arrive
    pause: float = 0.03  # before other stages: switches update their caches
    refusals: int = 3  # the others no longer wait for a switch that refuses so often in a row


class Send(NamedTuple):
    """Send ``frame`` out of a port of a switch."""

    port: Port
    frame: bytes


class Compile(NamedTuple):
    """Compile this input; the answer goes to `Core.compiled`."""

    generation: int
    topology: Topology
    down_links: frozenset[str]
    avoid: frozenset[str]
    learned: tuple[Learned, ...]
    failed: frozenset[str]


class Dump(NamedTuple):
    """Ask what the switch holds; the answer goes to `Core.dumped`."""

    switch: str
    conn: int


class Program(NamedTuple):
    """Send ``difference`` as one bundle; the answer: `Core.committed` or `Core.refused`."""

    switch: str
    conn: int
    difference: Difference
    wanted: SwitchTables
    fresh: bool  # the switch is known to hold nothing


class Usage(NamedTuple):
    """Ask whether the station's flows counted packets; the answer: `Core.used`."""

    switch: str
    conn: int
    station: Station


class Emit(NamedTuple):
    """Tell the supervisor and the API's listeners this event."""

    event: Event


class Disconnect(NamedTuple):
    conn: int


class Inject(NamedTuple):
    """Send ``frame`` through a switch's tables as if a host of the network (its number) had sent it there;
    with a ``hop`` (its number), as if a classifier had sent it to that hop."""

    switch: str
    network: int
    frame: bytes
    hop: int = 0


class Resume(NamedTuple):
    """Let a switch apply ``actions`` to a frame, as if it had come in by ``in_port``."""

    switch: str
    in_port: int
    actions: tuple[Action, ...]
    frame: bytes


class Flush(NamedTuple):
    """Delete connections of one zone from a switch's connection tracking: those whose original and reply
    tuples have all given values, of ``source``, ``destination``, ``tp_src``, ``tp_dst``."""

    switch: str
    zone: int
    version: int
    protocol: int
    original: Mapping[str, int] = MappingProxyType({})
    reply: Mapping[str, int] = MappingProxyType({})


Command = Compile | Dump | Program | Usage | Emit | Disconnect | Send | Inject | Resume | Flush


class Held(NamedTuple):
    """What a switch holds, by its own answer."""

    cookies: frozenset[int]
    groups: tuple[Group, ...]
    meters: tuple[Meter, ...] = ()
