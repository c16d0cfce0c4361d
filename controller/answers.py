"""What the controller answers the lab: one type for each answer of the northbound API, used at both ends.

FastAPI makes JSON of them; ``read`` makes them of that again.  Flows and groups, of which there are tens of
thousands, are not among them: the lab hands them on as they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from controller.messages import value_of

T = TypeVar("T")


def read(kind: type[T], answer: Any) -> T:
    """An answer of JSON as its type, such as ``list[FunctionState]``; it may have more in it.

    Raises ``controller.messages.BadMessage``.
    """
    made: T = value_of(answer, kind, "the answer")
    return made


@dataclass(frozen=True)
class Applied:
    """The answer to a new intent: reconciliation has begun; ``all-programmed`` says it is done.

    ``since``: number of the last event before, to wait from (``GET /events?since=``)."""

    since: int


@dataclass(frozen=True)
class Settled:
    """``settled``: every switch that there is holds what it should, by all that is known."""

    settled: bool


@dataclass(frozen=True)
class Taken:
    """The answer to a report. ``since``: number of the last event before it (``GET /events?since=``)."""

    since: int


@dataclass(frozen=True)
class InstanceState:
    """One instance. ``state`` ``unproven``: no probe has passed it yet. ``since``: seconds since 1970.
    ``rtt``: how long a probe takes through it and the controller's own channel, in seconds.

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
    """A load balancer's backend, as the lab's health checks say."""

    name: str
    up: bool
    since: float | None
    reason: str


@dataclass(frozen=True)
class FunctionState:
    """A function. ``state``: ``live`` (all of it works), ``degraded`` (some) or ``failed`` (nothing).

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

    ``state``: ``live``, or what the policy does while nothing works there: ``skipped``, ``dropped``."""

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
    """A chain. ``encapsulation``: what carries the position between switches, and ``why``.

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
