"""What the lab's HTTP API says and takes about functions, chains and changes; see ``lab.messages.lab``."""

from __future__ import annotations

from typing import Literal

from typing_extensions import NotRequired, TypedDict


class InstanceState(TypedDict):
    """A running copy of a function. ``state`` is its process's, with a ``message``, ``since`` (Unix time).

    ``health``: whether it takes part in forwarding, as the controller's probes through its data path find
    (``unproven``: none has passed it yet; ``unknown``: it is not probed, or the controller is away); ``rtt``:
    such a probe's round trip, in seconds.  ``packets`` that went in and ``dropped``, as the switch counts or
    else it itself; None: not counted. ``counters``: all that it counts itself.
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
    """A network function. ``switch`` None: every switch. ``address``: of a virtual service or translator.

    ``packets`` and ``dropped``: of all its instances, or, of one that is flows, as the switch counts; None:
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

    ``carried``: how a frame's place in the chain travels to this hop's switch, when it comes from another;
    empty when it does not. ``state``: what becomes of frames there: while no instance works they are
    ``skipped`` to the next hop or ``dropped``.
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
    """A service chain. ``takes``: its classifier, in words; ``encapsulation`` in use, and ``why`` that;
    ``forward``, ``backward``: packets that it took, in its direction and the other (None: not known)."""

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
    """A changed topology file: its name (also what it is: YAML or GraphML) and its content, and how
    names of scripts in it are meant: relative to the file. ``dry_run``: only say what would change."""

    file: str
    content: str
    dry_run: NotRequired[bool]


class ChangeState(TypedDict):
    """One difference between the running lab and a file. ``disrupts``: what running traffic notices of it."""

    kind: str
    name: str
    what: Literal["added", "changed", "removed"]
    detail: str
    disrupts: str


class Applied(TypedDict):
    """What ``apply`` or ``scale`` changed (or, ``applied`` False, would change or found equal already).

    ``seconds`` until all switches were confirmed and what was old had gone; ``notes``: what went wrong after
    the lab had become what was asked for.
    """

    changes: list[ChangeState]
    applied: bool
    seconds: float
    notes: list[str]
