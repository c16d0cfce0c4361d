"""What the launcher of Ryu applications reports: one JSON object in each line of ``--report-fd``.

``line`` encodes a report, and ``parse`` decodes a line to one of ``REPORTS``'s types.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar, Literal

from controller.typed_json import BadMessage, filled, members

__all__ = [
    "REPORTS",
    "AppFailed",
    "AppLoaded",
    "BadMessage",
    "HandlerFailed",
    "Report",
    "Started",
    "SwitchReport",
    "line",
    "parse",
]


@dataclass(frozen=True)
class Report:
    """Something that the launcher reports. ``NAME``: its ``event`` in JSON."""

    NAME: ClassVar[str]


@dataclass(frozen=True)
class Started(Report):
    """All apps run and switches are accepted: at TCP port ``openflow`` (None: an inherited socket that has no
    port); ``wsapi`` is the port of the apps' HTTP server, if an app wants one. ``versions``: what is offered
    to switches, as ``1.3``."""

    NAME: ClassVar[str] = "started"
    hub: Literal["eventlet", "native"]
    openflow: int | None
    wsapi: int | None
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class AppLoaded(Report):
    """An app's module is imported. ``app``: its class (its module's name if it has none), ``file``: an
    absolute path, ``versions``: the OpenFlow versions that it accepts, as ``1.3``."""

    NAME: ClassVar[str] = "app_loaded"
    app: str
    file: str
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class AppFailed(Report):
    """An app can't be loaded or started; the launcher ends with exit status 1. ``error`` is one line,
    ``remedy`` says what to do about it, if that is known."""

    NAME: ClassVar[str] = "app_failed"
    app: str
    file: str
    error: str
    traceback: str
    remedy: str | None = None


@dataclass(frozen=True)
class HandlerFailed(Report):
    """A handler or a thread of an app raised an exception; the app runs on. ``app``: its class."""

    NAME: ClassVar[str] = "handler_failed"
    app: str
    handler: str
    traceback: str


@dataclass(frozen=True)
class SwitchReport(Report):
    """A switch can be used by the apps, or its connection is over. ``dpid``: 16 hexadecimal digits,
    ``version``: of OpenFlow, as ``1.3``."""

    NAME: ClassVar[str] = "switch"
    dpid: str
    state: Literal["connected", "gone"]
    version: str


REPORTS: dict[str, type[Report]] = {
    kind.NAME: kind for kind in (Started, AppLoaded, AppFailed, HandlerFailed, SwitchReport)
}


def line(report: Report) -> str:
    """A report as a line of JSON, with its newline."""
    return json.dumps({"event": report.NAME, **members(report)}) + "\n"


def parse(text: str) -> Report:
    """The report that a line has. Raises ``BadMessage``: it has none that this version knows."""
    try:
        message = json.loads(text)
    except ValueError as problem:
        raise BadMessage(f"a report is no JSON: {problem}") from None
    if not isinstance(message, dict) or message.get("event") not in REPORTS:
        raise BadMessage(f"a report has an event of {', '.join(REPORTS)}, not {text.strip()[:80]}")
    name = message["event"]
    report: Report = filled(REPORTS[name], message, name)
    return report
