"""The controller's answers to the lab: one type for each answer of the northbound API, used at both ends.

FastAPI turns them into JSON, and ``read`` turns that into the type.  Flows and groups:
``controller.table_answers``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from controller.typed_json import value_of

T = TypeVar("T")


def read(kind: type[T], answer: Any) -> T:
    """An answer of JSON as its type, such as ``list[FunctionState]``; it may have further keys.

    Raises ``controller.typed_json.BadMessage``.
    """
    typed: T = value_of(answer, kind, "the answer")
    return typed


@dataclass(frozen=True)
class Applied:
    """The answer to a new intent: reconciliation has begun; the event ``all-programmed`` comes when it is
    done.

    ``since``: number of the last event before it, to wait from there (``GET /events?since=``)."""

    since: int


@dataclass(frozen=True)
class Settled:
    """``settled``: every switch that is there holds its tables, and no known event may change these."""

    settled: bool


@dataclass(frozen=True)
class Taken:
    """The answer to a report. ``since``: number of the last event before it (``GET /events?since=``)."""

    since: int


@dataclass(frozen=True)
class Health:
    """``converged``: every switch that is there holds its wanted tables. ``stage``, ``of``: the present stage
    of a change, and the number of its stages. ``failed``: instances and backends that get no traffic."""

    status: str = field(default="ok", kw_only=True)
    topology: str
    converged: bool
    generation: int
    stage: int
    of: int
    failed: list[str]


@dataclass(frozen=True)
class SwitchState:
    """One switch: its wanted tables, and whether it holds them. ``down_ports``: numbers."""

    name: str
    dpid: int
    connected: bool
    converged: bool
    avoided: bool
    flows: int
    groups: int
    down_ports: list[int]
    failures: int


@dataclass(frozen=True)
class StationState:
    """A station that the controller has learned: where it is, and its addresses."""

    network: str
    switch: str
    port: int
    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class InstanceState:
    """One instance. ``state`` ``unproven``: no probe has passed it yet. ``since``: seconds since 1970.
    ``rtt``: seconds that a probe takes through it and the controller's connections.

    ``entered``, ``left``: packets that went in and came out, both directions together; ``dropped`` is the
    difference.  None: not probed, not counted, or (``left``) a tap."""

    name: str
    state: Literal["live", "unproven", "failed"]
    since: float | None
    reason: str
    rtt: float | None
    entered: int | None
    left: int | None
    dropped: int | None
    bytes: int | None


@dataclass(frozen=True)
class BackendState:
    """A load balancer's backend, by the lab's health checks."""

    name: str
    up: bool
    since: float | None
    reason: str


@dataclass(frozen=True)
class FunctionState:
    """A function. ``state``: ``live`` (all instances and backends work), ``degraded`` (some) or ``failed``
    (none).

    ``packets``: that reached it, ``dropped``: that did not leave it; None: not known."""

    name: str
    kind: str
    engine: str
    mode: str
    switch: str | None
    on_failure: str
    state: Literal["live", "degraded", "failed"]
    packets: int | None
    dropped: int | None
    instances: list[InstanceState]
    backends: list[BackendState]


@dataclass(frozen=True)
class HopState:
    """A chain's arrival at one function. ``next``: number of the hop after it, 0: none.

    ``state``: ``live``; or, while no instance works, what happens to frames: ``skipped``, ``dropped``."""

    number: int
    direction: Literal["forward", "backward"]
    place: int
    function: str
    switch: str
    next: int
    policy: Literal["open", "closed"]
    state: Literal["live", "skipped", "dropped"]
    packets: int | None
    bytes: int | None


@dataclass(frozen=True)
class ChainState:
    """A chain. ``encapsulation``: what carries a frame's hop between switches, and ``why``.

    ``forward``, ``backward``: packets that its classifiers took; None: not known, or no such direction."""

    name: str
    path: int
    classifier: str
    network: str
    far_network: str
    direction: str
    symmetric: bool
    priority: int
    on_failure: str | None
    implicit: bool
    functions: list[str]
    encapsulation: Literal["none", "vlan", "nsh"]
    why: str
    forward: int | None
    backward: int | None
    hops: list[HopState]


@dataclass(frozen=True)
class TunnelState:
    """Unicast frames of one network from one domain's VTEP to another's; ``bytes`` of inner frames."""

    source: str
    target: str
    from_address: str
    to_address: str
    network: str
    vni: int
    packets: int
    bytes: int


@dataclass(frozen=True)
class FloodState:
    """Frames of one network that a domain's tunnel switch sent to all members."""

    domain: str
    network: str
    vni: int
    packets: int
    bytes: int


@dataclass(frozen=True)
class OverlayState:
    """The tunnel mesh; empty for a lab without an underlay."""

    mesh: list[TunnelState]
    flooded: list[FloodState]
