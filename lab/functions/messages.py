"""The lines that functions' processes write (``nfv.contract``), as messages: one type for each.

``MESSAGES`` has the types by ``event_type``, and ``message`` registers one. A process is a user's, or a newer
program than this one: a line of a type that is not known, or whose fields have other types than they should,
is ``Unknown``. It is an event like others, but changes no state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from controller.typed_json import BadMessage, Json, filled
from lab.events.host_names import Names

Pace = Literal["event", "account", "measure"]
"""How often a message comes: an event seldom; an account of normal traffic often, and it must not displace
events; a measure all the time, and it is no event."""
MOST_COUNTERS = 64
TEXT = 8192
"""Characters of a text or traceback that are kept."""
_ENVELOPE = ("event_type", "timestamp", "event", "number", "time", "function", "instance")


@dataclass(frozen=True)
class Message:
    """What a process says. ``NAME``: its ``event_type``."""

    NAME: ClassVar[str] = ""
    PACE: ClassVar[Pace] = "event"

    @classmethod
    def of(cls, fields: Json) -> Message:
        """The message of a line's fields. Raises ``BadMessage``."""
        said: Message = filled(cls, fields, cls.NAME)
        return said

    def text(self, instance: str, flow: str) -> str:
        """One line for people. ``flow``: source and destination of the packet that it is about, or empty."""
        return f"{instance}: {self.NAME}" + (f" {flow}" if flow else "")


MESSAGES: dict[str, type[Message]] = {}
M = TypeVar("M", bound=type[Message])


def message(event_type: str) -> Callable[[M], M]:
    """Register a type of message."""

    def register(kind: M) -> M:
        kind.NAME = event_type
        MESSAGES[event_type] = kind
        return kind

    return register


@dataclass(frozen=True)
class Unknown(Message):
    """A message of a type that is not known, or not of the form that its type has."""

    event_type: str
    fields: Json

    def text(self, instance: str, flow: str) -> str:
        if flow:
            return f"{instance}: {self.event_type} {flow}"
        rest = ", ".join(
            f"{key} {value}"
            for key, value in self.fields.items()
            if key not in _ENVELOPE and not isinstance(value, (dict, list))
        )
        return f"{instance}: {self.event_type}" + (f": {rest}" if rest else "")


@dataclass(frozen=True)
class Line:
    """A line that a process has written: its ``fields`` as they are, and the message that they are."""

    event_type: str
    fields: Json
    message: Message
    pace: Pace

    def text(self, instance: str, function: str, names: Names) -> str:
        """One line for people, with the names of hosts."""
        return self.message.text(instance, names.flow(self.fields, function))


def read(line: bytes) -> Line | None:
    """What a process has written; None if it is no message."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return line_of(content) if isinstance(content, dict) else None


def line_of(content: Mapping[str, Any]) -> Line | None:
    """The line with this JSON object; None if it has no ``event_type``."""
    name = content.get("event_type")
    if not isinstance(name, str):
        return None
    fields = {
        key: value[-TEXT:] if key == "traceback" and isinstance(value, str) else value
        for key, value in content.items()
    }
    kind = MESSAGES.get(name)
    if kind is None:
        return Line(name, fields, Unknown(name, fields), Message.PACE)
    try:
        return Line(name, fields, kind.of(fields), kind.PACE)
    except BadMessage:
        return Line(name, fields, Unknown(name, fields), kind.PACE)


# Of all kinds of functions


@message("state")
@dataclass(frozen=True)
class State(Message):
    """The process works (``running``) or cannot work (anything else), and why; also the answer to
    ``replace``."""

    state: str
    message: str | None = None

    def text(self, instance: str, flow: str) -> str:
        why = f": {self.message}" if self.message else ""
        return f"{instance} {'is running' if self.state == 'running' else self.state}{why}"


@message("counters")
@dataclass(frozen=True)
class Counters(Message):
    """Numbers by the names of the kind's counters."""

    PACE: ClassVar[Pace] = "measure"
    numbers: Mapping[str, float]

    @classmethod
    def of(cls, fields: Json) -> Counters:
        numbers = {name: value for name, value in fields.items() if _is_number(value)}
        return cls(dict(list(numbers.items())[:MOST_COUNTERS]))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@message("exception")
@dataclass(frozen=True)
class Raised(Message):
    """A user's function has raised an exception."""

    traceback: str = ""
    message: str = "no message"

    def text(self, instance: str, flow: str) -> str:
        return f"{instance}: exception: {_exception_line(self.traceback) or self.message}"


