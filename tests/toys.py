"""An extension with one toy of each sort, as somebody else writes it: the product knows nothing of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NoReturn

from controller.compiler.pipeline import Part, add_stage
from controller.compiler.view import SwitchView
from controller.flow.builders import Priority, flow, miss
from controller.flow.tables import Field, Table
from controller.messages import AllProgrammed, Event, Names, event, watch
from dataplane.hosts.driver import Door, Execute, Place
from dataplane.hosts.drivers import DRIVERS
from dataplane.hosts.namespace import NamespaceHosts
from nfv.contract import Program
from nfv.kinds import PROGRAMS
from topologies.importers.registry import IMPORTERS, Importer
from topologies.model.choices import HOST_KINDS
from topologies.model.functions import Function
from topologies.model.kinds import MODELS, taking
from topologies.model.values import Frozen
from topologies.resolve.kinds.context import Context
from topologies.resolve.kinds.registry import RESOLUTIONS, Resolution, inline
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report
from topologies.syntax.service_specification import KINDS, Engine, FunctionSpec

# An importer: "toy: 3" is a row of three switches, each with a host, the last of which is a toy; from the
# first to the last a toy function is in the way

IMPORTERS.append(Importer("Toy", (".toy",), (b"toy:",), __name__))


def read(raw: bytes, report: Report) -> Node:
    number = raw.split()[-1]
    if not number.isdigit():
        report.add((), "has no number of switches", "toy: NUMBER", "write one", line=1)
        raise Fatal
    names = [f"s{count}" for count in range(1, int(number) + 1)]
    function = {"kind": Node(1, "toy"), "switch": Node(1, "s1"), "greeting": Node(1, "hello")}
    links = [Node(1, f"{a} -- {b}") for a, b in pairwise(names)]
    return Node(
        1,
        {
            "name": Node(1, "toys"),
            "switches": Node(1, [Node(1, name) for name in names]),
            "hosts": Node(1, {f"h{name[1:]}": Node(1, host(name, names[-1])) for name in names}),
            "links": Node(1, links),
            "functions": Node(1, {"wire": Node(1, function)}),
            "chains": Node(
                1,
                {
                    "way": Node(
                        1,
                        {
                            "source": Node(1, "h1"),
                            "destination": Node(1, f"h{int(number)}"),
                            "functions": Node(1, [Node(1, "wire")]),
                        },
                    )
                },
            ),
        },
    )


def host(switch: str, last: str) -> str | dict[str, Node]:
    if switch != last:
        return switch
    return {"switch": Node(1, switch), "kind": Node(1, "toy"), "serves": Node(1, [Node(1, "http:80")])}


# A kind of host: a namespace whose commands find a variable


class ToyHosts(NamespaceHosts):
    def door(self, place: Place) -> ToyDoor:
        return ToyDoor(super().door(place))


class ToyDoor:
    def __init__(self, room: Door) -> None:
        self._room = room

    def run(self, command: Sequence[str], environment: Mapping[str, str], execute: Execute) -> NoReturn:
        self._room.run(command, {**environment, "TOY": "1"}, execute)


HOST_KINDS["toy"] = "a namespace whose commands find a variable"
DRIVERS["toy"] = ToyHosts()


# A stage of the pipeline, with a table of its own: hosts may not use an experimental protocol (RFC 3692)

EXPERIMENT = 253


def compile_toy(here: SwitchView, after: Table) -> Part:
    if not here.access:
        return Part()
    experiment = (Field("eth_type", 0x0800), Field("ip_proto", EXPERIMENT))
    dropped = flow(TOY, Priority.SPECIAL, experiment, why="toy: an experiment is dropped")
    return Part([dropped, miss(TOY, after, "toy: all else goes on")])


TOY = add_stage("TOY", compile_toy, before=Table.CHAIN)


# A kind of function: frames pass it as they are, and it says how many did; with a key that only it has

PROGRAM = b"""
import json, select, socket, sys, time

def say(event_type, **fields):
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000+0000", time.gmtime())
    print(json.dumps({"timestamp": now, "event_type": event_type, **fields}), flush=True)

ALL = socket.htons(3)
SOL_PACKET, PACKET_VNET_HDR, VNET_HDR_SIZE = 263, 15, 10  # packet(7), linux/virtio_net.h
ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ALL) for name in ("in", "out")]
for end, name in zip(ends, ("in", "out")):
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)  # checksums and long segments pass as they are
    end.bind((name, 3))
far = dict(zip(ends, reversed(ends)))
packets = octets = 0
say("state", state="running", message=open("greeting").read())
told = time.monotonic()
while True:
    ready = select.select([*ends, sys.stdin], [], [], 1)[0]
    if sys.stdin in ready and not sys.stdin.buffer.readline():
        break
    for end in ends:
        if end in ready:
            frame, (_, _, direction, *_) = end.recvfrom(1 << 17)
            if direction != socket.PACKET_OUTGOING:
                far[end].send(frame)
                packets, octets = packets + 1, octets + len(frame) - VNET_HDR_SIZE
    if time.monotonic() - told >= 1:
        told = time.monotonic()
        say("counters", packets=packets, bytes=octets, dropped=0)
"""


class Greeting(Frozen):
    text: str


class ToyFunction(Function):
    kind: Literal["toy"]
    greeting: Greeting

    @property
    def part(self) -> Greeting:
        return self.greeting


def resolve_greeting(name: str, spec: FunctionSpec, context: Context) -> Greeting | None:
    text = spec.own.get("greeting")
    if not isinstance(text, str):
        path = ("functions", name, "greeting")
        context.report.add(path, "the toy has no greeting", "a text", "write greeting: hello")
        return None
    return Greeting(text=text)


def program(function: ToyFunction) -> Program:
    files = {"toy_program.py": PROGRAM, "greeting": function.greeting.text.encode()}
    return Program((sys.executable, "-I", "-S", "toy_program.py"), files, replaceable=False)


MODELS["toy"] = ToyFunction
KINDS["toy"] = (Engine("toy", ("switch", "instances", "on-failure", "greeting")),)
RESOLUTIONS["toy"] = Resolution(inline, "greeting", resolve_greeting)
PROGRAMS["toy", "toy"] = taking(ToyFunction, program)


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
