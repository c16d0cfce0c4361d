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

from collections.abc import Iterator
from typing import Literal

from topologies.model.check import MODELS as MODELS
from topologies.model.check import WITHIN as WITHIN
from topologies.model.check import AnyCheck as AnyCheck
from topologies.model.check import Between as Between
from topologies.model.check import Check as Check
from topologies.model.check import Family, How, Result
from topologies.model.check import Protocol as Protocol
from topologies.model.check import Side as Side
from topologies.model.check import check_of as check_of
from topologies.model.checks_of_services import Balanced, Dns, Http, Latency, Rate
from topologies.model.checks_of_ways import (
    Alerts,
    Avoids,
    Encapsulated,
    FlowHeld,
    Sent,
    Survives,
    Traverses,
)


class Reachable(Between):
    """Packets arrive, and answers come back. ``port``: of TCP and UDP."""

    verb: Literal["reachable"]
    protocol: Protocol = "icmp"
    port: int | None = None

    @property
    def expected(self) -> str:
        return (
            f"{self.source.words} reaches {self.destination.words}{self.how_words(self.protocol, self.port)}"
        )


class Blocked(Between):
    """Something stops packets before they arrive. ``how``: None: in any way."""

    verb: Literal["blocked"]
    protocol: Protocol = "icmp"
    port: int | None = None
    how: How | None = None

    @property
    def expected(self) -> str:
        words = f"{self.source.words} is blocked from {self.destination.words}"
        how = {"drop": ", without an answer", "reset": ", with a reset", "icmp": ", with an ICMP error"}
        return words + self.how_words(self.protocol, self.port) + (how[self.how] if self.how else "")


class Tcp(Between):
    """What becomes of TCP connections to a port."""

    verb: Literal["tcp"]
    port: int
    result: Result = "connects"

    @property
    def expected(self) -> str:
        ends = f"{self.source.words} to {self.destination.words}{self.how_words('tcp', self.port)}"
        return f"{ends}: {self.result}"


class Isolated(Check):
    """Nothing gets from a host of one side to a host of another, in any network."""

    verb: Literal["isolated"]
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

    verb: Literal["command"]
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


MODELS.update(
    {
        "reachable": Reachable,
        "blocked": Blocked,
        "tcp": Tcp,
        "isolated": Isolated,
        "command": Command,
        "http": Http,
        "dns": Dns,
        "latency": Latency,
        "rate": Rate,
        "balanced": Balanced,
        "traverses": Traverses,
        "avoids": Avoids,
        "encapsulated": Encapsulated,
        "flow": FlowHeld,
        "alerts": Alerts,
        "packet": Sent,
        "survives": Survives,
    }
)
