"""The port number of each end of a wire: that of the file, of the running lab, or the lowest free one.
Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from topologies.model.values import Port
from topologies.resolve import wires
from topologies.resolve.functions import INSTANCE_PORT
from topologies.resolve.pinned import Kept
from topologies.syntax import units

Key = tuple[str, str]
"""Who has ports: see ``topologies.resolve.pinned.Kept.ports``."""
KeptPorts = Mapping[Key, Mapping[int, Port]]
"""Key -> index of an end -> its port in the running lab."""


def keep(ends: Mapping[Key, Sequence[units.End]], kept: Kept, ports: wires.Ports) -> KeptPorts:
    """The ports of the running lab that stay: their ends are on the same switches, and the file does not give
    them to others. Takes them in ``ports``."""
    staying: dict[Key, dict[int, Port]] = {}
    for key, of_key in ends.items():
        for place, (end, port) in enumerate(zip(of_key, kept.ports.get(key, ()), strict=False)):
            if end.port is None and end.switch == port.switch and ports.keep(port, " ".join(key)):
                staying.setdefault(key, {})[place] = port
    return staying


class Plugs(NamedTuple):
    """Assigns the ports of ends within one phase: those that stay, else new ones from ``ports``."""

    ports: wires.Ports
    kept: Kept
    staying: KeptPorts

    def number(
        self, key: Key, ends: Sequence[units.End], least: int = 1, shunned: Collection[int] = ()
    ) -> tuple[Port, ...]:
        """The ports of these ends; new numbers are not in ``shunned``."""
        staying = self.staying.get(key, {})
        return tuple(
            staying.get(place) or self.ports.number(end, least, shunned) for place, end in enumerate(ends)
        )

    def service_port(self, side: str, name: str, end: units.End) -> Port:
        """A port of a load balancer (``side`` is ``at``) or of an instance (``in`` or ``out``).

        A new port gets a number that the running lab does not use: it is added, and its process works, before
        the old port is removed.
        """
        shunned = self.kept.in_use.get(end.switch, frozenset())
        return self.number((side, name), (end,), 1 if side == "at" else INSTANCE_PORT, shunned)[0]
