"""Requests and answers of the lab's HTTP API: the JSON itself, typed.

They are TypedDicts, so the command line reads answers without building objects.  FastAPI checks the same
definitions, and publishes them as OpenAPI.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Gt, Le
from typing_extensions import NotRequired, TypedDict

from controller import table_answers
from dataplane.storage.answers import VolumeInfo as VolumeInfo
from lab.messages.outside import WayState as WayState
from lab.messages.services import Applied as Applied
from lab.messages.services import ApplyRequest as ApplyRequest
from lab.messages.services import BackendState as BackendState
from lab.messages.services import ChainState as ChainState
from lab.messages.services import ChangeState as ChangeState
from lab.messages.services import FunctionRequest as FunctionRequest
from lab.messages.services import FunctionState as FunctionState
from lab.messages.services import HopState as HopState
from lab.messages.services import InstanceState as InstanceState
from lab.messages.services import ScaleRequest as ScaleRequest


class DomainState(TypedDict):
    """One Open vSwitch instance: ``daemons`` maps program to process id (inside), 0 when it died."""

    name: str
    alive: bool
    datapath: str
    daemons: dict[str, int]


class SwitchState(TypedDict):
    """``up``: the switch exists; ``connected``: its OpenFlow channel; ``programmed``: tables confirmed.

    ``controller``: the name of its controller; only the lab's own (``sdnlab``) confirms tables.
    """

    name: str
    domain: str
    dpid: str
    role: Literal["switch", "vtep"]
    controller: str
    up: bool
    connected: bool
    programmed: bool


class ApplicationState(TypedDict):
    """A controller of the user's own: a process that runs Ryu ``apps``, with ``options`` of ryu-manager.

    ``failed``: an app can't be loaded, for the reason in ``error``, ``remedy`` and ``traceback``; it starts
    again when its files change. ``in_a_row``: how often it has ended soon after its start. ``since``: Unix
    time of its last start. ``port``: that of OpenFlow; ``wsapi``: that of HTTP, inside the lab.
    ``connected``: switch -> version of OpenFlow. ``crashes``: how many handlers have failed, the last with
    ``last_crash``.
    """

    name: str
    apps: list[str]
    options: list[str]
    state: Literal["starting", "running", "ended", "failed"]
    pid: int
    restarts: int
    in_a_row: int
    since: float
    hub: str | None
    port: int
    wsapi: int | None
    switches: list[str]
    connected: dict[str, str]
    error: str
    remedy: str
    traceback: str
    crashes: int
    last_crash: str


class FindingState(TypedDict):
    """Something that ``sdnlab doctor`` found. ``kind``: its name for programs; ``where``: a switch or
    controller, or empty; ``certain``: it is wrong; otherwise it may be meant."""

    kind: str
    where: str
    text: str
    remedy: str
    certain: bool


class CommandState(TypedDict):
    """A command of a host (``run:``). ``code``: that of its last end, 128 + N after signal N.

    ``since``: Unix time of the change to this state. ``restarting``: it has ended and starts again.
    ``failing``: it has failed for good, or again and again. ``pid``: of the process that keeps it, inside.
    """

    name: str
    words: list[str]
    restart: Literal["never", "on-failure", "always"]
    state: Literal["starting", "running", "restarting", "ended", "failed"]
    pid: int
    code: int | None
    restarts: int
    since: float
    failing: bool


class LogPart(TypedDict):
    """A part of a log: its text after so many octets, and how many there are now."""

    text: str
    end: int


class HostState(TypedDict):
    """A host, or an interface ``of`` one. ``kind``: what it is; ``detail``: what its driver tells about
    it; ``routes``: those of the file that lead through this interface, as ``10.9.0.0/16 via 10.0.0.1``;
    ``trunk``: the device of the trunk that it is on, where its frames have the tag ``vlan``; else empty.

    ``switch`` and ``port``: empty and 0 on a wire to another host; then ``peer`` is the interface there."""

    name: str
    of: str
    kind: str
    detail: dict[str, str | int | float | bool]
    network: str
    switch: str
    port: int
    peer: str
    interface: str
    trunk: str
    vlan: int | None
    mac: str
    ipv4: str | None
    ipv6: str | None
    routes: list[str]
    up: bool
    commands: list[CommandState]


def place_of(host: HostState) -> str:
    """Where the wire of an interface ends: a switch's port, or the interface of another host."""
    return f"{host['switch']}:{host['port']}" if host["switch"] else host["peer"]


