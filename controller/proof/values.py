"""What is known of the frames from one sender to many targets at once. Pure.

A batch of frames is the same for all its targets, except for the fields that are a ``Vector``. What depends
on the sender is an ``Own`` field, and stays a name until a flow asks for its bits: so whatever no flow asks
about is computed once for all senders. This is symbolic execution of all frames of a network together; header
space analysis (Kazemian et al., NSDI 2012) calls such a batch a class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from controller.openflow.fields import FIELDS

_WIDTH = {name: 8 * oxm.size for name, oxm in FIELDS.items()} | {"vlan_vid": 13, "ip_frag": 2, "in_port": 16}
_PORTS = 16


def width(name: str) -> int:
    """Bits of a field."""
    return _WIDTH.get(name, _PORTS)


_WHOLE: dict[str, int] = {}


def whole(name: str) -> int:
    """The mask of all bits of a field."""
    mask = _WHOLE.get(name)
    if mask is None:
        mask = _WHOLE[name] = (1 << width(name)) - 1
    return mask


class Vector:
    """A field with a value for each target, at the target's number. Two vectors are equal only if they are
    the same object."""

    __slots__ = ("of",)

    def __init__(self, of: Sequence[int]) -> None:
        self.of = of


class Own(NamedTuple):
    """A field as the sender has set it in its field ``variable``, but for the bits of ``mask``, which are
    those of ``value``."""

    variable: str
    value: int = 0
    mask: int = 0


Value = int | Vector | Own
Store = dict[str, Value]
"""The fields of a batch; one that is not there is 0."""


class Members:
    """The targets of a batch, by their numbers. ``Targets.of`` gives the same object for the same numbers."""

    __slots__ = ("_by_value", "numbers")

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.numbers = numbers
        self._by_value: dict[tuple[Vector, int], dict[int, list[int]]] = {}

    def by_value(self, vector: Vector, mask: int) -> dict[int, list[int]]:
        """The targets by these bits of a field."""
        known = self._by_value.get((vector, mask))
        if known is None:
            known = self._by_value[vector, mask] = {}
            of = vector.of
            for number in self.numbers:
                known.setdefault(of[number] & mask, []).append(number)
        return known


class Targets:
    """All sets of targets that were asked for."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Members] = {}

    def of(self, numbers: Iterable[int]) -> Members:
        """The set of these targets, whose numbers rise."""
        key = tuple(numbers)
        members = self._known.get(key)
        if members is None:
            members = self._known[key] = Members(key)
        return members


class Sender(NamedTuple):
    """Who sends. ``fields``: its values of the variables; ``number``: its own among the targets."""

    fields: Mapping[str, int]
    number: int


class Question(Protocol):
    """Something about a sender that an outcome depends on."""

    def answer(self, sender: Sender) -> object:
        """The same for all senders for whom the outcome is the same."""


class Bits(NamedTuple):
    """Some bits of a field."""

    variable: str
    mask: int

    def answer(self, sender: Sender) -> object:
        return sender.fields[self.variable] & self.mask


class Among(NamedTuple):
    """Whether bits of a field have one of some values, and which."""

    own: Own
    mask: int
    values: frozenset[int]

    def answer(self, sender: Sender) -> object:
        value = bits(self.own, self.mask, sender)
        return value if value in self.values else None


def bits(own: Own, mask: int, sender: Sender) -> int:
    """Bits of a sender's field."""
    return (sender.fields[own.variable] & ~own.mask | own.value) & mask


class Asked:
    """The questions about the sender that outcomes depended on, while somebody counts them."""

    def __init__(self) -> None:
        self.sender = Sender({}, -1)
        self._levels: list[dict[Question, None]] = [{}]

    def begin(self) -> None:
        """What is asked from now on counts by itself."""
        self._levels.append({})

    def note(self, questions: Iterable[Question]) -> None:
        """These were asked."""
        self._levels[-1].update(dict.fromkeys(questions))

    def end(self) -> tuple[Question, ...]:
        """What was asked since ``begin``; it counts for what was begun before, too."""
        level = self._levels.pop()
        self._levels[-1].update(level)
        return tuple(level)

    def answers(self, questions: Iterable[Question]) -> tuple[object, ...]:
        """About the present sender."""
        return tuple([question.answer(self.sender) for question in questions])

    def ask(self, question: Question) -> object:
        """About the present sender."""
        self._levels[-1][question] = None
        return question.answer(self.sender)

    def bits(self, own: Own, mask: int) -> int:
        """Bits of a field of the present sender."""
        asked = mask & ~own.mask
        if asked:
            self._levels[-1][Bits(own.variable, asked)] = None
        return bits(own, mask, self.sender)


class Outcome(str):
    """Why targets don't get a frame as they should, in words. No outcome at all: they do."""


class Lost(Outcome):
    """Nothing arrives anywhere."""


class Wrong(Outcome):
    """Something arrives that should not."""


class Beyond(Outcome):
    """This computation can't tell."""


Outcomes = dict[int, Outcome | None]
"""By the target's number."""
