"""The controller's events for the lab: one type for each, used at both ends of the pipe between them.

An event is a frozen dataclass. ``encode`` turns it into JSON, and ``decode`` turns that into the event.
``EVENTS`` has the types by name, and ``event`` registers one.  ``text`` is the event in words.  To add a kind
of event, add a class here, or in an extension (``topologies.extensions``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from controller.typed_json import BadMessage, Json, filled, members

_ENVELOPE = ("event", "number", "time")
"""What the journal adds to every event: its name, a number that counts up from 1, and seconds since 1970."""


class Names(Protocol):
    """What addresses are called in a lab."""

    def flow(self, message: Json, function: str | None = None) -> str:
        """Source and destination, by ``src_ip``, ``dest_ip`` and so on (EVE's names), for people."""


class Nameless:
    """Names for which each address is its own name."""

    def flow(self, message: Json, function: str | None = None) -> str:
        """As ``Names`` has it."""
        return f"{message.get('src_ip', '?')} -> {message.get('dest_ip', '?')}"


@dataclass(frozen=True)
class Event:
    """Something that happened. ``NAME``: its name in JSON."""

    NAME: ClassVar[str]

    def text(self, names: Names) -> str:
        """The event in one line of words; empty: people need not see it. The default: each field's value."""
        fields = ((key, value) for key, value in encode(self).items() if key not in _ENVELOPE)
        rest = ", ".join(f"{key} {value}" for key, value in fields)
        return f"{self.NAME}: {rest}" if rest else self.NAME


EVENTS: dict[str, type[Event]] = {}
E = TypeVar("E", bound=type[Event])


def event(name: str) -> Callable[[E], E]:
    """Register a kind of event by the name that it has in JSON."""

    def register(kind: E) -> E:
        if name in EVENTS:
            raise ValueError(f"{name} is {EVENTS[name].__name__} already")
        kind.NAME = name
        EVENTS[name] = kind
        return kind

    return register


Watcher = Callable[[Event], Iterable[Event]]
WATCHERS: list[Watcher] = []
"""Each gets every event of the controller, and returns the events that follow from it."""


def watch(watcher: Watcher) -> Watcher:
    """Register a function that makes further events of events, in the controller's process.

    It runs in the thread that has the event, so it must not block. It does not get the events of watchers.
    """
    WATCHERS.append(watcher)
    return watcher


def following(happened: Event) -> list[Event]:
    """The events that all watchers make of an event; an error in a watcher is an event, too."""
    events: list[Event] = []
    for watcher in WATCHERS:
        try:
            events += watcher(happened)
        except Exception as error:
            who = f"{watcher.__module__}.{getattr(watcher, '__qualname__', watcher)}"
            events.append(ControllerError(f"{who} fails at {happened.NAME}: {type(error).__name__}: {error}"))
    return events


def encode(happened: Event) -> dict[str, Any]:
    """An event as JSON. A field with a default is left out when its value is None."""
    return {"event": happened.NAME, **members(happened)}


def decode(message: Json) -> Event:
    """The event of a JSON object, which may have further keys. Raises ``BadMessage``."""
    name = message.get("event")
    if not isinstance(name, str):
        raise BadMessage("it has no name")
    kind = EVENTS.get(name)
    if kind is None:
        raise BadMessage(f"no event is called {name}")
    decoded: Event = filled(kind, message, name)
    return decoded


# Switches and their tables


@event("connected")
@dataclass(frozen=True)
class Connected(Event):
    switch: str

    def text(self, names: Names) -> str:
        return f"switch {self.switch} connected"


@event("disconnected")
@dataclass(frozen=True)
class Disconnected(Event):
    switch: str

    def text(self, names: Names) -> str:
        return f"switch {self.switch} disconnected"


@event("port")
@dataclass(frozen=True)
class PortChanged(Event):
    """A switch's port went up or down."""

    switch: str
    port: int
    up: bool

    def text(self, names: Names) -> str:
        return f"port {self.port} of {self.switch} went {'up' if self.up else 'down'}"


@event("compiled")
@dataclass(frozen=True)
class Compiled(Event):
    """The tables of an intent. ``stages``: how many the change to them takes, if more than one."""

    seconds: float
    flows: int
    groups: int
    stages: int | None = None

    def text(self, names: Names) -> str:
        return f"compiled {self.flows} flows and {self.groups} groups in {self.seconds:.3f} s"


@event("recompiled")
@dataclass(frozen=True)
class Recompiled(Event):
    """New tables of the same intent; ``why``: what has happened."""

    seconds: float
    flows: int
    groups: int
    why: str
    stages: int | None = None

    def text(self, names: Names) -> str:
        return f"recompiled because of {self.why} in {self.seconds:.3f} s"


@event("programmed")
@dataclass(frozen=True)
class Programmed(Event):
    """A switch holds its tables now. ``added``, ``deleted``: flows, groups and meters."""

    switch: str
    added: int
    deleted: int
    seconds: float

    def text(self, names: Names) -> str:
        if not self.added and not self.deleted:
            return f"switch {self.switch} holds what it should; nothing was sent"
        counts = f"{self.added} added, {self.deleted} deleted"
        return f"switch {self.switch} programmed: {counts} in {self.seconds:.3f} s"


@event("stage")
@dataclass(frozen=True)
class Stage(Event):
    """The next stage of a change in stages begins."""

    stage: int
    of: int


@event("all-programmed")
@dataclass(frozen=True)
class AllProgrammed(Event):
    """Every switch that is there holds its tables. ``intent``: the number of the intent."""

    seconds: float
    intent: int = 0

    def text(self, names: Names) -> str:
        return f"every switch is programmed in {self.seconds:.3f} s"


class Crossing(NamedTuple):
    """A frame that shows that a link carries: ``switch`` sends it by ``port``, from host ``src`` to host
    ``dst``, with their addresses of ``family``. ``tunnel``: ``link`` is no link of the file."""

    link: str
    switch: str
    port: int
    src: str
    dst: str
    family: int
    tunnel: bool = False


Row = tuple[str | int | bool, ...]


@event("computed")
@dataclass(frozen=True)
class Computed(Event):
    """What the compiled tables do to pings between all pairs of hosts (``controller.proof``).

    ``attempt`` counts up. ``proven4``, ``proven6``: so many pairs reach each other over IPv4, over IPv6;
    ``apart``: so many that no link joins don't. ``wrong``: source, target, family and reason of pairs that
    should reach each other and don't, or the other way round. ``left``: source and target of pairs of which
    this can't tell; ``why``: how many for which reason. ``ring``: pairs that together have
    every host that can reach some other. ``crossings``: the members of each ``Crossing``; ``unused``: links
    that lead to no host in some direction. ``failed``: nothing was computed, for this reason.
    """

    attempt: int
    seconds: float
    proven4: int = 0
    proven6: int = 0
    apart: int = 0
    wrong: tuple[Row, ...] = ()
    left: tuple[Row, ...] = ()
    why: dict[str, int] = field(default_factory=dict)
    ring: tuple[Row, ...] = ()
    crossings: tuple[Row, ...] = ()
    unused: tuple[str, ...] = ()
    failed: str = ""

    def text(self, names: Names) -> str:
        if self.failed:
            return f"the pairs of hosts can't be proven by computation: {self.failed}"
        proven = self.proven4 + self.proven6
        rest = f", {len(self.wrong)} wrong" if self.wrong else ""
        rest += f", {len(self.left)} left to packets" if self.left else ""
        return f"computed on the tables: {proven} pairs proven{rest}, in {self.seconds:.3f} s"


@event("tables-held")
@dataclass(frozen=True)
class TablesHeld(Event):
    """All switches were asked for their flows and groups. ``attempt``: of the ``Computed`` whose tables these
    are, but for the ``differences``, which begin with the switch's name."""

    attempt: int
    flows: int
    differences: tuple[str, ...]

    def text(self, names: Names) -> str:
        if self.differences:
            more = f" (and {len(self.differences) - 1} more)" if len(self.differences) > 1 else ""
            return f"switches don't hold what was computed on: {self.differences[0]}{more}"
        return f"the switches list the same {self.flows} flows that was computed on"


@event("error")
@dataclass(frozen=True)
class ControllerError(Event):
    message: str
    switch: str | None = None

    def text(self, names: Names) -> str:
        return f"controller: {self.message}"


@event("api")
@dataclass(frozen=True)
class ApiListens(Event):
    """The northbound API listens at this path."""

    path: str


# Stations


@dataclass(frozen=True)
class _Station(Event):
    network: str
    switch: str
    port: int
    mac: str
    addresses: tuple[str, ...]


@event("learned")
@dataclass(frozen=True)
class StationLearned(_Station):
    """A station that the file does not have. ``was``: the port where it was before."""

    was: str | None = field(default=None, metadata={"json": "from"})


@event("aged")
@dataclass(frozen=True)
class StationAged(_Station):
    """A station that was silent for so long that it is forgotten."""


@event("limited")
@dataclass(frozen=True)
class Limited(Event):
    """A host has reached a limit."""

    switch: str
    port: int
    message: str


# Functions


@event("instance")
@dataclass(frozen=True)
class InstanceChanged(Event):
    """An instance gets traffic from now on, or gets none any more; ``state``: ``live`` or ``failed``."""

    function: str
    instance: str
    state: str
    reason: str

    def text(self, names: Names) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"{self.instance} {'gets no more traffic' if self.state == 'failed' else 'takes part'}{why}"


@event("backend")
@dataclass(frozen=True)
class BackendChanged(Event):
    """A load balancer's backend gets connections from now on, or gets none any more."""

    function: str
    backend: str
    up: bool
    reason: str

    def text(self, names: Names) -> str:
        return ""  # the lab has told the controller this, so it has an event of its own


@dataclass(frozen=True)
class _OfPacket(Event):
    """An event that is about a packet: the packet's fields under EVE's names; None: it does not have them."""

    proto: str | None = field(default=None, kw_only=True)
    src_ip: str | None = field(default=None, kw_only=True)
    dest_ip: str | None = field(default=None, kw_only=True)
    src_port: int | None = field(default=None, kw_only=True)
    dest_port: int | None = field(default=None, kw_only=True)
    icmp_type: int | None = field(default=None, kw_only=True)
    icmp_code: int | None = field(default=None, kw_only=True)


@event("firewall")
@dataclass(frozen=True)
class RuleMet(_OfPacket):
    """A firewall's rule that logs has decided on a packet, in a switch. ``default``: no rule matched."""

    function: str
    rule: str
    verdict: str
    switch: str

    def text(self, names: Names) -> str:
        flow = names.flow(encode(self), self.function)
        return f"{self.function}: rule {self.rule} {self.verdict} {flow}".rstrip()


@event("firewall-omitted")
@dataclass(frozen=True)
class RulesMet(Event):
    """So many more ``packets`` met rules that log; they have no events of their own."""

    packets: int
    message: str

    def text(self, names: Names) -> str:
        return self.message


@event("nat-exhausted")
@dataclass(frozen=True)
class NatExhausted(_OfPacket):
    """A translator has no port or identifier left for the connection of this packet."""

    function: str
    message: str

    def text(self, names: Names) -> str:
        return self.message
