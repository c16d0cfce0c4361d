"""Destinations as bits of a number, and what each switch does with frames to each of them. Pure.

These are the atoms of delta-net (Horn, Kheradmand, Prasad, NSDI 2017): all destinations that a switch treats
in the same way, but for the address itself, are one class there. A set of them is one number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from controller.flow.tables import Action, Clone, Flow, Group, Move, SwitchTables, Table, ToGroup
from controller.verify.lab import Lab
from controller.verify.lookup import tests_of
from controller.verify.packets import whole
from controller.verify.reads import PlainReads, Reads
from topologies.model.topology import Port
from wire.mac import mac_number

TABLES = (Table.CLASSIFY, Table.FORWARD)
"""Those that plain frames between switches pass."""
_ADDRESS = "eth_dst"


class Key(NamedTuple):
    """How a switch treats a destination. ``common``: the number of the switch's other flows. ``masked``: what
    these would say of its address. ``kind``: which fields of its frames matter elsewhere. ``flows``: those
    for it alone, without its address, with their groups' buckets."""

    switch: str
    common: int
    masked: tuple[bool, ...]
    kind: int
    flows: tuple[object, ...]


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
        self.home: dict[tuple[str, int], int] = {}
        for number, port in enumerate(self.ports):
            self.home[port.switch, port.number] = 1 << number


class Held:
    """One switch's tables, by destination. ``parts``: key -> the destinations of that key."""

    def __init__(self, tables: SwitchTables, to: Destinations, names: Names) -> None:
        self.tables, self._to, self._names = tables, to, names
        self.common: list[Flow] = []
        self.flows: dict[int, list[Flow]] = {}
        self.groups = {group.id: group for group in tables.groups}
        self._users: dict[int, int] = {}
        for flow in tables.flows:
            if flow.table in TABLES:
                number = _destination(flow, to)
                if number is None:
                    self.common.append(flow)
                else:
                    self.flows.setdefault(number, []).append(flow)
                    for group in _groups(flow.actions, self.groups, 0):
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
        self._shared = {group for flow in self.common for group in _groups(flow.actions, self.groups, 0)}
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
        for flows_, is_new in ((gone, False), (added, True)):
            for flow in flows_:
                if flow.table not in TABLES:
                    continue
                number = _destination(flow, self._to)
                if number is None or twice:
                    return self._whole(now, added, gone)
                if number not in flows:
                    flows[number] = [*self.flows.get(number, ())]
                if is_new:
                    flows[number].append(flow)
                else:
                    flows[number].remove(flow)
        groups = self.groups
        if now.groups != self.tables.groups:
            groups = {group.id: group for group in now.groups}
            for number in self.groups.keys() | groups.keys():
                old, new = self.groups.get(number), groups.get(number)
                if old is new or old == new:
                    continue
                if number in self._shared:
                    return self._whole(now, added, gone)
                for user in bits(self._users.get(number, 0)):
                    flows.setdefault(user, self.flows.get(user, []))
        parts: dict[Key, int] = {}
        changed = 0
        for number, those in flows.items():
            key = self._key(number, those, groups)
            if key is not self.keys[number]:
                changed |= 1 << number
                parts[key] = parts.get(key, 0) | 1 << number
        return Change(changed, parts, flows, groups, self.common, added, gone)

    def _whole(self, now: SwitchTables, added: list[Flow], gone: list[Flow]) -> Change:
        held = Held(now, self._to, self._names)
        return Change(self._to.all, held.parts, held.flows, held.groups, held.common, added, gone, whole=True)


class Change(NamedTuple):
    """What other tables change at a switch: for which destinations, with their keys, flows, and groups.
    ``whole``: flows that are not for one destination differ, too."""

    changed: int
    parts: dict[Key, int]
    flows: dict[int, list[Flow]]
    groups: Mapping[int, Group]
    common: list[Flow]
    added: list[Flow]
    gone: list[Flow]
    whole: bool = False


