"""Destinations as bits of a number, and what each switch does with frames to each of them. Pure.

These are the atoms of delta-net (Horn, Kheradmand, Prasad, NSDI 2017): all destinations that a switch treats
in the same way, but for the address itself, are one class there. A set of them is one number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from controller.flow.tables import (
    Action,
    Clone,
    DecapNsh,
    EncapNsh,
    Flow,
    Group,
    Move,
    SetField,
    SwitchTables,
    Table,
)
from controller.verify.lab import Lab
from controller.verify.lookup import tests_of
from controller.verify.names import Key, Names, groups_of
from controller.verify.packets import whole
from controller.verify.reads import PlainReads, Reads
from topologies.model.topology import Port
from wire.mac import mac_number

TABLES = (Table.CLASSIFY, Table.FORWARD)
"""Those that plain frames between switches pass."""
_ADDRESS = "eth_dst"


class Destinations:
    """The MAC addresses at ports of the lab that are there once. Those of which all may matter are left
    out."""

    def __init__(self, lab: Lab, reads: PlainReads) -> None:
        times: dict[int, int] = {}
        for endpoint in lab.at.values():
            mac = mac_number(endpoint.mac)
            times[mac] = times.get(mac, 0) + 1
        self.macs: list[int] = []
        self.ports: list[Port] = []
        self.reads: list[Reads] = []
        self.kinds: list[int] = []
        numbers: dict[object, int] = {}
        for port, endpoint in lab.at.items():
            mac = mac_number(endpoint.mac)
            read = reads.of(mac)
            if times[mac] == 1 and read is not None:
                self.macs.append(mac)
                self.ports.append(port)
                self.reads.append(read)
                self.kinds.append(numbers.setdefault(tuple(sorted(read.items())), len(numbers)))
        self.bit = {mac: number for number, mac in enumerate(self.macs)}
        self.all = (1 << len(self.macs)) - 1
        self.by_kind: dict[int, int] = {}
        for number, kind in enumerate(self.kinds):
            self.by_kind[kind] = self.by_kind.get(kind, 0) | 1 << number
        self._missed: dict[tuple[int, int], bool] = {}
        self.home: dict[tuple[str, int], int] = {}
        for number, port in enumerate(self.ports):
            self.home[port.switch, port.number] = 1 << number

    def is_missed(self, flow: Flow) -> bool:
        """Whether a flow is for addresses only that are none of these, such as those of groups."""
        for name, value, mask in tests_of(flow):
            if name == _ADDRESS:
                missed = self._missed.get((value, mask))
                if missed is None:
                    missed = self._missed[value, mask] = all(mac & mask != value for mac in self.macs)
                if missed:
                    return True
        return False


class Held:
    """One switch's tables, by destination. ``parts``: key -> the destinations of that key. ``beside``: flows
    that no frame to a destination can match."""

    def __init__(self, tables: SwitchTables, to: Destinations, names: Names) -> None:
        self.tables, self._to, self._names = tables, to, names
        self.common: list[Flow] = []
        self.beside: list[Flow] = []
        self.flows: dict[int, list[Flow]] = {}
        self.groups = {group.id: group for group in tables.groups}
        self._users: dict[int, int] = {}
        # where addresses are written, a frame to a destination may become one to another address
        self._fixed = not any(flow.table in TABLES and _readdresses(flow.actions) for flow in tables.flows)
        self._fixed &= not any(
            _readdresses(bucket.actions) for group in tables.groups for bucket in group.buckets
        )
        for flow in tables.flows:
            if flow.table in TABLES:
                number = _destination(flow, to)
                if number is None:
                    (self.beside if self._fixed and to.is_missed(flow) else self.common).append(flow)
                else:
                    self.flows.setdefault(number, []).append(flow)
                    for group in groups_of(flow.actions, self.groups, 0):
                        self._users[group] = self._users.get(group, 0) | 1 << number
        # a flow to an address that is no destination here counts as one for all
        self.masked = sorted(
            {
                (mask, value)
                for flow in self.common
                for name, value, mask in tests_of(flow)
                if name == _ADDRESS
            }
        )
        self._common = names.common(self.common, self.groups)
        self._shared = {group for flow in self.common for group in groups_of(flow.actions, self.groups, 0)}
        self._cookies = {flow.cookie: flow for flow in tables.flows}
        self.keys = [
            self._key(number, self.flows.get(number, ()), self.groups) for number in range(len(to.macs))
        ]
        self.parts: dict[Key, int] = {}
        for number, key in enumerate(self.keys):
            self.parts[key] = self.parts.get(key, 0) | 1 << number

    def _key(self, number: int, flows: Iterable[Flow], groups: Mapping[int, Group]) -> Key:
        mac = self._to.macs[number]
        masked = tuple([mac & mask == value for mask, value in self.masked])
        pieces = sorted([self._names.piece(flow, groups) for flow in flows])
        name = self._names.key
        return name(Key(self.tables.switch, self._common, masked, self._to.kinds[number], tuple(pieces)))

    def name(self, flow: Flow) -> int:
        """The number of a flow to one destination, the same for flows that differ in the address alone."""
        return self._names.piece(flow, self.groups)

    def other(self, now: SwitchTables) -> Change:
        """What other tables of the switch change."""
        before = self._cookies
        added = [flow for flow in now.flows if flow.cookie not in before]
        left = before.keys() - {flow.cookie for flow in now.flows}
        gone = [before[cookie] for cookie in left]
        twice = len(before) != len(self.tables.flows) or len(now.flows) != len(before) - len(gone) + len(
            added
        )
        flows: dict[int, list[Flow]] = {}
        beside: list[Flow] = []
        for flows_, is_new in ((gone, False), (added, True)):
            for flow in flows_:
                if flow.table not in TABLES:
                    continue
                number = _destination(flow, self._to)
                if twice or (is_new and _readdresses(flow.actions)):
                    return self._whole(now, added, gone)
                if number is None:
                    if not self._fixed or not self._to.is_missed(flow):
                        return self._whole(now, added, gone)
                    if is_new:
                        beside.append(flow)
                    continue
                if number not in flows:
                    flows[number] = [*self.flows.get(number, ())]
                if is_new:
                    flows[number].append(flow)
                else:
                    flows[number].remove(flow)
        groups = self.groups
        if now.groups != self.tables.groups:
            groups = {group.id: group for group in now.groups}
            different: set[int] = set()
            for number in self.groups.keys() | groups.keys():
                old, new = self.groups.get(number), groups.get(number)
                if old is new or old == new:
                    continue
                if number in self._shared or (
                    new is not None and any(_readdresses(bucket.actions) for bucket in new.buckets)
                ):
                    return self._whole(now, added, gone)
                different.add(number)
                for user in bits(self._users.get(number, 0)):
                    flows.setdefault(user, self.flows.get(user, []))
            beside += [
                flow
                for flow in self.beside
                if not different.isdisjoint(groups_of(flow.actions, self.groups, 0))
            ]
        parts: dict[Key, int] = {}
        changed = 0
        for number, those in flows.items():
            key = self._key(number, those, groups)
            if key is not self.keys[number]:
                changed |= 1 << number
                parts[key] = parts.get(key, 0) | 1 << number
        return Change(changed, parts, flows, groups, self.common, added, gone, beside)

    def _whole(self, now: SwitchTables, added: list[Flow], gone: list[Flow]) -> Change:
        held = Held(now, self._to, self._names)
        return Change(
            self._to.all, held.parts, held.flows, held.groups, held.common, added, gone, [], whole=True
        )


class Change(NamedTuple):
    """What other tables change at a switch: for which destinations, with their keys, flows, and groups.
    ``beside``: flows for none of them that are new, or whose groups are others. ``whole``: flows that are not
    for one destination differ, too."""

    changed: int
    parts: dict[Key, int]
    flows: dict[int, list[Flow]]
    groups: Mapping[int, Group]
    common: list[Flow]
    added: list[Flow]
    gone: list[Flow]
    beside: list[Flow]
    whole: bool = False


def _readdresses(actions: Iterable[Action]) -> bool:
    """Whether actions may give a frame another destination address."""
    return any(
        (isinstance(action, SetField) and action.field == _ADDRESS)
        or (isinstance(action, Move) and action.dst == _ADDRESS)
        or (isinstance(action, Clone) and _readdresses(action.actions))
        or isinstance(action, EncapNsh | DecapNsh)
        for action in actions
    )


def _destination(flow: Flow, to: Destinations) -> int | None:
    """The one destination that a flow is for; None: it is for several, or for none."""
    for field in flow.match:
        if field.name == _ADDRESS:
            if field.mask is not None and field.mask != whole(_ADDRESS):
                return None
            return to.bit.get(field.value)
    return None


def within(flows: Iterable[Flow], groups: Mapping[int, Group], reads: Reads) -> bool:
    """Whether flows to one destination read no more than this, and lead to no other table."""
    for flow in flows:
        if flow.goto not in (None, Table.FORWARD) or any(
            mask & ~reads.get(name, 0) for name, _, mask in tests_of(flow) if name != "in_port"
        ):
            return False
        actions = list(flow.actions)
        for number in groups_of(flow.actions, groups, 0):
            for bucket in groups[number].buckets if number in groups else ():
                actions += bucket.actions
        for action in actions:
            if isinstance(action, Move):
                source = ((1 << action.bits) - 1) << action.src_bit
                if source & ~reads.get(action.src, 0):
                    return False
            elif type(action).__name__ not in ("Output", "ToGroup", "SetField"):
                return False
    return True


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits of a mask, the lowest first."""
    while mask:
        bit = mask & -mask
        yield bit.bit_length() - 1
        mask ^= bit
