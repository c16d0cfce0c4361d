"""Whether a switch holds the flows and groups that something was proven of: its own list, octet by octet.

Open vSwitch reports actions exactly as they were sent. It reports the fields of a match in an order of its
own, and registers in pairs (OpenFlow 1.5.1's packet registers, 7.2.3.10); so matches are compared as sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from controller.flow.tables import Field, Flow, Group, SwitchTables
from controller.openflow import fields, messages
from controller.proof.values import whole

_PACKET_REGISTERS = 0x8001
_LEAST = 32


class Entry(NamedTuple):
    """A flow as a switch reports it. ``match`` and ``instructions`` are octets."""

    table: int
    priority: int
    idle_timeout: int
    cookie: int
    match: bytes
    instructions: bytes


def entries(body: bytes) -> Iterator[Entry]:
    """The flows of an OFPMP_FLOW_DESC reply (OpenFlow 1.5.1, 7.3.5.2). Raises ValueError."""
    start, end = 0, len(body)
    while start + _LEAST <= end:
        size = body[start] << 8 | body[start + 1]
        if size < _LEAST:
            raise ValueError(f"flow entry of {size} octets")
        match = start + 24
        stats = match + ((body[match + 2] << 8 | body[match + 3]) + 7) // 8 * 8
        instructions = stats + ((body[stats + 2] << 8 | body[stats + 3]) + 7) // 8 * 8
        yield Entry(
            body[start + 4],
            body[start + 6] << 8 | body[start + 7],
            body[start + 8] << 8 | body[start + 9],
            int.from_bytes(body[start + 16 : start + 24], "big"),
            body[match:stats],
            body[instructions : start + size],
        )
        start += size


class Comparing:
    """Compares what switches list with their tables. Equal flows of several switches are worked out once."""

    def __init__(self) -> None:
        self._as_held: dict[int, bytes] = {}

    def differences(
        self, tables: SwitchTables, bodies: Iterable[bytes], groups: Iterable[Group]
    ) -> Iterator[str]:
        """What a switch holds otherwise than ``tables`` say, in words. Raises ValueError."""
        wanted: Mapping[int, list[Flow]] = _by_cookie(tables.flows)
        absent = Counter(flow.cookie for flow in tables.flows)
        for body in bodies:
            for entry in entries(body):
                flows = wanted.get(entry.cookie)
                if flows is None:
                    yield f"it holds a flow in table {entry.table} that nobody wants"
                    continue
                absent[entry.cookie] -= 1
                if not self._is(flows[0], entry):
                    yield f"it holds another flow than: {flows[0].why}"
        for cookie, count in absent.items():
            if count > 0:
                yield f"it does not hold the flow: {wanted[cookie][0].why}"
            elif count < 0:
                yield f"it holds a flow twice: {wanted[cookie][0].why}"
        held = {group.id: group for group in groups}
        for group in tables.groups:
            if held.pop(group.id, None) != group:
                yield f"it holds another group than: {group.why}"
        for number in held:
            yield f"it holds a group {number} that nobody wants"

    def _is(self, flow: Flow, entry: Entry) -> bool:
        if (entry.table, entry.priority, entry.idle_timeout) != (
            flow.table,
            flow.priority,
            flow.idle_timeout,
        ):
            return False
        if entry.instructions != messages.instructions_of(flow):
            return False
        known = self._as_held.get(id(flow))
        if known is not None:
            return known == entry.match
        if _fields(entry.match) != reported(flow.match):
            return False
        self._as_held[id(flow)] = entry.match
        return True


def _by_cookie(flows: Iterable[Flow]) -> dict[int, list[Flow]]:
    by_cookie: dict[int, list[Flow]] = {}
    for flow in flows:
        by_cookie.setdefault(flow.cookie, []).append(flow)
    return by_cookie


def _fields(match: bytes) -> frozenset[bytes]:
    """The OXM fields of a match as it is reported."""
    start, end = 4, match[2] << 8 | match[3]
    some = []
    while start + 4 <= end:
        size = 4 + match[start + 3]
        some.append(match[start : start + size])
        start += size
    return frozenset(some)


def reported(match: Iterable[Field]) -> frozenset[bytes]:
    """The OXM fields as Open vSwitch reports them."""
    some: list[bytes] = []
    registers: dict[int, tuple[int, int]] = {}
    for name, value, mask in match:
        if not name.startswith("reg"):
            # a mask of all bits that a field has is none
            some.append(fields.encode(name, value, None if mask == whole(name) else mask))
            continue
        number = int(name[3:])
        shift = 0 if number % 2 else 32
        bits = 0xFFFFFFFF if mask is None else mask
        before = registers.get(number // 2, (0, 0))
        registers[number // 2] = before[0] | (value & bits) << shift, before[1] | bits << shift
    for number, (value, mask) in registers.items():
        exact = mask == (1 << 64) - 1
        head = _PACKET_REGISTERS << 16 | number << 9 | (8 if exact else 0x110)
        octets = value.to_bytes(8, "big") + (b"" if exact else mask.to_bytes(8, "big"))
        some.append(head.to_bytes(4, "big") + octets)
    return frozenset(some)
