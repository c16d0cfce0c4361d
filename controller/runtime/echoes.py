"""ICMP queries whose identifiers the controller changes for address translators
(``controller.compiler.functions.echoes``)."""

from __future__ import annotations

from controller.compiler.functions.echoes import READY, given_back, number_of, substituted, with_number
from controller.compiler.functions.nat import changed_identifiers
from controller.flow.builders import INSIDE, VERDICT
from controller.flow.tables import CONTROLLER, NO_PORT, Action, Resubmit, SetField, Table
from controller.runtime.commands import Command, Resume
from controller.runtime.verdicts import Punt
from topologies.model.topology import Topology

_LAST_PORT = 0xFEFF


class Echoes:
    """Knows which cookies are of such flows; it keeps no state of sessions."""

    def __init__(self, topology: Topology) -> None:
        self._known: dict[int, bool] = {}
        self._newest: dict[int, bool] = {}
        self.replace(topology)

    def replace(self, topology: Topology) -> None:
        """Another intent. Packets from the earlier intent's flows may still be on their way."""
        new = changed_identifiers(topology)
        self._known, self._newest = self._newest | new, new

    def packet(self, punt: Punt, now: float) -> list[Command] | None:
        """The commands for a packet-in; None when it holds no such query, or no other identifier is left."""
        outward = self._known.get(punt.cookie)
        if outward is None:
            return None
        number = number_of(punt.registers.get(VERDICT, 0))
        if outward:
            frame = substituted(punt.frame, punt.registers.get(INSIDE, 0), number)
            verdict = with_number(number + 1)
        else:
            frame, verdict = given_back(punt.frame, number), READY
        if frame is None:
            return None if outward else []
        registers = {**punt.registers, INSIDE: 0, VERDICT: verdict}
        again: list[Action] = [SetField(name, value) for name, value in sorted(registers.items()) if value]
        port = punt.port.number
        if port > _LAST_PORT:
            # it came to this hop from another switch (``controller.compiler.sff.forwarder``)
            again.append(SetField("in_port", NO_PORT))
            port = CONTROLLER
        return [Resume(punt.port.switch, port, (*again, Resubmit(Table.STEER)), frame)]
