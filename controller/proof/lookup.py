"""A flow table asked about a batch of frames: which flow the frames to each target match. Pure.

Flows that ask for the same bits are a dictionary (tuple space search: Srinivasan et al., SIGCOMM 1999).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from controller.flow.tables import Flow
from controller.proof.values import Among, Asked, Members, Own, Sender, Store, Vector, bits, whole

_Others = tuple[tuple[int, int | Own], ...]
"""Places of what a shape asks for, and what frames have there."""


class Part(NamedTuple):
    """Targets whose frames match the same flow. None: no flow, or (``tie``) two that the switch may choose
    from."""

    flow: Flow | None
    numbers: Sequence[int]
    tie: bool = False


class _Shape:
    """The flows that ask for the same bits. ``tied``: some of them are equal but for what they do."""

    def __init__(self, asked: tuple[tuple[str, int], ...]) -> None:
        self.asked = asked
        self.flows: dict[tuple[int, ...], Flow] = {}
        self.occur: list[set[int]] = [set() for _ in asked]
        self.tied: set[tuple[int, ...]] = set()
        self.highest = -1
        self._values: dict[int, frozenset[int]] = {}
        self._questions: dict[object, _Matches] = {}
        self._among: dict[tuple[int, ...], dict[tuple[int, ...], dict[object, Flow]]] = {}

    def add(self, values: tuple[int, ...], flow: Flow) -> None:
        before = self.flows.get(values)
        if before is not None and before.priority == flow.priority and not same(before, flow):
            self.tied.add(values)
        if before is None or before.priority < flow.priority:
            self.tied.discard(values)
            self.flows[values] = flow
            for place, value in enumerate(values):
                self.occur[place].add(value)
            self.highest = max(self.highest, flow.priority)

    def matches(self, others: _Others, columns: tuple[tuple[int, Vector], ...], members: Members) -> _Matches:
        """The question which targets match; the same object for the same question."""
        key = (others, columns, members)
        question = self._questions.get(key)
        if question is None:
            question = self._questions[key] = _Matches(self, others, columns, members)
        return question

    def values(self, place: int) -> frozenset[int]:
        """All values that flows ask for at a place."""
        if place not in self._values:
            self._values[place] = frozenset(self.occur[place])
        return self._values[place]

    def among(self, places: tuple[int, ...], others: tuple[int, ...]) -> Mapping[object, Flow]:
        """The flows by their values at these places; ``others`` are those at all other places."""
        by_others = self._among.get(places)
        if by_others is None:
            by_others = self._among[places] = {}
            one = places[0] if len(places) == 1 else None
            for key, flow in self.flows.items():
                rest = tuple([value for place, value in enumerate(key) if place not in places])
                mine: object = key[one] if one is not None else tuple([key[place] for place in places])
                by_others.setdefault(rest, {})[mine] = flow
        return by_others.get(others, {})


class _Matches:
    """A question: which targets' frames match which flows of a shape, when some of the fields that the shape
    asks for are the sender's own and others differ between the targets. A sender's frames to itself don't
    count: nobody sends them."""

    __slots__ = ("_columns", "_members", "_others", "_places", "shape")

    def __init__(
        self,
        shape: _Shape,
        others: _Others,
        columns: Sequence[tuple[int, Vector]],
        members: Members,
    ) -> None:
        self.shape, self._others, self._members = shape, others, members
        self._places = tuple([place for place, _ in columns])
        self._columns = [(vector, shape.asked[place][1]) for place, vector in columns]

    def answer(self, sender: Sender) -> tuple[tuple[int, Flow], ...]:
        return tuple([match for match in self.of(sender) if match[0] != sender.number])

    def of(self, sender: Sender) -> list[tuple[int, Flow]]:
        """All that match."""
        known = [
            value if isinstance(value, int) else bits(value, self.shape.asked[place][1], sender)
            for place, value in self._others
        ]
        flows = self.shape.among(self._places, tuple(known))
        if not flows:
            return []
        columns = [self._members.by_value(vector, mask) for vector, mask in self._columns]
        if len(columns) == 1:
            # the fewer are looked up in the more
            numbers = columns[0]
            if len(flows) < len(numbers):
                pairs = [(n, flow) for key, flow in flows.items() for n in numbers.get(key, ())]  # type: ignore[call-overload]
            else:
                pairs = [(n, flows[key]) for key, some in numbers.items() if key in flows for n in some]
        else:
            pairs = []
            for number in self._members.numbers:
                key = tuple([vector.of[number] & mask for vector, mask in self._columns])
                if key in flows:
                    pairs.append((number, flows[key]))
        return pairs


class TableIndex:
    """One table."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        shapes: dict[tuple[tuple[str, int | None], ...], _Shape] = {}
        for flow in flows:
            key = tuple([(name, mask) for name, _, mask in flow.match])
            shape = shapes.get(key)
            if shape is None:
                asked = [(name, whole(name) if mask is None else mask & whole(name)) for name, mask in key]
                shape = shapes[key] = _Shape(tuple(asked))
            values = [value & mask for (_, value, _), (_, mask) in zip(flow.match, shape.asked, strict=True)]
            shape.add(tuple(values), flow)
        self._shapes = sorted(shapes.values(), key=lambda shape: -shape.highest)

    def split(self, members: Members, store: Store, asked: Asked) -> list[Part]:
        """The flows that the frames to the members match."""
        numbers = members.numbers
        every: Flow | None = None
        some: dict[int, Flow] = {}
        ties: set[int] = set()
        lowest = -1
        for shape in self._shapes:
            if every is not None and shape.highest < every.priority:
                break
            if len(some) == len(numbers) and shape.highest < lowest:
                break
            matches = _matched(shape, members, store, asked)
            if isinstance(matches, Flow):
                tied = bool(shape.tied)
                if every is None or matches.priority > every.priority:
                    every = matches
                elif matches.priority == every.priority and not same(matches, every):
                    tied = True
                if tied:
                    ties.update(n for n in numbers if n not in some or some[n].priority <= matches.priority)
                continue
            for number, flow in matches:
                before = some.get(number)
                if before is None or flow.priority > before.priority:
                    some[number] = flow
                    ties.discard(number)
                    if shape.tied:
                        ties.add(number)
                elif flow.priority == before.priority and not same(flow, before):
                    ties.add(number)
            if len(some) == len(numbers):
                lowest = min([flow.priority for flow in some.values()])
        return _parts(numbers, every, some, ties)


