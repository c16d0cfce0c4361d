"""Numbers for what is equal in the tables of a lab's switches, so that it is compared once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from controller.flow.tables import Action, Clone, Flow, Group, ToGroup
from controller.verify.lookup import tests_of

_ADDRESS = "eth_dst"
_DEEPEST = 4


class Key(NamedTuple):
    """How a switch treats a destination. ``common``: the number of the switch's other flows. ``masked``: what
    these would say of its address. ``kind``: which fields of its frames matter elsewhere. ``flows``: those
    for it alone, without its address, with their groups' buckets."""

    switch: str
    common: int
    masked: tuple[bool, ...]
    kind: int
    flows: tuple[object, ...]


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


def groups_of(actions: Iterable[Action], groups: Mapping[int, Group], depth: int) -> Iterator[int]:
    """The numbers of the groups that actions lead to."""
    for action in actions:
        if isinstance(action, ToGroup):
            yield action.group
            group = groups.get(action.group)
            for bucket in group.buckets if group is not None and depth <= _DEEPEST else ():
                yield from groups_of(bucket.actions, groups, depth + 1)
        elif isinstance(action, Clone):
            yield from groups_of(action.actions, groups, depth + 1)
