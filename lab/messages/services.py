"""Requests and answers about functions, chains and changes; see ``lab.messages.lab``."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict


class InstanceState(TypedDict):
    """An instance of a function. ``state`` is that of its process, with a ``message``, ``since`` (Unix time).

    ``health``: whether the controller's probe frames pass its data path (``unproven``: none has passed yet;
    ``unknown``: it is not probed, or the controller is down); ``rtt``: the round trip of a probe, in seconds.
    ``packets``: those that went in, and ``dropped``, both counted by the switch or by the instance; None: not
    counted. ``counters``: all counters of the instance itself.
    """

    name: str
    state: Literal["starting", "running", "failed", "dead", "stopped"]
    message: str
    since: float
    pid: int
    restarts: int
    health: Literal["live", "unproven", "failed", "unknown"]
    reason: str
    rtt: float | None
    packets: int | None
    bytes: int | None
    dropped: int | None
    counters: dict[str, float]


class BackendState(TypedDict):
    """A load balancer's server; ``up`` None: not checked yet."""

    name: str
    up: bool | None
    reason: str


class FunctionState(TypedDict):
    """A network function. ``switch`` None: every switch. ``address``: that of a virtual service or NAT.

    ``packets`` and ``dropped``: of all its instances, or counted by the switch if flows implement it; None:
    not counted.
    """

    name: str
    kind: str
    engine: str
    mode: Literal["inline", "tap", "flows", "ports", "host"]
    switch: str | None
    domain: str | None
    on_failure: str
    address: str | None
    state: str
    instances: list[InstanceState]
    backends: list[BackendState]
    packets: int | None
    dropped: int | None


class HopState(TypedDict):
    """A chain's arrival at one function; ``packets`` that were steered to it (None: not counted).

    ``carried``: the encapsulation in which a frame comes from another switch; empty if it doesn't. ``state``:
    while no instance works, frames are ``skipped`` to the next hop or ``dropped``.
    """

    number: int
    forward: bool
    function: str
    switch: str
    domain: str
    carried: str
    state: Literal["live", "skipped", "dropped", "unknown"]
    packets: int | None


class ChainState(TypedDict):
    """A service chain. ``takes``: its classifier, as text; ``encapsulation``, and ``why`` it is used;
    ``forward``, ``backward``: packets of both directions (None: not known)."""

    name: str
    network: str
    takes: str
    functions: list[str]
    symmetric: bool
    direction: str
    on_failure: str
    priority: int
    encapsulation: str
    why: str
    forward: int | None
    backward: int | None
    hops: list[HopState]


class FunctionRequest(TypedDict):
    """What to do with a function's processes; ``instance`` absent: with all of them."""

    action: Literal["stop", "start", "restart"]
    instance: NotRequired[str | None]


class ScaleRequest(TypedDict):
    instances: int


class ApplyRequest(TypedDict):
    """A changed topology file: its path and its content.

    The path decides the format, and names of scripts are relative to it. ``dry_run``: change nothing, and
    return the differences. ``prepared``: the hosts that an answer to the same request named are prepared.
    """

    file: str
    content: str
    dry_run: NotRequired[bool]
    prepared: NotRequired[bool]


class ChangeState(TypedDict):
    """One difference between the running lab and a file. ``disrupts``: its effect on running traffic."""

    kind: str
    name: str
    what: Literal["added", "changed", "removed"]
    detail: str
    disrupts: str


class Applied(TypedDict):
    """The result of ``apply`` or ``scale``. ``applied`` False: nothing was changed.

    ``seconds`` until all switches confirmed and old parts were removed; ``notes``: errors after the change
    was complete. ``prepare``: the hosts that must be prepared first, on the machine; nothing was changed.
    ``file_notes``: what the lab has otherwise than the file of another tool says.
    """

    changes: list[ChangeState]
    applied: bool
    seconds: float
    notes: list[str]
    prepare: NotRequired[list[dict[str, Any]]]
    file_notes: NotRequired[list[str]]
