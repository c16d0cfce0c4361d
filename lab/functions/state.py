"""The state of a function's instance, from the messages of its process. Pure, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lab.functions import messages
from lab.functions.messages import TEXT, Message

State = Literal["starting", "running", "failed", "dead", "stopped"]
MOST_BACKENDS = 256
_REASON = 200
"""Characters of a backend's reason that are kept."""


@dataclass
class InstanceRecord:
    """An instance: ``since`` is when its state began (Unix time), ``restarts`` counts restarts after it died.

    ``was_lost``: it died, failed or was stopped, and has not run since then.
    """

    name: str
    function: str
    state: State = "starting"
    message: str = ""
    since: float = 0.0
    pid: int = 0
    restarts: int = 0
    was_lost: bool = False
    counters: Mapping[str, float] = field(default_factory=dict)
    backends: dict[str, bool] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def become(self, state: State, message: str, now: float) -> None:
        """Set the state; in ``running`` it is no longer lost."""
        if state != self.state:
            self.since = now
        self.state, self.message = state, message[:TEXT]
        if state == "running":
            self.was_lost = False
        elif state != "starting":
            self.was_lost = True

    def take(self, message: Message, now: float) -> bool:
        """Process a message; whether the controller must be told."""
        match message:
            case messages.Counters(numbers):
                self.counters = numbers
            case messages.State(state, why) if self.state != "stopped":
                lost = self.was_lost
                self.become("running" if state == "running" else "failed", why or "", now)
                return lost != self.was_lost
            case messages.Backend(name, up, reason):
                if name in self.backends or len(self.backends) < MOST_BACKENDS:
                    changed = self.backends.get(name) != up
                    self.backends[name] = up
                    self.reasons[name] = (reason or "")[:_REASON]
                    return changed
        return False

    def failed(self, counts: bool) -> dict[str, str]:
        """The parts that don't work, under the controller's names, with reasons: the instance (if it
        ``counts``), and backends."""
        reasons = {
            f"{self.function}/{name}": self.reasons.get(name, "")
            for name, up in self.backends.items()
            if not up
        }
        if counts and self.was_lost:
            more = f": {self.message}" if self.message else ""
            reasons[self.name] = f"its process is {self.state}{more}"
        return reasons
