"""Which of the lab's functions do not work: by probes, and by the lab's reports.

Names are those that the compiler takes as ``failed``: of an instance (``fw.1``), or of a load balancer's
backend (``lb/web1``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from controller.messages import BackendChanged, InstanceChanged
from controller.runtime.commands import Emit, Send
from controller.runtime.liveness import Changed, Liveness
from topologies.model.kinds import LoadBalancer
from topologies.model.topology import Port, Topology

MOST_REPORTED = 4096
"""Names that the lab may report as failed."""


class _Known(NamedTuple):
    """What a name stands for: a function, and one of its instances or (``backend``) its backends."""

    function: str
    part: str
    backend: bool


class Health:
    """``failed``: names that get no traffic now. ``why``: the last change in words."""

    def __init__(self, topology: Topology, liveness: Liveness, now: float = 0.0) -> None:
        self.liveness = liveness
        self.why = ""
        self._reported: dict[str, tuple[str, float]] = {}
        self.replace(topology, now)

    def replace(self, topology: Topology, now: float) -> None:
        """Another intent. Reports stay, but have no effect for names that it does not have."""
        self.liveness.replace(topology, now)
        self._known: dict[str, _Known] = {}
        for function in topology.functions:
            for instance in function.instances:
                self._known[instance.name] = _Known(function.name, instance.name, False)
            for backend in function.balancer.backends if isinstance(function, LoadBalancer) else ():
                name = backend_name(function.name, backend.host)
                self._known[name] = _Known(function.name, backend.host, True)
        self._recompute()

    def restore(self, failed: Iterable[str], now: float) -> None:
        """The failures that an earlier controller knew; they stay until the lab's next complete report."""
        names = frozenset(failed)
        self.liveness.restore(names, now)
        for name in names:
            if self.liveness.facts(name) is None:
                self._reported[name] = ("it had failed before the controller's start", now)
        self._recompute()

    def knows(self, name: str) -> bool:
        """Whether the intent has an instance or a backend of this name."""
        return name in self._known

    def reported(self, failed: Mapping[str, str], now: float) -> list[Emit]:
        """The lab's complete report: the processes and backends that have failed, with the reasons."""
        reasons = dict(list(failed.items())[:MOST_REPORTED])
        old = self._reported
        self._reported = {name: (why, old[name][1] if name in old else now) for name, why in reasons.items()}
        changed = sorted(old.keys() ^ reasons.keys())
        self._explain((name, name not in reasons) for name in changed if name in self._known)
        events = [
            event
            for name in changed
            for event in self._events_of(name, name not in reasons, reasons.get(name, ""))
        ]
        self._recompute()
        return events

    def report(self, name: str, up: bool, reason: str, now: float) -> list[Emit]:
        """The lab's report whether one instance or backend works."""
        others = {known: why for known, (why, _) in self._reported.items() if known != name}
        return self.reported(others if up else others | {name: reason}, now)

    def report_of(self, name: str) -> tuple[str, float] | None:
        """Why, and since when, the lab reports this as failed; None: it does not."""
        return self._reported.get(name)

    def tick(self, now: float, up: Callable[[Port], bool | None]) -> tuple[list[Send], list[Emit]]:
        """Probes to send, and events of what changed."""
        probes, changes = self.liveness.tick(now, up)
        return probes, self._changed(changes)

    def down(self, port: Port, now: float) -> list[Emit]:
        """A port went down."""
        return self._changed(self.liveness.down(port, now))

    def _changed(self, changes: list[Changed]) -> list[Emit]:
        # the lab's report of a failure comes before what probes show
        news = [change for change in changes if change.instance not in self._reported]
        self._explain((change.instance, change.state == "live") for change in news)
        if changes:
            self._recompute()
        return [Emit(InstanceChanged(**change._asdict())) for change in news]

    def _explain(self, changes: Iterable[tuple[str, bool]]) -> None:
        words = [f"{name} {'works' if up else 'has failed'}" for name, up in changes]
        self.why = "; ".join(words) or self.why

    def _events_of(self, name: str, up: bool, reason: str) -> list[Emit]:
        known = self._known.get(name)
        if known is None:
            return []
        if known.backend:
            return [Emit(BackendChanged(known.function, known.part, up, reason))]
        state = "live" if up else "failed"
        facts = self.liveness.facts(name)
        if up and facts is not None and facts.state != "live":
            return []  # its probes decide
        return [Emit(InstanceChanged(known.function, name, state, reason))]

    def _recompute(self) -> None:
        self.failed = frozenset((self.liveness.failed() | self._reported.keys()) & self._known.keys())


def backend_name(function: str, backend: str) -> str:
    """A backend's name in the compiler's ``failed``."""
    return f"{function}/{backend}"
