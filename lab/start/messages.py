"""The messages between a lab's supervisor and ``up``, which starts it: JSON lines, one type for each.

``MESSAGES`` has the types by name, and ``message`` registers one. Both ends run the same code, because the
supervisor is a fork of ``up``: a line that has no known type is an error of sdnlab.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from controller.typed_json import BadMessage, filled, members

if TYPE_CHECKING:
    from lab.messages.lab import PingResult
else:
    PingResult = dict  # its module takes 0.1 s to import, and ``up`` only hands the result on

_KEY = "message"


@dataclass(frozen=True)
class Message:
    """A line from one end to the other. ``NAME``: its name in JSON."""

    NAME: ClassVar[str]


MESSAGES: dict[str, type[Message]] = {}
M = TypeVar("M", bound=type[Message])


def message(name: str) -> Callable[[M], M]:
    """Register a type of message by the name that it has in JSON."""

    def register(kind: M) -> M:
        kind.NAME = name
        MESSAGES[name] = kind
        return kind

    return register


def encode(said: Message) -> bytes:
    """A message as a line."""
    return json.dumps({_KEY: said.NAME, **members(said)}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line. Raises ``BadMessage``."""
    try:
        content = json.loads(line)
    except ValueError:
        raise BadMessage(f"{line!r} is no JSON") from None
    name = content.get(_KEY) if isinstance(content, dict) else None
    kind = MESSAGES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise BadMessage(f"no message is called {name!r}")
    said: Message = filled(kind, content, kind.NAME)
    return said


def heard(stream: socket.socket) -> Iterator[Message]:
    """The messages from the other end, until it has closed the stream or has ended."""
    rest = b""
    while True:
        try:
            data = stream.recv(65536)
        except OSError:
            return
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from map(decode, lines)


# From the supervisor


@message("building")
@dataclass(frozen=True)
class Building(Message):
    """The file is good, and its lab is being built.

    ``taken``: the number of the address that it has taken (``lab.naming.addresses``); ``sizes``: how many
    parts it has, by noun; ``remarks`` are texts about the file, ``notes``
    those about what the lab has otherwise than the file of another tool says.
    """

    name: str
    taken: int
    sizes: dict[str, int]
    remarks: tuple[str, ...]
    notes: tuple[str, ...] = ()


@message("stage")
@dataclass(frozen=True)
class StageDone(Message):
    """A stage of the start has ended after so many seconds."""

    name: str
    seconds: float


@message("doing")
@dataclass(frozen=True)
class Doing(Message):
    """What the lab waits for in the present stage, for people."""

    what: str


@message("prepare")
@dataclass(frozen=True)
class Prepare(Message):
    """``up`` prepares these hosts (in the form of JSON) outside the sandbox, and answers ``Prepared``."""

    hosts: tuple[dict[str, Any], ...]


@message("probing")
@dataclass(frozen=True)
class Probing(Message):
    """So many frames of the test of all pairs, ``of`` so many, have their answers."""

    done: int
    of: int


@message("ready")
@dataclass(frozen=True)
class Ready(Message):
    """The lab is up. ``probe``: the result of the test of all pairs, None without a test.

    ``problems`` are texts about what does not work; ``closes``: the lab has storage, which it writes out
    before it ends. ``apps``: texts about the controllers that are a user's own.
    """

    probe: PingResult | None
    datapath: str
    flows: int
    problems: tuple[str, ...]
    closes: bool
    apps: tuple[str, ...] = ()


@message("failed")
@dataclass(frozen=True)
class Failed(Message):
    """The start has failed, as ``lab.failure.Failure`` tells it. ``unforeseen``: the supervisor's log says
    more."""

    what: str
    remedy: str
    code: int
    unforeseen: bool = False


# From ``up``


@message("go")
@dataclass(frozen=True)
class Go(Message):
    """``up`` listens. The supervisor says nothing before."""


@message("prepared")
@dataclass(frozen=True)
class Prepared(Message):
    """The hosts are prepared."""


@message("detach")
@dataclass(frozen=True)
class Detach(Message):
    """The lab stays when ``up`` ends."""