def _exception_line(traceback: str) -> str:
    """The exception of a traceback: everything after the last line of the stack, in one line."""
    lines = [line for line in traceback.splitlines() if line.strip()]
    stack = [number for number, line in enumerate(lines) if line.startswith("  ")]
    return " ".join(line.strip() for line in (lines[stack[-1] + 1 :] if stack else lines[-1:]))


@message("log")
@dataclass(frozen=True)
class Log(Message):
    """A packet met a ``rule`` that logs; without a rule: a user's function has printed ``message``."""

    rule: str | None = None
    action: str | None = None
    verdict: str | None = None
    message: str | None = None

    def text(self, instance: str, flow: str) -> str:
        if self.rule is None and self.message is not None:
            return f"{instance}: {self.message}"
        decided = self.verdict or self.action
        words = (f"{instance}: rule {self.rule or '?'}", decided, flow)
        return " ".join(word for word in words if word)


@message("backend")
@dataclass(frozen=True)
class Backend(Message):
    """A backend of a balancer answers, or does not."""

    backend: str
    up: bool
    reason: str | None = None

    def text(self, instance: str, flow: str) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"{instance}: backend {self.backend} is {'up' if self.up else 'down'}{why}"


# Suricata's EVE (https://docs.suricata.io, "Eve JSON Format"): only what texts need


@dataclass(frozen=True)
class Signature:
    """The rule of an alert."""

    signature: str | None = None
    signature_id: int | None = None
    action: str | None = None


@message("alert")
@dataclass(frozen=True)
class Alert(Message):
    """A packet or a stream met a rule of the intrusion detection."""

    alert: Signature

    def text(self, instance: str, flow: str) -> str:
        what = "blocked" if self.alert.action == "blocked" else "alert"
        rule = self.alert.signature if self.alert.signature is not None else self.alert.signature_id
        return f"{instance}: {what} {'?' if rule is None else rule}: {flow}"


@message("stats")
@dataclass(frozen=True)
class Stats(Message):
    """Suricata's own counters; those of the contract come as ``counters``."""

    PACE: ClassVar[Pace] = "measure"


@dataclass(frozen=True)
class Account(Message):
    """Normal traffic, as the intrusion detection has seen it."""

    PACE: ClassVar[Pace] = "account"

    def details(self) -> tuple[object, ...]:
        """What is worth telling beside source and destination."""
        return ()

    def text(self, instance: str, flow: str) -> str:
        details = " ".join(str(detail) for detail in self.details() if detail not in (None, ""))
        return super().text(instance, flow) + (f": {details}" if details else "")


@dataclass(frozen=True)
class Packets:
    pkts_toserver: int
    pkts_toclient: int


@message("flow")
@dataclass(frozen=True)
class Flow(Account):
    flow: Packets | None = None

    def details(self) -> tuple[object, ...]:
        if self.flow is None:
            return ()
        return (f"{self.flow.pkts_toserver} packets there, {self.flow.pkts_toclient} back",)


@dataclass(frozen=True)
class Request:
    http_method: str | None = None
    hostname: str | None = None
    url: str | None = None
    status: int | str | None = None


@message("http")
@dataclass(frozen=True)
class Http(Account):
    http: Request = Request()

    def details(self) -> tuple[object, ...]:
        return (self.http.http_method, self.http.hostname, self.http.url, self.http.status)


@dataclass(frozen=True)
class Query:
    rrtype: str | None = None
    rrname: str | None = None


@dataclass(frozen=True)
class Lookup(Query):
    """Of one name, or of several ``queries``."""

    type: str | None = None
    queries: tuple[Query, ...] = ()


@message("dns")
@dataclass(frozen=True)
class Dns(Account):
    dns: Lookup = Lookup()

    def details(self) -> tuple[object, ...]:
        asked = self.dns.queries or (self.dns,)
        return (self.dns.type, *(word for query in asked[:3] for word in (query.rrtype, query.rrname)))


@dataclass(frozen=True)
class Session:
    version: str | None = None
    sni: str | None = None


@message("tls")
@dataclass(frozen=True)
class Tls(Account):
    tls: Session = Session()

    def details(self) -> tuple[object, ...]:
        return (self.tls.version, self.tls.sni)


@dataclass(frozen=True)
class Oddity:
    type: str | None = None
    event: str | None = None


@message("anomaly")
@dataclass(frozen=True)
class Anomaly(Account):
    anomaly: Oddity = Oddity()

    def details(self) -> tuple[object, ...]:
        return (self.anomaly.type, self.anomaly.event)


@message("ssh")
@dataclass(frozen=True)
class Ssh(Account):
    pass


@message("fileinfo")
@dataclass(frozen=True)
class FileInfo(Account):
    pass
