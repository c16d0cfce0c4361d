"""What is known of a process of Ryu apps from its reports, and how it is told. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from controller.ryu.reports import AppFailed, AppLoaded, HandlerFailed, Report, Started, SwitchReport

_NOT_THEIRS = re.compile(r"/(site|dist)-packages/|/lib/python3\.\d+/|/controller/ryu/")
"""In the path of a file that is not of the user: of os-ken, of Python, of the launcher."""


@dataclass(frozen=True)
class Told:
    """A text for the lab's events, and what belongs to it: a traceback has several lines."""

    event: str
    text: str
    data: dict[str, object] = field(default_factory=dict)


class AppReports:
    """The state of one process. ``switches``: datapath id, as a number -> the name of a switch."""

    def __init__(self, controller: str, switches: dict[int, str]) -> None:
        self._controller, self._switches = controller, switches
        self.started: Started | None = None
        self.failed: AppFailed | None = None
        self.loaded: list[AppLoaded] = []
        self.connected: dict[str, str] = {}
        """Switch -> the version of OpenFlow that it speaks with the apps."""
        self.crashes: dict[str, int] = {}
        """Traceback of a handler -> how often it came."""

    def take(self, report: Report) -> Told | None:
        """Take a report; what is to be told, if it is something new."""
        who = f"controller {self._controller}"
        match report:
            case Started():
                self.started = report
                web = f", its HTTP at port {report.wsapi}" if report.wsapi else ""
                return Told("app", f"{who} runs ({report.hub} threads){web}")
            case AppLoaded():
                self.loaded.append(report)
            case AppFailed():
                self.failed = report
                remedy = f"; {report.remedy}" if report.remedy else ""
                text = f"{who}: {report.app} can't run: {report.error}{remedy}"
                return Told("app", text, {"traceback": report.traceback, "file": report.file})
            case HandlerFailed():
                return self._crash(who, report)
            case SwitchReport():
                return self._switch(who, report)
        return None

    def _crash(self, who: str, report: HandlerFailed) -> Told | None:
        number = self.crashes[report.traceback] = self.crashes.get(report.traceback, 0) + 1
        if str(number).strip("0") != "1":  # the first, the tenth, the hundredth
            return None
        last = summary(report.traceback) or "it failed"
        times = f" ({number} times by now)" if number > 1 else ""
        text = f"{who}: {report.handler} of {report.app} failed: {last}{times}"
        return Told("app", text, {"traceback": report.traceback})

    def _switch(self, who: str, report: SwitchReport) -> Told | None:
        name = self._switches.get(int(report.dpid, 16))
        if name is None and report.state != "connected":
            return None  # one that it had: it was given to another controller
        if name is None:
            return Told("app", f"{who} has a switch that is not in this lab: {report.dpid}")
        if report.state == "connected":
            self.connected[name] = report.version
            return Told(
                "switch", f"switch {name} is connected to {self._controller}, OpenFlow {report.version}"
            )
        if self.connected.pop(name, None) is None:
            return None
        return Told("switch", f"switch {name} is not connected to {self._controller} any more")

    def keep(self, switches: Collection[str]) -> None:
        """From now on, only these switches are the controller's."""
        self.connected = {name: version for name, version in self.connected.items() if name in switches}

    @property
    def crashed(self) -> int:
        """How many handlers failed."""
        return sum(self.crashes.values())

    @property
    def last_crash(self) -> str:
        """The newest failure of a handler, in a line; empty: none failed."""
        return summary(next(reversed(self.crashes), ""))


def summary(traceback: str) -> str:
    """A traceback in a line: its exception, and the line of the app's file that led to it.

    An exception without words, like that of an assertion in os-ken, tells nothing without that line.
    """
    last = (traceback.strip().splitlines() or [""])[-1]
    frames = re.findall(r'^  File "([^"]+)", line (\d+)', traceback, re.MULTILINE)
    own = [(file, line) for file, line in frames if not _NOT_THEIRS.search(file)]
    if not own:
        return last
    file, line = own[-1]
    return f"{last} ({file.rpartition('/')[2]}, line {line})"
