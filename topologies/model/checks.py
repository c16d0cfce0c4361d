"""The checks of a topology file: a discriminated union; its discriminator is ``verb``. Pure.

A check says what must hold in the running lab; ``lab.checks`` finds out with packets whether it does. Checks
are no part of what a lab is: two topologies that differ only in checks are equal.

To add a verb, add an entry with its name to the registry of each floor that it concerns:

* ``topologies.model.checks.MODELS``: its class;
* ``topologies.syntax.checks_specification.VERBS``: the keys that a file may have;
* ``topologies.resolve.checks.RESOLUTIONS``: how these keys become the fields of its class;
* ``topologies.saving.checks.WRITERS``: how a saved file has it;
* ``lab.checks.verbs.VERBS``: how it is carried out.

All are ordinary dictionaries, which a test extends and restores.
"""

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

    def _how(self, protocol: Protocol, port: int | None) -> str:
        words = "" if protocol == "icmp" else f", {protocol.upper()} {port}"
        return words + (f", IPv{self.family}" if self.family else "")


class Reachable(Between):
    """Packets arrive, and answers come back. ``port``: of TCP and UDP."""

    verb: Literal["reachable"] = "reachable"
    protocol: Protocol = "icmp"
    port: int | None = None

    @property
    def expected(self) -> str:
        return f"{self.source.words} reaches {self.destination.words}{self._how(self.protocol, self.port)}"


class Blocked(Between):
    """Something stops packets before they arrive. ``how``: None: in any way."""

    verb: Literal["blocked"] = "blocked"
    protocol: Protocol = "icmp"
    port: int | None = None
    how: How | None = None

    @property
    def expected(self) -> str:
        words = f"{self.source.words} is blocked from {self.destination.words}"
        how = {"drop": ", without an answer", "reset": ", with a reset", "icmp": ", with an ICMP error"}
        return words + self._how(self.protocol, self.port) + (how[self.how] if self.how else "")


class Tcp(Between):
    """What becomes of TCP connections to a port."""

    verb: Literal["tcp"] = "tcp"
    port: int
    result: Result = "connects"

    @property
    def expected(self) -> str:
        ends = f"{self.source.words} to {self.destination.words}{self._how('tcp', self.port)}"
        return f"{ends}: {self.result}"


class Isolated(Check):
    """Nothing gets from a host of one side to a host of another, in any network."""

    verb: Literal["isolated"] = "isolated"
    sides: tuple[Side, ...]
    family: Family | None = None

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each pair of hosts of different sides, in both directions."""
        for number, a in enumerate(self.sides):
            for other, b in enumerate(self.sides):
                if number != other:
                    for source in a.names:
                        for destination in b.names:
                            if source != destination:
                                yield source, destination

    @property
    def size(self) -> int:
        sizes = [len(side.names) for side in self.sides]
        return sum(sizes) ** 2 - sum(size * size for size in sizes)

    @property
    def expected(self) -> str:
        *first, last = [side.words for side in self.sides]
        return f"{', '.join(first)} and {last} are isolated"


class Command(Check):
    """A command ends with an exit code and an output, in each host. ``output``: a regular expression that is
    in its output; empty: any output."""

    verb: Literal["command"] = "command"
    hosts: Side
    words: tuple[str, ...]
    line: str
    exit: int = 0
    output: str = ""

    @property
    def expected(self) -> str:
        output = f", output matches {self.output!r}" if self.output else ""
        return f"{self.hosts.words}: {self.line}: exit code {self.exit}{output}"

    @property
    def size(self) -> int:
        return len(self.hosts.names)


MODELS: dict[str, type[Check]] = {
    "reachable": Reachable,
    "blocked": Blocked,
    "tcp": Tcp,
    "isolated": Isolated,
    "command": Command,
}
"""Verb -> the class of its checks."""


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
