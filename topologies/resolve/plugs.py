"""Which port number each end of a wire has: the file's, the running lab's, or the lowest free one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from topologies.model.values import Port
from topologies.resolve import wires
from topologies.resolve.functions import INSTANCE_PORT
from topologies.resolve.pinned import Kept
from topologies.syntax import units

Key = tuple[str, str]
"""What has ports: see ``topologies.resolve.pinned.Kept.ports``."""
KeptPorts = Mapping[Key, Mapping[int, Port]]
"""Key -> place of an end -> the port that the running lab has there."""


def keep(ends: Mapping[Key, Sequence[units.End]], kept: Kept, ports: wires.Ports) -> KeptPorts:
    """The running lab's ports that stay: on the same switches, and free. ``ports`` notes them as taken."""
    staying: dict[Key, dict[int, Port]] = {}
    for key, of_key in ends.items():
        for place, (end, port) in enumerate(zip(of_key, kept.ports.get(key, ()), strict=False)):
            if end.port is None and end.switch == port.switch and ports.keep(port, " ".join(key)):
                staying.setdefault(key, {})[place] = port
    return staying


class Plugs(NamedTuple):
    """Gives out the ports of ends within one phase: those that stay, else new ones of ``ports``."""

    ports: wires.Ports
    kept: Kept
    staying: KeptPorts

    def number(
        self, key: Key, ends: Sequence[units.End], least: int = 1, shunned: Collection[int] = ()
    ) -> tuple[Port, ...]:
        """The ports at these ends; new ones are none of the ``shunned``."""
        staying = self.staying.get(key, {})
        return tuple(
            staying.get(place) or self.ports.number(end, least, shunned) for place, end in enumerate(ends)
        )

    def service_port(self, side: str, name: str, end: units.End) -> Port:
        """A port of a load balancer (``at``), or of an instance's side.

        A new one gets a number that is not in use in the running lab: it is made, and its process at work,
        before the port that goes is taken away.
        """
        shunned = self.kept.in_use.get(end.switch, frozenset())
        return self.number((side, name), (end,), 1 if side == "at" else INSTANCE_PORT, shunned)[0]
