"""What is known of a process of Ryu apps from its reports, and how it is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.ryu.reports import AppFailed, AppLoaded, HandlerFailed, Report, Started, SwitchReport


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
        last = (report.traceback.strip().splitlines() or ["it failed"])[-1]
        times = f" ({number} times by now)" if number > 1 else ""
        text = f"{who}: {report.handler} of {report.app} failed: {last}{times}"
        return Told("app", text, {"traceback": report.traceback})

    def _switch(self, who: str, report: SwitchReport) -> Told | None:
        name = self._switches.get(int(report.dpid, 16))
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

    @property
    def crashed(self) -> int:
        """How many handlers failed."""
        return sum(self.crashes.values())

    @property
    def last_crash(self) -> str:
        """The last line of the newest traceback of a handler; empty: none failed."""
        newest = next(reversed(self.crashes), "")
        return (newest.strip().splitlines() or [""])[-1]
