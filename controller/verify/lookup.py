"""A flow table asked about a class of packets: which flow each part of the class matches. Pure.

Flows with the same fields and masks are a dictionary, as in ``controller.simulate.switch``. A field that is
not known yet has as many answers as flows that could match ask for, and one more: none of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import and_, is_, or_

from controller.flow.tables import Flow, Group, SwitchTables, Table
from controller.verify.packets import Packets, whole

_LATER = 2
"""The bit of ip_frag that later fragments have: those have no ports, and no types of ICMP."""
_AFTER_ADDRESSES = ("tcp_", "udp_", "sctp_", "icmp", "nd_")

Test = tuple[str, int, int]
"""A field's name, value and mask."""
Asked = tuple[str, int]


def tests_of(flow: Flow) -> tuple[Test, ...]:
    """What a flow asks, in the order of its match; and that a packet whose ports it asks is no later
    fragment."""
    tests: list[Test] = []
    whole_packets = False
    for name, value, mask in flow.match:
        if not whole_packets and name.startswith(_AFTER_ADDRESSES):
            tests.append(("ip_frag", 0, _LATER))
            whole_packets = True
        every = whole(name)
        asked = every if mask is None else mask & every
        tests.append((name, value & asked, asked))
    return tuple(tests)


class _Shape:
    """The flows of a table that ask the same, the one of highest priority for each set of values."""

    def __init__(self, asked: tuple[Asked, ...]) -> None:
        self.asked = asked
        self.flows: dict[tuple[int, ...], Flow] = {}
        self.highest = -1
        self._fixed: tuple[Test, ...] | None = None
        self._parts: dict[tuple[int, ...], dict[tuple[int, ...], list[tuple[tuple[int, ...], Flow]]]] = {}

    def add(self, values: tuple[int, ...], flow: Flow) -> None:
        if values not in self.flows or self.flows[values].priority < flow.priority:
            self.flows[values] = flow
            self._fixed = None
            self.highest = max(self.highest, flow.priority)

    @property
    def fixed(self) -> tuple[Test, ...]:
        """What all of these flows ask alike: of each field, the bits that are the same in all."""
        if self._fixed is None:
            tests = []
            for (name, mask), column in zip(self.asked, zip(*self.flows, strict=True), strict=True):
                common = mask & ~(reduce(or_, column) ^ reduce(and_, column))
                if common:
                    tests.append((name, column[0] & common, common))
            self._fixed = tuple(tests)
        return self._fixed

    def possible(
        self, places: tuple[int, ...], values: tuple[int, ...]
    ) -> Sequence[tuple[tuple[int, ...], Flow]]:
        """The flows with these values at these places of what they ask, those of high priority first."""
        part = self._parts.get(places)
        if part is None:
            part = self._parts[places] = {}
            for key, flow in sorted(self.flows.items(), key=lambda item: -item[1].priority):
                part.setdefault(tuple([key[place] for place in places]), []).append((key, flow))
        return part.get(values, ())


class TableIndex:
    """One table."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        shapes: dict[tuple[Asked, ...], _Shape] = {}
        for flow in flows:
            tests = tests_of(flow)
            asked = tuple([(name, mask) for name, _, mask in tests])
            if asked not in shapes:
                shapes[asked] = _Shape(asked)
            shapes[asked].add(tuple([value for _, value, _ in tests]), flow)
        self._shapes = sorted(shapes.values(), key=lambda shape: -shape.highest)

    def split(self, packets: Packets) -> list[tuple[Packets, Flow | None]]:
        """The parts of a class with the flow that each matches; None: no flow."""
        parts: list[tuple[Packets, Flow | None]] = []
        waiting = [packets]
        while waiting:
            part = waiting.pop()
            flow, question = self.answer(part)
            if question is None:
                parts.append((part, flow))
                continue
            name, mask, values = question
            others = part.where_not(name, values, mask)
            if others is not None:
                waiting.append(others)
            for value in values:
                some = part.where(name, value, mask)
                if some is not None:
                    waiting.append(some)
        return parts

    def answer(self, packets: Packets) -> tuple[Flow | None, tuple[str, int, list[int]] | None]:
        """The flow that the class matches; or what to ask first: a field, a mask, and the values that
        matter."""
        best: Flow | None = None
        priority = -1
        top: tuple[Flow, tuple[int, ...], _Shape, int] | None = None
        bits, decide = packets.bits, packets.decide
        for shape in self._shapes:
            if priority >= shape.highest:
                break
            values: list[int] = []
            unknown = -1
            for place, (name, mask) in enumerate(shape.asked):
                value = bits(name, mask)
                if value is None:
                    unknown = place
                    break
                values.append(value)
            if unknown < 0:
                flow = shape.flows.get(tuple(values))
                if flow is not None and flow.priority > priority:
                    best, priority = flow, flow.priority
                continue
            if any(decide(*test) is False for test in shape.fixed):
                continue
            places = list(range(unknown))
            for place in range(unknown + 1, len(shape.asked)):
                value = bits(*shape.asked[place])
                if value is not None:
                    places.append(place)
                    values.append(value)
            name, mask = shape.asked[unknown]
            for key, flow in shape.possible(tuple(places), tuple(values)):
                if flow.priority <= priority or (top is not None and flow.priority <= top[0].priority):
                    break
                if self._may_match(packets, shape.asked, key):
                    top = flow, key, shape, unknown
                    break
        if top is None or top[0].priority <= priority:
            return best, None
        _, _, shape, unknown = top
        name, mask = shape.asked[unknown]
        known_places = [
            place
            for place in range(len(shape.asked))
            if place != unknown and bits(*shape.asked[place]) is not None
        ]
        known_values = tuple([bits(*shape.asked[place]) or 0 for place in known_places])
        wanted = dict.fromkeys(
            key[unknown]
            for key, flow in shape.possible(tuple(known_places), known_values)
            if flow.priority > priority and packets.decide(name, key[unknown], mask) is not False
        )
        return None, (name, mask, list(wanted))

    @staticmethod
    def _may_match(packets: Packets, asked: tuple[Asked, ...], key: tuple[int, ...]) -> bool:
        decide = packets.decide
        return all(
            decide(name, value, mask) is not False for (name, mask), value in zip(asked, key, strict=True)
        )


class SwitchIndex:
    """One switch's tables, made ready when they are asked. ``before``: other tables of this switch; what is
    the same in these need not be made ready again."""

    def __init__(self, tables: SwitchTables, before: SwitchIndex | None = None) -> None:
        self.tables, self._before = tables, before
        self.groups: dict[int, Group] = {group.id: group for group in tables.groups}
        by_table: dict[Table, list[Flow]] = {}
        for flow in tables.flows:
            by_table.setdefault(flow.table, []).append(flow)
        self.by_table = by_table
        self._indexes: dict[Table, TableIndex] = {}

    def split(self, table: Table, packets: Packets) -> list[tuple[Packets, Flow | None]]:
        """The parts of a class with the flow of a table that each matches."""
        return self.index(table).split(packets)

    def index(self, table: Table) -> TableIndex:
        """One of its tables."""
        index = self._indexes.get(table)
        if index is None:
            index = self._indexes[table] = self._as_before(table) or TableIndex(self.by_table.get(table, ()))
        return index

    def _as_before(self, table: Table) -> TableIndex | None:
        """The index of a table that has the very flows of before."""
        if self._before is None:
            return None
        flows, before = self.by_table.get(table, []), self._before.by_table.get(table, [])
        return (
            self._before.index(table) if len(flows) == len(before) and all(map(is_, flows, before)) else None
        )
