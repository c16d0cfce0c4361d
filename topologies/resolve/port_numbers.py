"""The port number of each end of a wire: that of the file, of the running lab, or the lowest free one.
Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from topologies.model.values import Port
from topologies.resolve.functions import INSTANCE_PORT
from topologies.resolve.pinned import Kept
from topologies.syntax import units
from topologies.syntax.problem import Path, Report

Owners = Mapping[str, Mapping[int, str]]
"""Switch -> port number -> who has it, in words."""


class Ports:
    """Assigns port numbers within one phase: those that the file gives, then the lowest free ones.

    ``taken``: the numbers that earlier phases assigned; it is not changed. ``owners`` has them all.
    """

    def __init__(self, switches: Mapping[str, object], taken: Owners, report: Report) -> None:
        self.switches = switches
        self.report = report
        self._taken = taken
        self._owners: dict[str, dict[int, str]] = {}
        self._next: dict[tuple[str, int], int] = {}

    @property
    def owners(self) -> Owners:
        """All numbers that are taken so far, as a value that does not change later."""
        return {**self._taken, **{switch: dict(ports) for switch, ports in self._owners.items()}}

    def _taken_at(self, switch: str) -> dict[int, str]:
        """The taken numbers of a switch, in a copy that this phase may change."""
        ports = self._owners.get(switch)
        if ports is None:
            ports = self._owners[switch] = dict(self._taken.get(switch, ()))
        return ports

    def claim(self, path: Path, end: units.End, owner: str) -> bool:
        """Take the port of an end. False, with a problem, when the switch does not exist or the port
        is taken."""
        if end.switch not in self.switches:
            self.report.unknown(path, "switch", end.switch, self.switches, "switches")
            return False
        if end.port is None:
            return True
        taken = self._taken_at(end.switch)
        if end.port in taken:
            what = f"port {end.switch}:{end.port} is used by {taken[end.port]} already"
            self.report.add(path, what, remedy="take another number, or leave it out")
            return False
        taken[end.port] = f"{owner} (line {self.report.locate(path)})"
        return True

    def keep(self, port: Port, owner: str) -> bool:
        """Take a port that its owner has in the running lab. False when the file gives it to another."""
        if port.switch not in self.switches or port.number in self._taken_at(port.switch):
            return False
        self._taken_at(port.switch)[port.number] = owner
        return True

    def number(self, end: units.End, least: int = 1, shunned: Collection[int] = ()) -> Port:
        """The port of a claimed end. If the file gives no number: the first free one from ``least``
        on that is not in ``shunned``."""
        if end.port is not None:
            return Port(switch=end.switch, number=end.port)
        taken = self._taken_at(end.switch)
        number = self._next.get((end.switch, least), least)
        while number in taken or number in shunned:
            number += 1
        if not shunned:
            self._next[end.switch, least] = number + 1
        taken[number] = "something"
        if number > units.MAX_PORT:
            path = ("switches", end.switch)
            if number == units.MAX_PORT + 1:
                self.report.add(
                    path, "has more wires than ports", f"{units.MAX_PORT} ports", "use more switches"
                )
            number = units.MAX_PORT
        return Port(switch=end.switch, number=number)


Key = tuple[str, str]
"""Who has ports: see ``topologies.resolve.pinned.Kept.ports``."""
KeptPorts = Mapping[Key, Mapping[int, Port]]
"""Key -> index of an end -> its port in the running lab."""


def keep(ends: Mapping[Key, Sequence[units.End]], kept: Kept, ports: Ports) -> KeptPorts:
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

    ports: Ports
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