class NetworkState(TypedDict):
    """A tenant's segment: its members and their domains. ``vlan``: what tags of its frames on trunks have."""

    name: str
    vni: int | None
    vlan: int | None
    subnet4: str | None
    subnet6: str | None
    gateway4: str | None
    gateway6: str | None
    router: str | None
    hosts: list[str]
    domains: list[str]
    crosses: bool


class VtepState(TypedDict):
    """A domain's tunnel endpoint, and its uplinks (underlay links that are not cut)."""

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


class LinkState(TypedDict):
    """``a`` and ``b`` as ``switch:port``; of a wire between hosts as ``host:device``. ``up`` is the state
    that ``link up|down`` has set."""

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
    """The whole lab; ``troubles`` are texts about present problems."""

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
    applications: list[ApplicationState]
    domains: list[DomainState]
    switches: list[SwitchState]
    networks: list[NetworkState]
    hosts: list[HostState]
    links: list[LinkState]
    underlay: UnderlayState | None
    functions: list[FunctionState]
    chains: list[ChainState]
    volumes: list[VolumeInfo]
    outside: list[WayState]


class Pair(TypedDict):
    """One direction of one pair in one address family (4 or 6); ``rtt`` in seconds.

    ``policy``: the reason in the file why the pair should not be reached: a function, or (``apart``) that
    nothing connects the two; empty: it should be reached.
    """

    src: str
    dst: str
    family: int
    reached: bool
    rtt: float | None
    reason: str
    policy: str
    apart: bool


class PingRequest(TypedDict):
    """``pairs`` absent: every ordered pair within each network.

    ``timeout`` in seconds from the first frame on; absent: by the number of pairs.
    """

    pairs: NotRequired[list[tuple[str, str]] | None]
    timeout: NotRequired[Annotated[float, Gt(0), Le(600)]]
    detail: NotRequired[Literal["all", "auto"]]


class Probing(TypedDict):
    """The progress of a test of pairs, in frames with an answer, address resolution included.

    ``total`` 0: it is being prepared.
    """

    running: bool
    done: int
    total: int


class FamilyCount(TypedDict):
    """How many pairs of one address family were reached."""

    family: int
    reached: int
    total: int


class HowMany(TypedDict):
    """So many of ``total`` are ``good``."""

    good: int
    total: int


class Proof(TypedDict):
    """How the pairs were proven when the lab started.

    ``computed``: pairs by computation on the tables that the switches hold, ``by_packets``: pairs by packets
    of their own. Beside the pairs, packets showed of ``hosts`` that they are reached, and of ``links`` and
    ``tunnels`` (from one domain to another in a network) that they carry. ``problems``: texts about those
    that don't, and about switches that hold other tables. ``seconds``: of the computation.
    """

    computed: int
    by_packets: int
    hosts: HowMany
    links: HowMany
    tunnels: HowMany
    problems: list[str]
    seconds: float


