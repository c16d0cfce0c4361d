"""What functions' processes say (``nfv.contract``): one type for each kind of message.

``MESSAGES`` has the types by ``event_type``, and ``message`` registers one. ``lab.functions.lines`` reads the
lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from controller.typed_json import Json, filled

Pace = Literal["event", "account", "measure"]
"""How often a message comes: an event seldom; an account of normal traffic often, and it must not displace
events; a measure all the time, and it is no event."""
MOST_COUNTERS = 64
TEXT = 8192
"""Characters of a text or traceback that are kept."""


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
