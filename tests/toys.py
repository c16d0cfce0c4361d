"""An extension with one toy of each sort, as somebody else writes it: the product knows nothing of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from controller.compiler.pipeline import Part, add_stage
from controller.compiler.view import SwitchView
from controller.flow.builders import Priority, flow, miss
from controller.flow.tables import Field, Table
from controller.messages import AllProgrammed, Event, Names, event, watch
from topologies.importers.registry import IMPORTERS, Importer
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report

# An importer: "toy: 3" is a row of three switches, each with a host

IMPORTERS.append(Importer("Toy", (".toy",), (b"toy:",), __name__))


def read(raw: bytes, report: Report) -> Node:
    number = raw.split()[-1]
    if not number.isdigit():
        report.add((), "has no number of switches", "toy: NUMBER", "write one", line=1)
        raise Fatal
    names = [f"s{each}" for each in range(1, int(number) + 1)]
    links = [Node(1, f"{a} -- {b}") for a, b in pairwise(names)]
    return Node(
        1,
        {
            "name": Node(1, "toys"),
            "switches": Node(1, [Node(1, name) for name in names]),
            "hosts": Node(1, {f"h{name[1:]}": Node(1, name) for name in names}),
            "links": Node(1, links),
        },
    )


# A stage of the pipeline, with a table of its own: hosts may not use an experimental protocol (RFC 3692)

EXPERIMENT = 253


def compile_toy(here: SwitchView, after: Table) -> Part:
    if not here.access:
        return Part()
    experiment = (Field("eth_type", 0x0800), Field("ip_proto", EXPERIMENT))
    dropped = flow(TOY, Priority.SPECIAL, experiment, why="toy: an experiment is dropped")
    return Part([dropped, miss(TOY, after, "toy: all else goes on")])


TOY = add_stage("TOY", compile_toy, before=Table.CHAIN)


# An event, which follows from another


@event("toy")
@dataclass(frozen=True)
class ToyEvent(Event):
    intent: int

    def text(self, names: Names) -> str:
        return f"the toy has seen intent {self.intent}"


@watch
def toy(said: Event) -> Iterable[Event]:
    return [ToyEvent(said.intent)] if isinstance(said, AllProgrammed) else []
