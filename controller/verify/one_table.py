"""Single tables: flows of one key, and flows that no packet can match since others take them all before."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import combinations

from controller.flow.tables import Flow, Output, SwitchTables
from controller.flow.text import match_text
from controller.verify.lookup import SwitchIndex, TableIndex, tests_of
from controller.verify.packets import Frame, Packets, Store, is_zero
from controller.verify.report import KEYS, OVERLAPS, SHADOWED, WATCHED, Finding
from controller.verify.values import FREE, narrowed, width

_MOST = 4000
"""Parts of a flow's packets that are looked at before it counts as matched."""


def same_keys(tables: SwitchTables) -> Iterator[Finding]:
    """Flows that a switch can't hold beside each other (OpenFlow 1.5.1, 6.4): the later replaces the
    earlier."""
    known: dict[object, Flow] = {}
    for flow in tables.flows:
        key = (flow.table, flow.priority, frozenset(flow.match))
        other = known.setdefault(key, flow)
        if other is not flow:
            what = (
                f"{tables.switch}, table {flow.table.name}: two flows of priority {flow.priority} match "
                f"{match_text(flow.match)}: '{other.why}' and '{flow.why}'"
            )
            yield Finding(KEYS, what, "one flow for each key", flow.origin.entity or other.origin.entity)
    numbers: set[int] = set()
    for group in tables.groups:
        if group.id in numbers:
            yield Finding(
                KEYS, f"{tables.switch}: two groups have the number {group.id}", "one group for each number",
                group.origin.entity,
            )  # fmt: skip
        numbers.add(group.id)


def overlapping(index: SwitchIndex) -> Iterator[Finding]:
    """Flows of equal priority that do different things with some packet (OpenFlow 1.5.1, 5.3: the switch may
    choose either). It may come to the same further on, so this is a note. Flows of one key are no case of
    this."""
    for table, flows in index.by_table.items():
        by_priority: dict[int, dict[tuple[tuple[str, int], ...], list[Flow]]] = {}
        for flow in flows:
            asked = tuple([(name, mask) for name, _, mask in tests_of(flow)])
            by_priority.setdefault(flow.priority, {}).setdefault(asked, []).append(flow)
        for priority, shapes in by_priority.items():
            for (one, mine), (other, theirs) in combinations(shapes.items(), 2):
                for first, second in _meeting(one, mine, other, theirs):
                    if _do_the_same(first, second) or not can_both_match(first, second):
                        continue
                    above = TableIndex(flow for flow in flows if flow.priority > priority)
                    if _is_left(above, first, second):
                        what = (
                            f"{index.tables.switch}, table {table.name}: two flows of priority {priority} "
                            f"can match one packet: {match_text(first.match)} ({first.why}), and "
                            f"{match_text(second.match)} ({second.why})"
                        )
                        entity = first.origin.entity or second.origin.entity
                        expected = "one of them has a higher priority"
                        yield Finding(OVERLAPS, what, expected, entity, warning=True)


def _meeting(
    one: tuple[tuple[str, int], ...],
    mine: Iterable[Flow],
    other: tuple[tuple[str, int], ...],
    theirs: Iterable[Flow],
) -> Iterator[tuple[Flow, Flow]]:
    """The pairs of flows that ask for the same where both ask for the same bits."""
    common = [asked for asked in one if asked in other]

    def key(flow: Flow) -> tuple[int, ...]:
        values = {(name, mask): value for name, value, mask in tests_of(flow)}
        return tuple([values[asked] for asked in common])

    known: dict[tuple[int, ...], list[Flow]] = {}
    for flow in mine:
        known.setdefault(key(flow), []).append(flow)
    for flow in theirs:
        for first in known.get(key(flow), ()):
            yield first, flow


def _do_the_same(one: Flow, other: Flow) -> bool:
    return one.actions == other.actions and one.goto is other.goto


def can_both_match(one: Flow, other: Flow) -> bool:
    """Whether some packet can match both flows: no bit that both ask for differs."""
    mine: dict[str, tuple[int, int]] = {}
    for name, value, mask in tests_of(one):
        was = mine.get(name, (0, 0))
        mine[name] = was[0] | value, was[1] | mask
    for name, value, mask in tests_of(other):
        mine_value, mine_mask = mine.get(name, (0, 0))
        if (mine_value ^ value) & mine_mask & mask:
            return False
    return True


def _is_left(above: TableIndex, one: Flow, other: Flow) -> bool:
    """Whether flows of higher priority leave some packet that matches both."""
    tests = (*tests_of(one), *tests_of(other))
    known: Store = {}
    for name, value, mask in tests:
        narrow = narrowed(known.get(name, FREE), value, mask, width(name))
        if narrow is None:
            return False
        known[name] = narrow
    frame: Frame = {name: name for name, _, _ in tests if is_zero(name)}
    waiting = [Packets(frame, known)]
    for _ in range(_MOST):
        if not waiting:
            return False
        part = waiting.pop()
        answer, question = above.answer(part)
        if question is None:
            if answer is None:
                return True
            continue
        name, mask, values = question
        waiting += [some for value in values if (some := part.where(name, value, mask)) is not None]
        others = part.where_not(name, values, mask)
        if others is not None:
            waiting.append(others)
    return True


def unwatched(tables: SwitchTables) -> Iterator[Finding]:
    """Buckets that don't watch the port that they send by, in groups that go by which ports are alive."""
    for group in tables.groups:
        if group.kind != "ff" and all(bucket.watch_port is None for bucket in group.buckets):
            continue
        for number, bucket in enumerate(group.buckets):
            ports = [action.port for action in bucket.actions if isinstance(action, Output)]
            if ports and bucket.watch_port not in ports:
                watched = "no port" if bucket.watch_port is None else f"port {bucket.watch_port}"
                what = (
                    f"{tables.switch}, group {group.id} ({group.why}): bucket {number + 1} sends by port "
                    f"{ports[0]}, and watches {watched}"
                )
                yield Finding(WATCHED, what, "it watches the port that it sends by", group.origin.entity)


def hidden(index: SwitchIndex, seen: Container[int]) -> Iterator[Finding]:
    """Flows of one switch that no packet can match. ``seen``: the cookies of those that some packet has
    matched already."""
    for table, flows in index.by_table.items():
        fields = {name for flow in flows for name, _, _ in tests_of(flow) if is_zero(name)}
        lookup = index.index(table)
        for flow in flows:
            if flow.match and flow.cookie not in seen and not _can_match(lookup, flow, fields):
                what = (
                    f"{index.tables.switch}, table {table.name}: no packet can match "
                    f"{match_text(flow.match)} ({flow.why}): flows of higher priority take all of them"
                )
                yield Finding(
                    SHADOWED, what, "each flow matches some packet", flow.origin.entity, warning=True
                )


def _can_match(lookup: TableIndex, flow: Flow, fields: set[str]) -> bool:
    frame: Frame = {name: name for name in fields}
    known: Store = {}
    for name, value, mask in tests_of(flow):
        narrow = narrowed(known.get(name, FREE), value, mask, width(name))
        if narrow is None:
            return False
        known[name] = narrow
    waiting = [Packets(frame, known)]
    for _ in range(_MOST):
        if not waiting:
            return False
        part = waiting.pop()
        answer, question = lookup.answer(part)
        if question is None:
            if answer is not None and answer.priority == flow.priority and answer.match == flow.match:
                return True
            continue
        name, mask, values = question
        waiting += [some for value in values if (some := part.where(name, value, mask)) is not None]
        others = part.where_not(name, values, mask)
        if others is not None:
            waiting.append(others)
    return True
