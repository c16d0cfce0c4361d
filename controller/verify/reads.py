"""Which fields of a frame between switches can matter to some switch further on. Pure.

Frames that differ in other fields only are one state: the frames of all hosts to one destination meet in the
states of that destination. It is decided by looking at flows alone, so it holds for every frame without a tag
of a chain; such a tag leads to tables that ask more, and there nothing is left out. In a lab without such
tags it holds for broadcasts, too, whose tag names a tree, with the tag kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.flow.tables import (
    Action,
    Clone,
    Ct,
    DecapNsh,
    EncapNsh,
    Flow,
    Group,
    Move,
    Resubmit,
    Table,
    ToGroup,
)
from controller.verify.lookup import SwitchIndex, tests_of
from wire.ethertype import NSH

_TAGGED = 0x1000
_ALL = (1 << 48) - 1
Reads = dict[str, int]
"""A field's name -> the bits that can matter."""


def is_plain(flow: Flow) -> bool:
    """Whether a flow can match frames without a tag."""
    for field in flow.match:
        if field.name == "vlan_vid" and field.value & _TAGGED:
            return False
        if field.name.startswith("nsh_") or (field.name == "eth_type" and field.value == NSH):
            return False
    return True


def is_of_a_tree(flow: Flow) -> bool:
    """Whether a flow matches frames with the tag of a broadcast's tree alone, and takes them to table FORWARD
    or nowhere."""
    fields = {field.name: field for field in flow.match}
    if flow.table is not Table.CLASSIFY or flow.goto not in (None, Table.FORWARD):
        return False
    return "vlan_pcp" in fields and fields["vlan_pcp"].value > 0


class PlainReads:
    """What matters of frames without a tag at ports between switches, and in table FORWARD.

    ``tags``: whether a frame's tag matters to some switch, other than that of a tree; ``trees``: whether that
    of a tree does.
    """

    def __init__(self, switches: Mapping[str, SwitchIndex], inner: Mapping[str, frozenset[int]]) -> None:
        self.tags = self.trees = False
        self._anywhere: Reads = {"eth_dst": _ALL}
        self._by_destination: dict[int, Reads] = {}
        self._all_matters: set[int | None] = set()
        self._merged: dict[int | None, Reads | None] = {}
        for name, index in switches.items():
            self._add(index, inner.get(name, frozenset()))

    def covers(self, other: PlainReads) -> bool:
        """Whether nothing matters to the other that does not matter here."""
        every = None in self._all_matters
        if (other.tags and not self.tags) or (other.trees and not self.trees):
            return False
        if not (every or other._all_matters <= self._all_matters):
            return False
        if not _within(other._anywhere, self._anywhere, {}):
            return False
        return all(
            _within(reads, self._anywhere, self._by_destination.get(destination, {}))
            for destination, reads in other._by_destination.items()
        )

    def covers_flow(self, flow: Flow, groups: Mapping[int, Group]) -> bool:
        """Whether it is plain that nothing more would matter with one more flow."""
        if not is_plain(flow):
            return self.tags or (self.trees and is_of_a_tree(flow))
        reads: Reads = {name: mask for name, _, mask in tests_of(flow) if name != "in_port"}
        onward: set[Table] = set()
        return (
            flow.goto in (None, Table.FORWARD)
            and _of_actions(flow.actions, groups, reads, onward)
            and not onward
            and _within(reads, self._anywhere, {})
        )

    def of(self, destination: int | None) -> Reads | None:
        """What matters of frames to this MAC address; to any, if that is not known. None: all may."""
        if destination not in self._by_destination and destination not in self._all_matters:
            destination = None if destination is None else -1
        if destination not in self._merged:
            self._merged[destination] = self._together(destination)
        return self._merged[destination]

    def _together(self, destination: int | None) -> Reads | None:
        matters = self._all_matters if destination is None else self._all_matters & {None, destination}
        if matters:
            return None
        reads = dict(self._anywhere)
        more = self._by_destination
        for other in more.values() if destination is None else [more.get(destination, {})]:
            for name, mask in other.items():
                reads[name] = reads.get(name, 0) | mask
        return reads

    def _add(self, index: SwitchIndex, ports: frozenset[int]) -> None:
        """What one switch reads."""
        entrance = index.by_table.get(Table.CLASSIFY, [])
        floor = min((_floor(entrance, port) for port in ports), default=1 << 16)
        tables: set[tuple[Table, int | None]] = set()
        waiting: list[tuple[Flow, int | None]] = []
        for flow in entrance:
            at = next((field.value for field in flow.match if field.name == "in_port"), None)
            if at in ports or (at is None and flow.priority >= floor):
                waiting.append((flow, None))
        tables.add((Table.FORWARD, None))
        waiting += [(flow, None) for flow in index.by_table.get(Table.FORWARD, ())]
        while waiting:
            flow, destination = waiting.pop()
            if not is_plain(flow):
                if is_of_a_tree(flow):
                    self.trees = True
                else:
                    self.tags = True
                continue
            exact = [field.value for field in flow.match if field.name == "eth_dst" and field.mask is None]
            if exact:
                if destination is not None and destination != exact[0]:
                    continue
                destination = exact[0]
            reads = self._anywhere
            if destination is not None:
                reads = self._by_destination.setdefault(destination, {})
            for name, _, mask in tests_of(flow):
                reads[name] = reads.get(name, 0) | mask
            onward: set[Table] = {flow.goto} if flow.goto is not None else set()
            if not _of_actions(flow.actions, index.groups, reads, onward):
                self._all_matters.add(destination)
            for table in onward:
                if (table, destination) not in tables and (table, None) not in tables:
                    tables.add((table, destination))
                    waiting += [(other, destination) for other in index.by_table.get(table, ())]


def _within(reads: Reads, anywhere: Reads, further: Reads) -> bool:
    return all(not mask & ~(anywhere.get(name, 0) | further.get(name, 0)) for name, mask in reads.items())


def _floor(entrance: Iterable[Flow], port: int) -> int:
    """The priority of the flow that takes all that come in by a port; -1: there is none."""
    return max(
        (
            flow.priority
            for flow in entrance
            if [field.name for field in flow.match if field.name != "tun_id"] == ["in_port"]
            and any(field.value == port for field in flow.match if field.name == "in_port")
        ),
        default=-1,
    )


def _of_actions(
    actions: Iterable[Action], groups: Mapping[int, Group], reads: Reads, onward: set[Table]
) -> bool:
    for action in actions:
        if isinstance(action, Ct | EncapNsh | DecapNsh):
            return False
        if isinstance(action, Move):
            bits = ((1 << action.bits) - 1) << action.src_bit
            reads[action.src] = reads.get(action.src, 0) | bits
        elif isinstance(action, Resubmit):
            onward.add(action.table)
        elif isinstance(action, Clone):
            if not _of_actions(action.actions, groups, reads, onward):
                return False
        elif isinstance(action, ToGroup):
            group = groups.get(action.group)
            for bucket in group.buckets if group is not None else ():
                if not _of_actions(bucket.actions, groups, reads, onward):
                    return False
    return True