class Names:
    """Numbers for what is equal, so that it is compared once."""

    def __init__(self) -> None:
        self._pieces: dict[object, int] = {}
        self._by_flow: dict[object, int] = {}
        self._contents: dict[int, tuple[Group, int]] = {}
        self._numbers: dict[object, int] = {}
        self._keys: dict[Key, Key] = {}
        self._commons: dict[object, int] = {}

    def key(self, key: Key) -> Key:
        """The key, always as the same object."""
        return self._keys.setdefault(key, key)

    def common(self, flows: Iterable[Flow], groups: Mapping[int, Group]) -> int:
        """The number of the flows that a switch has for all destinations."""
        content = tuple([(flow.cookie, self._of(flow.actions, groups, 0)) for flow in flows])
        return self._commons.setdefault(content, len(self._commons))

    def piece(self, flow: Flow, groups: Mapping[int, Group]) -> int:
        """The number of a flow to one destination, without its address."""
        actions = flow.actions
        through: object = None
        if len(actions) == 1 and isinstance(actions[0], ToGroup):
            group = groups.get(actions[0].group)
            through = -1 if group is None else self._content(group, groups)
        elif any(isinstance(action, ToGroup | Clone) for action in actions):
            through = self._of(actions, groups, 0)
        known = self._by_flow.get((flow.cookie, through))
        if known is None:
            match = tuple([test for test in tests_of(flow) if test[0] != _ADDRESS])
            where = flow.table, flow.priority, flow.goto
            content = *where, match, self._of(actions, groups, 0)
            known = self._pieces.setdefault(content, len(self._pieces))
            self._by_flow[flow.cookie, through] = known
        return known

    def _content(self, group: Group, groups: Mapping[int, Group]) -> int:
        known = self._contents.get(id(group))
        if known is not None and known[0] is group:
            return known[1]
        content = self._of_group(group, groups, 0)
        number = self._numbers.setdefault(content, len(self._numbers))
        if all(
            not isinstance(action, ToGroup | Clone) for bucket in group.buckets for action in bucket.actions
        ):
            self._contents[id(group)] = group, number
        return number

    def _of_group(self, group: Group, groups: Mapping[int, Group], depth: int) -> object:
        buckets = tuple(
            [
                (self._of(bucket.actions, groups, depth + 1), bucket.watch_port, bucket.weight, bucket.id)
                for bucket in group.buckets
            ]
        )
        return group.kind, group.fields, buckets

    def _of(self, actions: Iterable[Action], groups: Mapping[int, Group], depth: int) -> object:
        """The content of actions, with that of their groups in place of their numbers."""
        content: list[object] = []
        for action in actions:
            if isinstance(action, ToGroup):
                group = groups.get(action.group)
                if group is None or depth > _DEEPEST:
                    content.append(("group", action.group))
                else:
                    content.append(("group", self._of_group(group, groups, depth)))
            elif isinstance(action, Clone):
                content.append(("clone", self._of(action.actions, groups, depth + 1)))
            else:
                content.append((type(action).__name__, *action))
        return tuple(content)


_DEEPEST = 4


def _destination(flow: Flow, to: Destinations) -> int | None:
    """The one destination that a flow is for; None: it is for several, or for none."""
    for field in flow.match:
        if field.name == _ADDRESS:
            if field.mask is not None and field.mask != whole(_ADDRESS):
                return None
            return to.bit.get(field.value)
    return None


def _groups(actions: Iterable[Action], groups: Mapping[int, Group], depth: int) -> Iterator[int]:
    for action in actions:
        if isinstance(action, ToGroup):
            yield action.group
            group = groups.get(action.group)
            for bucket in group.buckets if group is not None and depth <= _DEEPEST else ():
                yield from _groups(bucket.actions, groups, depth + 1)
        elif isinstance(action, Clone):
            yield from _groups(action.actions, groups, depth + 1)


def within(flows: Iterable[Flow], groups: Mapping[int, Group], reads: Reads) -> bool:
    """Whether flows to one destination read no more than this, and lead to no other table."""
    for flow in flows:
        if flow.goto not in (None, Table.FORWARD) or any(
            mask & ~reads.get(name, 0) for name, _, mask in tests_of(flow) if name != "in_port"
        ):
            return False
        actions = list(flow.actions)
        for number in _groups(flow.actions, groups, 0):
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
