"""Events about hosts that exceed a limit: rare, however often a host does it."""

from __future__ import annotations

from controller.messages import Limited
from topologies.model.topology import Port


class LimitReports:
    """At most one event in ``interval`` seconds for each port and topic."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._reported: dict[tuple[Port, str], float] = {}

    def __len__(self) -> int:
        return len(self._reported)

    def report(self, port: Port, topic: str, words: str, now: float) -> list[Limited]:
        """The event with these words; nothing when there was one a short time before. ``now`` in seconds."""
        last = self._reported.get((port, topic))
        if last is not None and now - last < self._interval:
            return []
        self._reported[port, topic] = now
        return [Limited(port.switch, port.number, f"{port}: {words}")]
