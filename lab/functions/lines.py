"""The lines that functions' processes write, read as messages.

A process is a user's, or a newer program than this one: a line of a type that is not known, or whose fields
have other types than they should, is ``Unknown``. It is an event like others, but changes no state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.typed_json import BadMessage, Json
from lab.events.host_names import Names
from lab.functions import eve  # noqa: F401 - a type is known when its module is imported
from lab.functions.messages import MESSAGES, TEXT, Message, Pace

_ENVELOPE = ("event_type", "timestamp", "event", "number", "time", "function", "instance")


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
