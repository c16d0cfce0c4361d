"""Single tables: flows of one key, and flows that no packet can match since others take them all before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.flow.tables import Flow, SwitchTables, Table
from controller.flow.text import match_text
from controller.verify.lookup import SwitchIndex, TableIndex, tests_of
from controller.verify.packets import Frame, Packets, Store, is_zero
from controller.verify.report import KEYS, SHADOWED, Finding
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


def hidden(index: SwitchIndex, seen: Mapping[Table, frozenset[int]]) -> Iterator[Finding]:
    """Flows of one switch that no packet can match. ``seen``: the cookies of those that some packet has
    matched already."""
    for table, flows in index.by_table.items():
        matched = seen.get(table, frozenset())
        fields = {name for flow in flows for name, _, _ in tests_of(flow) if is_zero(name)}
        lookup = index.index(table)
        for flow in flows:
            if flow.match and flow.cookie not in matched and not _can_match(lookup, flow, fields):
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
