"""Which shares of connections a switch treats alike, so that one of each sort can stand for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.flow.tables import Action, Clone, Flow, Group, Move, SetField


def told_apart(flows: Iterable[Flow], groups: Iterable[Group], field: str, ways: int) -> tuple[int, ...]:
    """Of the shares 0 .. ``ways`` - 1 that ``Spread`` may write into ``field`` the least of each sort.

    Shares are of one sort when the flows that match them do the same to the same frames, whatever the field's
    bits above them are.  Where actions or groups compute with the field's own bits, all are told apart.
    """
    flows, groups = tuple(flows), tuple(groups)
    bits = (1 << (ways - 1).bit_length()) - 1
    actions = [*(flow.actions for flow in flows), *(b.actions for group in groups for b in group.buckets)]
    computed = any(_computes(action, field, bits) for some in actions for action in _all(some))
    if computed or any(field in group.fields for group in groups):
        return tuple(range(ways))
    effects: list[set[object]] = [set() for _ in range(ways)]
    for flow in flows:
        for match in flow.match:
            if match.name == field:
                mask = -1 if match.mask is None else match.mask
                others = tuple(other for other in flow.match if other is not match)
                above = (match.value & ~bits, mask & ~bits)
                effect = (flow.table, flow.priority, others, above, flow.actions, flow.goto)
                for share in _matching(match.value & bits, mask & bits, ways):
                    effects[share].add(effect)
    sorts: dict[frozenset[object], int] = {}
    for share, some in enumerate(effects):
        sorts.setdefault(frozenset(some), share)
    return tuple(sorts.values())


def _matching(value: int, mask: int, ways: int) -> Iterable[int]:
    if mask == (1 << (ways - 1).bit_length()) - 1:
        return (value,) if value < ways else ()
    return (share for share in range(ways) if share & mask == value)


def _all(actions: Iterable[Action]) -> Iterator[Action]:
    """Actions, and those inside of them."""
    for action in actions:
        yield action
        if isinstance(action, Clone):
            yield from _all(action.actions)


def _computes(action: Action, field: str, bits: int) -> bool:
    """Whether what an action leaves in some field depends on some of these bits of ``field``."""
    if isinstance(action, Move):
        return field in (action.src, action.dst)
    return (
        isinstance(action, SetField)
        and action.field == field
        and action.mask is not None
        and bool(action.mask & bits)
    )
