"""A check of a topology file: what all verbs have, and the registry of their classes. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic_core.core_schema import SerializationInfo

from topologies.model.in_json import Converted
from topologies.model.values import Frozen

WITHIN = 5.0
"""Seconds within which a check must pass, if the file does not say."""
Family = Literal[4, 6]
Protocol = Literal["icmp", "tcp", "udp"]
How = Literal["drop", "reset", "icmp"]
"""How traffic is stopped: without an answer, with a TCP reset, with an ICMP error message."""
Result = Literal["connects", "refused", "filtered", "timeout"]
"""What becomes of a TCP connection: it is opened; the destination itself refuses it; something on the way
refuses it; no answer comes."""


class Side(Frozen):
    """The hosts on one side of a check. ``words``: as the file names them. ``names``: of hosts; as a
    destination also of functions that have addresses. No name is there twice."""

    words: str
    names: tuple[str, ...]


class Check(Frozen, ABC):
    """What must hold. ``name``: no two checks have the same. ``hint``: is shown when it does not hold.

    ``within``: seconds within which it must begin to hold.
    """

    alone: ClassVar[bool] = False
    """Whether it disturbs others, or is disturbed by them: then no other check runs beside it."""

    verb: str
    name: str = ""
    hint: str = ""
    within: float = WITHIN

    @property
    @abstractmethod
    def expected(self) -> str:
        """What it expects, in words."""

    @property
    def size(self) -> int:
        """The number of its pairs, or of what else it tries."""
        return 1


class Between(Check):
    """A check of all pairs of different hosts on two sides. ``family``: IPv4 or IPv6 only; None: all that
    both have."""

    source: Side
    destination: Side
    family: Family | None = None

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each pair of a source and a destination."""
        for a in self.source.names:
            for b in self.destination.names:
                if a != b:
                    yield a, b

    @property
    def size(self) -> int:
        a, b = self.source.names, self.destination.names
        return len(a) * len(b) - len({*a} & {*b})

    def how_words(self, protocol: Protocol, port: int | None) -> str:
        """What is sent, in words that follow the two ends."""
        words = "" if protocol == "icmp" else f", {protocol.upper()} {port}"
        return words + (f", IPv{self.family}" if self.family else "")


MODELS: dict[str, type[Check]] = {}
"""Verb -> the class of its checks. ``topologies.model.checks`` fills it."""


def check_of(**fields: Any) -> Check:
    """A check of the class for ``verb``. Raises ValueError, also (from pydantic) for a wrong field."""
    verb = fields.get("verb")
    model = MODELS.get(verb) if isinstance(verb, str) else None
    if model is None:
        raise ValueError(f"{verb!r} is no verb of checks: known are {', '.join(MODELS)}")
    return model(**fields)


def _read(value: Any) -> Any:
    return check_of(**value) if isinstance(value, dict) else value


def _write(check: Check, info: SerializationInfo) -> dict[str, Any]:
    return check.model_dump(mode=info.mode, exclude_defaults=info.exclude_defaults)


AnyCheck = Annotated[Check, Converted(_read, _write)]
"""A field with a check of any verb in ``MODELS``; it is written with all fields of its class."""
