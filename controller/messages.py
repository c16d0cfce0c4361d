"""What the controller tells the lab: one type for each event, used at both ends of the pipe between them.

An event is a frozen dataclass. ``encode`` makes JSON of it, ``decode`` the event of that again;
``EVENTS`` knows them by name, and ``event`` registers one.  ``text`` says it to people.  To add a kind of
event is to add a class here, or in an extension (``topologies.extensions``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

Json = Mapping[str, Any]
_ENVELOPE = ("event", "number", "time")
"""What the journal adds to every event: its name, a number that counts up from 1, and seconds since 1970."""


class BadMessage(ValueError):
    """A message that is no event; says why."""


class Names(Protocol):
    """What addresses are called in a lab."""

    def flow(self, message: Json, function: str | None = None) -> str:
        """Source and destination, by ``src_ip``, ``dest_ip`` and so on (EVE's names), for people."""


class Nameless:
    """Calls all addresses by themselves."""

    def flow(self, message: Json, function: str | None = None) -> str:
        """As ``Names`` has it."""
        return f"{message.get('src_ip', '?')} -> {message.get('dest_ip', '?')}"


@dataclass(frozen=True)
class Event:
    """Something that happened. ``NAME``: what it is called in JSON."""

    NAME: ClassVar[str]

    def text(self, names: Names) -> str:
        """For people, in one line; empty: it is none for people. Else each field and its value."""
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
"""Each is given every event that the controller has, and gives the events that follow from it."""


def watch(watcher: Watcher) -> Watcher:
    """Register a function that finds out more from events, in the controller's process.

    It is called in the thread that has the event, so it must not block. It is not given what watchers give.
    """
    WATCHERS.append(watcher)
    return watcher


def following(said: Event) -> list[Event]:
    """What all watchers make of an event; an error of one is an event, too."""
    made: list[Event] = []
    for watcher in WATCHERS:
        try:
            made += watcher(said)
        except Exception as error:
            who = f"{watcher.__module__}.{getattr(watcher, '__qualname__', watcher)}"
            made.append(ControllerError(f"{who} fails at {said.NAME}: {type(error).__name__}: {error}"))
    return made


def encode(said: Event) -> dict[str, Any]:
    """An event as JSON; what is None by default, and is so, is left out."""
    made: dict[str, Any] = {"event": said.NAME}
    for each in dataclasses.fields(said):
        value = getattr(said, each.name)
        if value is not None or each.default is MISSING:
            made[each.metadata.get("json", each.name)] = list(value) if isinstance(value, tuple) else value
    return made


def decode(message: Json) -> Event:
    """The event of a JSON object, which may have more in it. Raises ``BadMessage``."""
    name = message.get("event")
    if not isinstance(name, str):
        raise BadMessage("it has no name")
    kind = EVENTS.get(name)
    if kind is None:
        raise BadMessage(f"no event is called {name}")
    said: Event = _filled(kind, message, name)
    return said


@cache
def _shape(kind: Any) -> tuple[tuple[str, str, Any, bool], ...]:
    """Attribute, key in JSON, type, and whether it must be there, of each field."""
    hints = get_type_hints(kind)
    return tuple(
        (each.name, each.metadata.get("json", each.name), hints[each.name], each.default is MISSING)
        for each in dataclasses.fields(kind)
    )


def value_of(value: Any, hint: Any, where: str) -> Any:
    """A value of JSON as one of this type: a plain one, a list or tuple of one, a choice, a dataclass, or one
    of several. ``where`` names it in what ``BadMessage`` says."""
    kind = get_origin(hint)
    if kind in (tuple, list) and isinstance(value, list):
        made = [value_of(each, get_args(hint)[0], where) for each in value]
        return made if kind is list else tuple(made)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _filled(hint, value, where)
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    choices = [each for one in allowed if get_origin(one) is Literal for each in get_args(one)]
    if value in choices and isinstance(value, str):
        return value
    plain = tuple(one for one in allowed if isinstance(one, type))
    if isinstance(value, bool):
        fits = bool in plain
    elif isinstance(value, int) and float in plain:
        return float(value)
    else:
        fits = isinstance(value, plain)
    if not fits:
        raise BadMessage(f"{where} is {value!r}")
    return value


def _filled(kind: Any, message: Json, where: str) -> Any:
    given: dict[str, Any] = {}
    for attribute, key, hint, needed in _shape(kind):
        if key in message:
            given[attribute] = value_of(message[key], hint, f"{where}: {key}")
        elif needed:
            raise BadMessage(f"{where} has no {key}")
    return kind(**given)


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
    """The tables of the same intent, because something has happened."""

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
    """A switch holds what it should: flows, groups and meters that were added and deleted for that."""

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
    """A change that is made in stages has come to the next."""

    stage: int
    of: int


@event("all-programmed")
@dataclass(frozen=True)
class AllProgrammed(Event):
    """Every switch there is holds what it should. ``intent``: the number of what they are programmed for."""

    seconds: float
    intent: int = 0

    def text(self, names: Names) -> str:
        return f"every switch is programmed in {self.seconds:.3f} s"


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
    """A station that the file does not know. ``was``: the port that it was behind before."""

    was: str | None = field(default=None, metadata={"json": "from"})


@event("aged")
@dataclass(frozen=True)
class StationAged(_Station):
    """One that was silent for so long that it is forgotten."""


@event("limited")
@dataclass(frozen=True)
class Limited(Event):
    """A host did more than it may."""

    switch: str
    port: int
    message: str


# Functions


@event("instance")
@dataclass(frozen=True)
class InstanceChanged(Event):
    """An instance takes part in forwarding from now on, or no more; ``state``: ``live`` or ``failed``."""

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
    """A load balancer's server gets connections from now on, or no more."""

    function: str
    backend: str
    up: bool
    reason: str

    def text(self, names: Names) -> str:
        return ""  # what the lab has told the controller, which is an event of the lab's already


@dataclass(frozen=True)
class _OfPacket(Event):
    """Something that a packet did: who it is from and to, as far as it says so, in EVE's names."""

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
    """A packet that a rule that logs (``default``: none does) has decided on, in a switch."""

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
    """So many ``packets`` more met such rules, which are not told one by one."""

    packets: int
    message: str

    def text(self, names: Names) -> str:
        return self.message


@event("nat-exhausted")
@dataclass(frozen=True)
class NatExhausted(_OfPacket):
    """A translator has no port or identifier left for this packet's connection."""

    function: str
    message: str

    def text(self, names: Names) -> str:
        return self.message
