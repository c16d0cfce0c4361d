"""Which port number each end of a wire has: the file's, the running lab's, or the lowest free one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from topologies.model.values import Port
from topologies.resolve import wires
from topologies.resolve.functions import INSTANCE_PORT
from topologies.resolve.pinned import Kept
from topologies.syntax import units


class Plugs:
    """Port numbers: those that the file gives, those of the running lab, then the lowest free ones."""

    def __init__(self, ports: wires.Ports, kept: Kept) -> None:
        self.ports, self.kept = ports, kept
        self.found: dict[tuple[str, str], dict[int, Port]] = {}

    def keep(self, key: tuple[str, str], ends: Sequence[units.End]) -> None:
        """Take the numbers that the running lab has, where they are on the same switches and free."""
        old = self.kept.ports.get(key, ())
        for side, (end, port) in enumerate(zip(ends, old, strict=False)):
            if end.port is None and end.switch == port.switch and self.ports.keep(port, " ".join(key)):
                self.found.setdefault(key, {})[side] = port

    def number(
        self,
        key: tuple[str, str],
        ends: Sequence[units.End],
        least: int = 1,
        shunned: Collection[int] = (),
    ) -> tuple[Port, ...]:
        """The ports at these ends; new ones are none of the ``shunned``."""
        kept = self.found.get(key, {})
        return tuple(
            kept.get(side) or self.ports.number(end, least, shunned) for side, end in enumerate(ends)
        )

    def service_port(self, side: str, name: str, end: units.End) -> Port:
        """A port of a load balancer (``at``), or of an instance's side.

        A new one gets a number that is not in use in the running lab: it is made, and its process at work,
        before the port that goes is taken away.
        """
        shunned = self.kept.in_use.get(end.switch, frozenset())
        return self.number((side, name), (end,), 1 if side == "at" else INSTANCE_PORT, shunned)[0]
