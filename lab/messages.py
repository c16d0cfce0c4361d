"""What the lab's HTTP API says and takes: the JSON itself, typed.

TypedDicts, so that the command line reads answers as they are, without building objects, and FastAPI
checks, documents and publishes the same definitions as OpenAPI.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict


class DomainState(TypedDict):
    """One Open vSwitch instance: ``daemons`` maps program to process id (inside), 0 when it died."""

    name: str
    alive: bool
    datapath: str
    daemons: dict[str, int]


class SwitchState(TypedDict):
    """``up``: the switch exists; ``connected``: its OpenFlow channel; ``programmed``: tables confirmed."""

    name: str
    domain: str
    dpid: str
    role: Literal["switch", "vtep"]
    up: bool
    connected: bool
    programmed: bool


class HostState(TypedDict):
    name: str
    network: str
    switch: str
    port: int
    interface: str
    mac: str
    ipv4: str | None
    ipv6: str | None
    up: bool


class NetworkState(TypedDict):
    """A tenant's segment: its members, and the domains that these are in."""

    name: str
    vni: int | None
    subnet4: str | None
    subnet6: str | None
    gateway4: str | None
    gateway6: str | None
    router: str | None
    hosts: list[str]
    domains: list[str]
    crosses: bool


class VtepState(TypedDict):
    """A domain's tunnel end point, and its ways out (underlay links that are not cut)."""

    domain: str
    address: str
    switch: str
    links_up: int
    links: int


class UnderlayState(TypedDict):
    """``tunnels``: ``kernel`` or ``ovs``, with the reason in ``why``; ``mtu`` of its links."""

    subnet: str
    mtu: int
    tunnels: str
    why: str
    routers: list[str]
    vteps: list[VtepState]
    links: list[LinkState]


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


class LinkState(TypedDict):
    """``a`` and ``b`` as ``switch:port``; ``up`` is what was asked for with ``link up|down``."""

    name: str
    a: str
    b: str
    up: bool


class ControllerState(TypedDict):
    """``pid`` is its process id inside the lab, 0 when it doesn't run."""

    running: bool
    pid: int
    restarts: int
    flows: int
    groups: int


class Stage(TypedDict):
    """A step of start-up and how long it took, in seconds."""

    name: str
    seconds: float


class Status(TypedDict):
    """The whole lab; ``troubles`` are what is wrong right now, in words."""

    name: str
    topology: str
    description: str
    file: str
    state: Literal["building", "running"]
    started: float
    datapath: str
    converged: bool
    troubles: list[str]
    stages: list[Stage]
    controller: ControllerState
    domains: list[DomainState]
    switches: list[SwitchState]
    networks: list[NetworkState]
    hosts: list[HostState]
    links: list[LinkState]
    underlay: UnderlayState | None
    functions: list[FunctionState]
    chains: list[ChainState]


class Pair(TypedDict):
    """One direction of one pair in one address family (4 or 6); ``rtt`` in seconds."""

    src: str
    dst: str
    family: int
    reached: bool
    rtt: float | None
    reason: str


class PingRequest(TypedDict):
    """``pairs`` absent: every ordered pair within each network.

    ``timeout`` in seconds; absent: by the number of pairs.
    """

    pairs: NotRequired[list[tuple[str, str]] | None]
    timeout: NotRequired[float]
    detail: NotRequired[Literal["all", "auto"]]


class FamilyCount(TypedDict):
    """How many pairs of one address family were reached."""

    family: int
    reached: int
    total: int


class PingResult(TypedDict):
    """What a probe of pairs found.

    ``links_down`` are the links and wires that were cut at the time: the likeliest reasons.
    ``median`` is that of the reached pairs' times, in seconds.  ``pairs`` has every pair, or, above
    2,000 and unless ``detail`` was ``all``, the pairs that were not reached.
    """

    hosts: list[str]
    families: list[int]
    method: str
    note: str
    total: int
    reached: int
    seconds: float
    frames_sent: int
    links_down: list[str]
    counts: list[FamilyCount]
    median: float | None
    pairs: list[Pair]


class UpDown(TypedDict):
    up: bool


class LinkChange(TypedDict):
    """What ``link up|down`` did; ``changed`` False when the link was so already."""

    name: str
    up: bool
    changed: bool


class MoveRequest(TypedDict):
    """Where a host is to go: a domain, and the switch in it (absent: the domain's first)."""

    domain: str
    switch: NotRequired[str | None]


class Moved(TypedDict):
    """What ``move`` did; ``seconds`` until all switches were confirmed; ``changed`` False: it was there."""

    host: str
    source: str
    target: str
    domain: str
    seconds: float
    changed: bool


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


class CapturePoint(TypedDict):
    """Where to listen: a network namespace's name, a device in it (``any``: all), and what that is."""

    netns: str
    device: str
    what: str


class TunnelState(TypedDict):
    """Unicast of one network from one domain to another; ``bytes`` of the inner frames."""

    source: str
    target: str
    from_address: str
    to_address: str
    network: str
    vni: int
    packets: int
    bytes: int


class FloodState(TypedDict):
    """Frames of one network that a domain's tunnel switch sent to all its members."""

    domain: str
    network: str
    vni: int
    packets: int
    bytes: int


class OverlayState(TypedDict):
    """The tunnel mesh and what it carried."""

    mesh: list[TunnelState]
    flooded: list[FloodState]


class Event(TypedDict):
    """Something that happened: ``number`` counts up from 1, ``time`` is Unix time in seconds."""

    number: int
    time: float
    event: str
    text: str
    data: dict[str, Any]


class Problem(TypedDict):
    """The body of every error answer."""

    what: str
    remedy: str


class Building(TypedDict):
    """The body of the 503 that a lab gives until it is ready."""

    state: Literal["building"]
    stage: str