def _matched(
    shape: _Shape, members: Members, store: Store, asked: Asked
) -> Flow | Iterable[tuple[int, Flow]]:
    """The flow of a shape that all frames match, or the targets whose frames match some."""
    others: list[tuple[int, int | Own]] = []
    columns: list[tuple[int, Vector]] = []
    owned = False
    for place, (name, mask) in enumerate(shape.asked):
        field = store.get(name, 0)
        if isinstance(field, int):
            if field & mask not in shape.occur[place]:
                return ()
            others.append((place, field & mask))
        elif isinstance(field, Own):
            owned = True
            others.append((place, field))
        else:
            columns.append((place, field))
    if columns:
        matches = shape.matches(tuple(others), tuple(columns), members)
        return asked.ask(matches) if owned else matches.of(asked.sender)  # type: ignore[return-value]
    values: list[int] = []
    for place, have in others:
        mask = shape.asked[place][1]
        if isinstance(have, int):
            values.append(have)
        elif mask & mask - 1:
            value = asked.ask(Among(have, mask, shape.values(place)))
            if not isinstance(value, int):
                return ()
            values.append(value)
        else:
            values.append(asked.bits(have, mask))
    flow = shape.flows.get(tuple(values))
    return () if flow is None else flow


def same(one: Flow, other: Flow) -> bool:
    """Whether two flows do the same."""
    return one.actions == other.actions and one.goto == other.goto


def _parts(
    numbers: tuple[int, ...], every: Flow | None, some: Mapping[int, Flow], ties: set[int]
) -> list[Part]:
    if not some and not ties:
        return [Part(every, numbers)]
    parts: dict[int, tuple[Flow | None, list[int]]] = {}
    tied: list[int] = []
    for number in numbers:
        flow = some.get(number)
        if every is not None and (flow is None or every.priority >= flow.priority):
            if flow is not None and every.priority == flow.priority and not same(flow, every):
                tied.append(number)
                continue
            flow = every
        if number in ties:
            tied.append(number)
            continue
        part = parts.get(id(flow))
        if part is None:
            part = parts[id(flow)] = flow, []
        part[1].append(number)
    return [*(Part(*part) for part in parts.values()), *([Part(None, tied, True)] if tied else [])]
