"""What checks need of a running lab."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lab.checks.diagnosis import Ailing
from lab.checks.judgement import Judgement
from lab.checks.ways import Ways
from lab.messages.lab import Event, FlowState
from lab.messages.trace import TraceRequest, TraceState
from topologies.model.checks import Check
from topologies.model.topology import Topology

OpenSocket = Callable[[], socket.socket]
T = TypeVar("T")


class Room(Protocol):
    """A running lab, as checks need it; its methods may be called by several threads."""

    @property
    def topology(self) -> Topology: ...

    def still(self) -> AbstractContextManager[None]:
        """As long as it is open, nothing changes the lab. Raises Failure if something has, and Cancelled."""

    def open_socket(self, host: str) -> socket.socket:
        """A non-blocking raw socket at the port of a host. Raises OSError and KeyError."""

    def command(self, host: str, words: Sequence[str]) -> list[str]:
        """The arguments of a program that runs ``words`` in a host. Raises OSError and KeyError."""

    def inside(self, host: str, make: Callable[[], T]) -> T:
        """What ``make`` makes in the network namespace of a host: sockets stay there. Raises OSError and
        KeyError."""

    def flows(self, switch: str) -> list[FlowState]:
        """The flows of a switch. Raises Failure."""

    def last_event(self) -> int:
        """The number of the last event."""

    def events(self, after: int) -> list[Event]:
        """The events after a number."""

    def break_(self, action: str, target: str) -> None:
        """Break something (``topologies.model.checks_of_ways.ActionKind``). Raises Failure."""

    def repair(self, action: str, target: str) -> None:
        """Repair it, and wait until the lab works again, as far as it is known. Raises Failure."""

    def trace(self, request: TraceRequest) -> TraceState:
        """Follows a packet that is really sent. The lab must stand ``still``. Raises Failure."""

    def ailing(self) -> Ailing:
        """What does not work at present."""

    def watched(self, functions: Sequence[str], links: Sequence[str]) -> dict[str, OpenSocket]:
        """What opens sockets that see the frames of functions' instances (``fw.1:in``) and of underlay links,
        by the names of these points. The lab must stand ``still``."""


class Cancelled(Exception):
    """The checks were interrupted."""


def no_judge(check: Check) -> Judgement:
    """Of a visit that is no run of checks."""
    raise TypeError(f"nobody judges {check.name}")


@dataclass(frozen=True)
class Visit:
    """A run of checks in a lab: what a verb's action gets. ``cancelled``: whether it must end. ``judge``:
    carries out a check that is inside of another one. Raises Cancelled."""

    room: Room
    ways: Ways
    cancelled: Callable[[], bool]
    judge: Callable[[Check], Judgement] = no_judge

    def rest(self, seconds: float) -> None:
        """Wait. Raises Cancelled."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.cancelled():
                raise Cancelled
            time.sleep(min(left, 0.1))
        if self.cancelled():
            raise Cancelled