class PingResult(TypedDict):
    """The result of a test of pairs.

    ``links_down`` are the links and wires that were cut at the time, probably the reason of failures.
    ``held``: pairs that a firewall of the file blocks; ``apart``: pairs in parts of the lab that the file
    does not connect; ``leaked``: pairs that were reached although they should be blocked or apart. ``good``:
    ``reached``, ``held`` and ``apart`` add up to ``total``, and no pair leaked. ``median`` is the median of
    the reached pairs' times, in seconds.  ``pairs`` has every pair; if there are more than 2,000, and
    ``detail`` is not ``all``, it has only pairs that leaked or were not reached (without those apart).
    ``deciders``: the user's own apps that decide who reaches whom: the file promises nothing then.
    ``proof``: at the start of a lab, how the pairs were proven; then a pair that is proven by computation
    counts as reached, ``pairs`` has only those that packets were sent for and those that failed, and ``good``
    says that the proof has no problems, either.
    """

    hosts: list[str]
    families: list[int]
    method: str
    note: str
    total: int
    reached: int
    held: int
    apart: int
    leaked: int
    good: bool
    seconds: float
    frames_sent: int
    links_down: list[str]
    counts: list[FamilyCount]
    median: float | None
    pairs: list[Pair]
    deciders: NotRequired[list[str]]
    proof: NotRequired[Proof]


class UpDown(TypedDict):
    up: bool


class LinkChange(TypedDict):
    """The result of ``link up|down``; ``changed`` is False if the link already had this state.

    The change applies to every packet from now on; if not, ``note`` says to which it does not.
    """

    name: str
    up: bool
    changed: bool
    note: str


class MoveRequest(TypedDict):
    """The new place of a host: a domain, and a switch in it (absent: the domain's first switch)."""

    domain: str
    switch: NotRequired[str | None]


class Moved(TypedDict):
    """The result of ``move``; ``seconds`` until all switches confirmed; ``changed`` False: it was already
    there."""

    host: str
    source: str
    target: str
    domain: str
    seconds: float
    changed: bool


class PowerRequest(TypedDict):
    """What to do with a machine."""

    action: Literal["start", "stop", "pause", "resume", "reset"]


class MachineChange(TypedDict):
    """The result of ``vm``: the machine's state as a word; ``changed`` False: it was so already."""

    host: str
    state: str
    changed: bool
    seconds: float


class Screen(TypedDict):
    """A picture of a machine's screen: PNG in base64."""

    host: str
    png: str


class Migrated(TypedDict):
    """The result of ``migrate``; ``seconds`` in all, ``precopy`` of them while the machine still ran.

    ``downtime``: milliseconds for which it stood still, from QEMU's event STOP at the source to RESUME at the
    destination; ``downtime_qemu``: what QEMU itself tells. ``copied``: bytes. ``changed`` False: it was
    already there.
    """

    host: str
    source: str
    target: str
    domain: str
    seconds: float
    changed: bool
    downtime: float
    downtime_qemu: float
    copied: int
    precopy: float
    notes: list[str]


class MachineSnapshotRequest(TypedDict):
    """What to do with a snapshot of a virtual machine."""

    action: Literal["save", "restore", "delete"]


class SnapshotState(TypedDict):
    """A saved state of a virtual machine. ``taken``: seconds since 1970. ``size``: bytes on the disk.
    ``paused``: seconds for which the machine stood still to be saved."""

    name: str
    taken: float
    size: int
    paused: float


class CapturePoint(TypedDict):
    """Where to capture: a network namespace's name, a device in it (``any``: all), and a text about it."""

    netns: str
    device: str
    what: str


class TunnelState(TypedDict):
    """Unicast traffic of one network from one domain to another; ``bytes`` of the inner frames."""

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
    """The tunnel mesh and its counters."""

    mesh: list[TunnelState]
    flooded: list[FloodState]


class PlaceState(TypedDict):
    """A line of the topology file; lines count from 1."""

    file: str
    line: int


class FlowState(table_answers.FlowState):
    """A flow entry of a switch, as the controller knows it. ``place``: where its ``entity`` stands in the
    topology file; None: no entry is the reason for it."""

    place: PlaceState | None


class GroupState(table_answers.GroupState):
    """A group of a switch, with ``place`` as a flow's."""

    place: PlaceState | None


class Event(TypedDict):
    """An event: ``number`` counts from 1, ``time`` is Unix time in seconds."""

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
