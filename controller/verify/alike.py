"""Answers of a switch that are the same for whoever asks, computed once for all. Pure.

An answering flow of table RESOLVE, and the tables after it, don't ask who asks: what they do is computed for
a class with any asker, whose fields are variables, at a port that no switch has. It holds for all askers for
which the registers are the same, as long as no flow of these tables asks for a port.
"""

from __future__ import annotations

from typing import NamedTuple

from controller.flow.tables import Clone, Flow, Resubmit, SwitchTables, Table, ToGroup
from controller.simulate.fragments import PIPELINE
from controller.verify.lookup import SwitchIndex, tests_of
from controller.verify.outcomes import Fabric
from controller.verify.packets import Frame, Packets, Store
from controller.verify.states import State
from controller.verify.switch import Switch, Way
from controller.verify.values import FREE, narrowed, width
from wire.mac import GROUP_BIT

_ANY_PORT = 0xFEFE
"""In place of the port of whoever asks; no port has this number."""


class Reduced(NamedTuple):
    """A switch without the answers that are known to go back to whoever asks and nowhere else, for frames of
    one state. What these flows take away from others is left to the others, too."""

    switch: Switch
    answers: tuple[Flow, ...]


class Alike:
    """The answers of all switches of a fabric."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._after: dict[tuple[str, Table], tuple[int, ...] | None] = {}
        self._sent: dict[object, Packets | None] = {}
        self._harmless: dict[object, bool] = {}
        self.matched: dict[str, set[int]] = {}
        """Switch -> cookies of flows of RESOLVE that some question finds."""

    def asking(self, start: State) -> tuple[Packets, ...] | None:
        """The packets of a state as they come into table RESOLVE; None: something is written into them, or
        sent, before."""
        ways = self._fabric.switch(start.at.switch).ways(start.packets, start.table, Table.RESOLVE)
        coming = [way for way in ways if way.onward]
        if not coming or any(way.sent for way in ways):
            return None
        frames = [way.packets.frame for way in coming]
        if any(frame != frames[0] for frame in frames):
            return None
        if not all(name.startswith(PIPELINE) for name in frames[0]):
            return None
        return tuple(way.packets for way in coming)

    def answer(self, name: str, flow: Flow, pipeline: Frame, known: Store) -> Packets | None:
        """The one frame that a flow of RESOLVE sends back to whoever sent packets of which this is known.
        None: it may do something else."""
        after = self._later(name, flow)
        if after is None:
            return None
        key = flow.cookie, after, _asker(pipeline), tuple(sorted(known.items()))
        if key not in self._sent:
            self._sent[key] = self._answered(name, flow, pipeline, known)
        return self._sent[key]

    def _later(self, name: str, flow: Flow) -> tuple[int, ...] | None:
        """The flows of the table after RESOLVE that an answer passes, by their cookies. None: they may ask
        for its port, or it goes elsewhere."""
        if not _is_simple(flow):
            return None
        if flow.goto is None:
            return ()
        key = name, flow.goto
        if key not in self._after:
            here = self._fabric.switch(name).index.by_table.get(flow.goto, [])
            simple = all(
                _is_simple(other)
                and other.goto is None
                and all(test.name != "in_port" for test in other.match)
                for other in here
            )
            self._after[key] = tuple([other.cookie for other in here]) if simple else None
        return self._after[key]

    def _answered(self, name: str, flow: Flow, pipeline: Frame, known: Store) -> Packets | None:
        switch = self._fabric.switch(name)
        packets = Packets({**pipeline, "in_port": _ANY_PORT}, known)
        ends: list[Way] = []
        for way in switch.apply(flow.actions, [Way(packets)]):
            if way.ends or flow.goto is None:
                ends.append(way)
            else:
                ends += switch.lookup(way, flow.goto)
        if len(ends) != 1 or [port for port, _ in ends[0].sent] != [_ANY_PORT] or ends[0].lost:
            return None
        return Packets(ends[0].sent[0][1], ends[0].packets.known)

    def reduced(self, start: State) -> Reduced | None:
        """The switch of a state of all frames from a port, without answers; None: they all count."""
        coming = self.asking(start)
        if coming is None:
            return None
        name, pipeline = start.at.switch, coming[0].frame
        asker = _asker(pipeline)
        tables = self._fabric.switch(name).index.tables
        answers: list[Flow] = []
        kept: list[Flow] = []
        for flow in tables.flows:
            if flow.table is Table.RESOLVE:
                key = flow.cookie, self._later(name, flow), asker
                if key not in self._harmless:
                    self._harmless[key] = self._is_harmless(name, flow, pipeline)
                (answers if self._harmless[key] else kept).append(flow)
            elif flow.table is not Table.FORWARD:
                kept.append(flow)
        held = SwitchTables(tables.switch, tables.dpid, tuple(kept), tables.groups, tables.meters)
        return Reduced(Switch(SwitchIndex(held)), tuple(answers))

    def _is_harmless(self, name: str, flow: Flow, pipeline: Frame) -> bool:
        known: Store = {}
        for field, value, mask in tests_of(flow):
            if field.startswith(PIPELINE):
                continue
            narrow = narrowed(known.get(field, FREE), value, mask, width(field))
            if narrow is None:
                return False
            known[field] = narrow
        answer = self.answer(name, flow, pipeline, known)
        return (
            answer is not None
            and answer.decide("eth_src", 0, GROUP_BIT) is True
            and "vlan_vid" not in answer.frame
        )


def _asker(pipeline: Frame) -> object:
    """What is known of whoever asks, but for its port."""
    return tuple(sorted((name, value) for name, value in pipeline.items() if name != "in_port"))


def _is_simple(flow: Flow) -> bool:
    return not any(isinstance(action, ToGroup | Resubmit | Clone) for action in flow.actions)
